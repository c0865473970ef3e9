"""env/compare.py installs the packages for comparison once, separate from the environment's own."""

import json
import platform
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from checkout import ENV, LOCKS


@pytest.fixture
def comparer(
    setup: ModuleType,
    load: Callable[[str], ModuleType],
    locks: Path,
    put_python: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> SimpleNamespace:
    """compare.py with an environment that looks complete and a fake pip; ``fail`` makes pip fail."""
    module = load("compare")
    venv = tmp_path / "venv"
    put_python(venv)
    (venv / "stamp.json").write_text(json.dumps({"python": platform.python_version()}), encoding="utf-8")
    state = SimpleNamespace(module=module, locks=locks, venv=venv, calls=[], fail=None)
    state.install = lambda: module.install(venv, locks)

    def pip_install(folder: Path, arguments: list[str], what: str) -> None:
        (venv / "compare").mkdir()
        if state.fail:
            raise state.fail
        state.calls.append(arguments)

    monkeypatch.setattr(module, "pip_install", pip_install)
    monkeypatch.setattr(module, "prove", lambda venv, folder: None)
    return state


def test_peers_are_installed_once_and_apart(comparer: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    comparer.install()
    (arguments,) = comparer.calls
    assert arguments[arguments.index("--target") + 1] == str(comparer.venv / "compare")
    assert "--no-deps" in arguments and "--no-build-isolation" in arguments
    capsys.readouterr()
    comparer.install()
    assert len(comparer.calls) == 1 and "up to date" in capsys.readouterr().out
    (comparer.venv / "compare" / "old").touch()
    (comparer.locks / "compare.txt").write_text("# changed\n", encoding="utf-8")
    comparer.install()
    assert len(comparer.calls) == 2 and not (comparer.venv / "compare" / "old").exists()


def test_interrupted_installation_of_peers_is_made_again(comparer: SimpleNamespace) -> None:
    comparer.fail = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        comparer.install()
    (comparer.venv / "compare" / "half-unpacked").touch()
    comparer.fail = None
    comparer.install()
    assert len(comparer.calls) == 1 and not (comparer.venv / "compare" / "half-unpacked").exists()


@pytest.mark.fault("make setup-compare without an environment", "`... is not a complete environment; run make setup`")
def test_peers_need_an_environment(comparer: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    (comparer.venv / "stamp.json").unlink()
    assert comparer.module.main(["--venv", str(comparer.venv)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is not a complete environment; run make setup" in error
    assert not comparer.calls


def pinned(name: str) -> dict[str, str]:
    """{package: version} of a file in env/."""
    lines = (ENV / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lines, re.MULTILINE))


def test_peers_leave_the_environment_alone() -> None:
    compared = pinned("compare.txt")
    assert pinned("compare.in").items() <= compared.items()
    assert not compared.keys() & {name for lock in LOCKS for name in pinned(lock)}
    text = (ENV / "compare.txt").read_text(encoding="utf-8")
    requirements = re.split(r"^(?=[a-z])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)[1:]
    assert len(requirements) >= len(compared)
    assert all("--hash=sha256:" in requirement for requirement in requirements)
