"""The programs in env/ as modules, setup with fake pip and venv, and a lock file that pip rejects."""

import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from checkout import ENV, LOCKS


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a program of env/ under the name that the other programs use."""

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, ENV / f"{name}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def put_python() -> Callable[..., Path]:
    """Puts a shell script in place of an environment's Python; by default it starts the Python of these tests."""

    def put(venv: Path, script: str = f'exec "{sys.executable}" "$@"') -> Path:
        python = venv / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        python.chmod(0o755)
        return python

    return put


@pytest.fixture
def lock_of_nothing(tmp_path: Path, put_python: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file with a package that does not exist; ``tmp_path`` is an environment, and pip uses no network."""
    put_python(tmp_path)
    lock = tmp_path / "lock.txt"
    lock.write_text(f"onepage-no-such-package==1 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return lock


@pytest.fixture
def setup(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("setup")


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """A folder with a copy of every lock file."""
    (tmp_path / "env").mkdir()
    for name in (*LOCKS, "compare.txt"):
        shutil.copy(ENV / name, tmp_path / "env")
    return tmp_path / "env"


@pytest.fixture
def installer(
    setup: ModuleType, locks: Path, put_python: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> SimpleNamespace:
    """setup.py with fake venv and pip; ``done`` lists their calls, and ``fail`` makes pip fail."""
    venv = tmp_path / "venv"
    state = SimpleNamespace(module=setup, locks=locks, venv=venv, done=[], fail=None)
    state.setup = lambda asked="auto": setup.setup(venv, asked, locks)

    def make_venv(folder: Path) -> None:
        put_python(folder)
        (folder / "pyvenv.cfg").touch()
        state.done.append("venv")

    def pip_install(folder: Path, arguments: list[str], what: str) -> None:
        if state.fail:
            raise state.fail
        state.done.append(what)

    monkeypatch.setattr(setup, "make_venv", make_venv)
    monkeypatch.setattr(setup, "pip_install", pip_install)
    monkeypatch.setattr(setup, "pip_environment", lambda folder: {})
    monkeypatch.setattr(setup, "prove", lambda folder: "2.13.0+test")
    monkeypatch.setattr(setup, "has_nvidia_driver", lambda: False)
    return state
