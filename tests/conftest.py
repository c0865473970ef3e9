"""Settings for all tests: nothing of the caller's environment, one thread a process, the same examples every time."""

import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# All that is left of the caller's environment: where programs and files are, what pytest prints, what CI names.
KEPT = {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LD_LIBRARY_PATH", "DATA_MIRROR", "STRICT"}
TERMINAL = {"TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "CI"}
PREFIXES = ("PYTEST", "CLAIMED_", "CUDA_", "NVIDIA_")
# Tests run side by side, with a thread each. As in the Makefile, and by every process that a test starts.
OURS = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
OURS |= {"PYTHONPATH": str(Path(__file__).resolve().parents[1] / "code")}

for name in [name for name in os.environ if name not in KEPT | TERMINAL and not name.startswith(PREFIXES)]:
    del os.environ[name]
os.environ.update(OURS)  # here, since torch reads some of them when it is imported

settings.register_profile("onepage", derandomize=True, database=None, deadline=None)
settings.load_profile("onepage")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """A process for each core that this one may use, and not so many that they fill the memory."""
    from onepage.runs.provenance import cores

    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else min(cores(), 8)


@pytest.fixture(scope="session", autouse=True)
def temporary_files_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The lock by which trainings wait for each other lies there: no test waits for another training."""
    place = str(tmp_path_factory.mktemp("tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", place)
        patch.setattr(tempfile, "tempdir", place)
        yield


@pytest.fixture(scope="session", autouse=True)
def sources_are_read_once() -> Iterator[None]:
    """Reading the tokens of the whole package takes over a second: not once more for every plan that a test makes."""
    from onepage.runs import fingerprint

    with pytest.MonkeyPatch.context() as patch:
        for name in ("tokens", "imports"):
            patch.setattr(fingerprint, name, functools.cache(getattr(fingerprint, name)))
        yield


@pytest.fixture(autouse=True)
def torch_as_at_first() -> None:
    """In whatever order tests run: the same draws, one thread, and no setting that a training left."""
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        torch.manual_seed(0)
        torch.set_num_threads(1)
        torch.set_deterministic_debug_mode("default")


@pytest.fixture(autouse=True)
def no_setting_of_the_caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """STRICT=1 of `make test` is for the claims on the trained runs, and the terminal's settings are for pytest."""
    for name in TERMINAL if request.node.get_closest_marker("claims") else TERMINAL | {"STRICT"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in OURS.items():  # a command of the program, run in this process, leaves some out
        monkeypatch.setenv(name, value)
