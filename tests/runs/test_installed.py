"""The environment is renewed if its inputs change, never because of a file's date."""

import json
import os
import platform
import shutil
import sys
import time
from pathlib import Path

import pytest

from onepage.files import sha256_file
from onepage.runs import installed

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the environment that env/setup.py makes, with a copy of env/ beside it."""
    shutil.copytree(REPOSITORY / "env", tmp_path / "env", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(installed, "HOME", tmp_path)
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(sys.executable)
    (folder / "bin/pip").write_text(f"#!{folder}/bin/python\n", encoding="utf-8")
    stamp(folder)
    return folder


def stamp(venv: Path, **changes: object) -> None:
    locks = {name: sha256_file(venv.parent / "env" / name) for name in ("requirements.txt", "torch-cpu.txt")}
    content = {"torch": "cpu", "python": platform.python_version(), "locks": locks} | changes
    (venv / "stamp.json").write_text(json.dumps(content), encoding="utf-8")


def test_times_do_not_count(venv: Path) -> None:
    later = time.time() + 7200
    for path in (venv.parent / "env/requirements.txt", venv.parent / "env/torch-cpu.txt", venv.parent / "env/setup.py"):
        os.utime(path, (later, later))
    assert installed.is_current(venv) and not installed.is_moved(venv)


@pytest.mark.parametrize("name", ["requirements.txt", "torch-cpu.txt"])
def test_another_lock_file_makes_it_again(venv: Path, name: str) -> None:
    path = venv.parent / "env" / name
    when = path.stat()
    path.write_text(path.read_text(encoding="utf-8") + "# another\n", encoding="utf-8")
    os.utime(path, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert not installed.is_current(venv)


@pytest.mark.parametrize("changes", [{"python": "3.2.1"}, {"torch": "cuda"}, {"torch": None}, {"locks": None}])
def test_another_stamp_makes_it_again(venv: Path, changes: dict[str, object]) -> None:
    stamp(venv, **changes)
    assert not installed.is_current(venv)


def test_another_python_does_not_tell_its_version(venv: Path) -> None:
    """If the Python of VENV is missing, another one checks. Its version must not renew the plans endlessly."""
    stamp(venv, python="3.2.1")
    (venv / "bin/python").unlink()
    (venv / "bin/python").touch()
    assert installed.is_current(venv)


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "1", "[]"])
def test_without_a_stamp_it_is_made(venv: Path, content: str | None) -> None:
    (venv / "stamp.json").unlink()
    if content is not None:
        (venv / "stamp.json").write_text(content, encoding="utf-8")
    assert not installed.is_current(venv) and installed.read(venv) == {}


def test_without_its_python_it_is_made(venv: Path) -> None:
    (venv / "bin/python").unlink()
    (venv / "bin/python").symlink_to(venv / "removed")
    assert not installed.is_current(venv)


def test_a_moved_one_names_its_old_folder(venv: Path) -> None:
    moved = venv.rename(venv.with_name("elsewhere"))
    assert installed.is_moved(moved) and installed.is_current(moved)
    moved.rename(venv)
    assert not installed.is_moved(venv)
    (venv / "bin/pip").unlink()
    assert not installed.is_moved(venv)


def test_a_lent_one_has_not_moved(venv: Path) -> None:
    """Its bin/ links to another environment, and the scripts correctly name that environment's folder."""
    lent = venv.with_name("lent")
    lent.mkdir()
    (lent / "bin").symlink_to(venv / "bin")
    assert not installed.is_moved(lent)
