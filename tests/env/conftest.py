"""The programs in env/ as modules, and a lock file that the real pip cannot install."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ENV = Path(__file__).resolve().parents[2] / "env"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports a program of env/ under the name by which the others there import it."""

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
    """Puts a Python into an environment: a shell script, by default one that starts the Python of these tests."""

    def put(venv: Path, script: str = f'exec "{sys.executable}" "$@"') -> Path:
        python = venv / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        python.chmod(0o755)
        return python

    return put


@pytest.fixture
def lock_of_nothing(tmp_path: Path, put_python: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file of a package that does not exist; ``tmp_path`` is an environment, and pip uses no network."""
    put_python(tmp_path)
    lock = tmp_path / "lock.txt"
    lock.write_text(f"onepage-no-such-package==1 --hash=sha256:{'0' * 64}\n", encoding="utf-8")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return lock
