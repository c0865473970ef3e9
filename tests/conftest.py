"""Shared settings: no environment of the caller, one thread per process, the same random examples every time."""

import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# The caller's variables that stay: locations of programs and files, output of pytest, settings of CI.
KEPT = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LD_LIBRARY_PATH", "DATA_MIRROR", "STRICT"}
TERMINAL = {"TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI"}
PREFIXES = ("PYTEST", "CLAIMED_", "CUDA_", "NVIDIA_")
# Tests run in parallel with one thread each, as in the Makefile. Processes that a test starts inherit this.
OURS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
OURS |= {"TORCH_DISABLE_NATIVE_JIT": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1] / "code")}

for name in [name for name in os.environ if name not in KEPT | TERMINAL and not name.startswith(PREFIXES)]:
    del os.environ[name]
os.environ.update(OURS)  # before any import of torch, which reads some of them

settings.register_profile("onepage", derandomize=True, database=None, deadline=None)
settings.load_profile("onepage")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """One process per available core, at most eight, so that memory suffices."""
    from onepage.runs.provenance import cores

    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else min(cores(), 8)


@pytest.fixture(scope="session", autouse=True)
def temporary_files_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A separate folder for temporary files. It holds the training lock, so no test waits for another training."""
    place = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", place)
        patch.setattr(tempfile, "tempdir", place)
        yield


@pytest.fixture(scope="session", autouse=True)
def sources_are_read_once() -> Iterator[None]:
    """Cache the tokens of the sources: reading the whole package for every plan would take over a second."""
    from onepage.runs import fingerprint

    with pytest.MonkeyPatch.context() as patch:
        for name in ("tokens", "imports"):
            patch.setattr(fingerprint, name, functools.cache(getattr(fingerprint, name)))
        yield


@pytest.fixture(autouse=True)
def torch_as_at_first() -> None:
    """Reset torch before each test: seed 0, one thread, and no setting left by another test."""
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.manual_seed(0)
        torch.set_num_threads(1)
        torch.set_deterministic_debug_mode("default")


@pytest.fixture(autouse=True)
def no_setting_of_the_caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the terminal's variables, which are for pytest, and STRICT, which is for the tests of the claims."""
    for name in TERMINAL if request.node.get_closest_marker("claims") else TERMINAL | {"STRICT"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in OURS.items():  # a command of the program in this process removes some of them
        monkeypatch.setenv(name, value)
