"""Environments that are links, moved, read-only or for another Python: make setup repairs or reports them."""

import errno
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from checkout import ENV, copy_to, run_make


def test_python_that_is_gone_makes_it_again(installer: SimpleNamespace) -> None:
    installer.setup()
    python = installer.venv / "bin" / "python"
    python.unlink()
    python.symlink_to(installer.venv / "removed-by-an-upgrade")
    installer.done.clear()
    installer.setup()
    assert "venv" in installer.done


@pytest.mark.fault(
    "VENV names a folder or environment of the user's", "`... was not made by this program; ...`; untouched"
)
@pytest.mark.parametrize("name", ["thesis.tex", "pyvenv.cfg", "bin/python"])
def test_somebody_elses_folder_is_not_removed(
    installer: SimpleNamespace, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """VENV may name a folder of the user's by mistake, or an environment that another program uses."""
    theirs = installer.venv / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work", encoding="utf-8")
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert "was not made by this program" in capsys.readouterr().err
    assert theirs.read_text(encoding="utf-8") == "years of work" and not installer.done


def test_active_environment_can_be_made_again(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python3`` then belongs to the environment that was set aside, so the base Python is used."""
    commands: list[list[str]] = []
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python3"))
    monkeypatch.setattr(sys, "_base_executable", "/usr/bin/python3")
    monkeypatch.setattr(
        subprocess, "run", lambda command, **more: commands.append(command) or SimpleNamespace(returncode=0)
    )
    setup.make_venv(tmp_path)
    assert commands == [["/usr/bin/python3", "-m", "venv", str(tmp_path)]]


@pytest.mark.fault(
    "the system's Python was replaced by another version", "made again; the old one is kept if that fails"
)
@pytest.mark.parametrize("script", ["echo 3.9", "exit 127"], ids=["another-minor", "does-not-start"])
def test_python_that_changed_makes_it_again(
    installer: SimpleNamespace, put_python: Callable[..., Path], script: str
) -> None:
    installer.setup()
    put_python(installer.venv, script)
    installer.done.clear()
    installer.fail = installer.module.Problem("no network")
    with pytest.raises(installer.module.Problem):
        installer.setup()
    assert (installer.venv / "stamp.json").exists() and not installer.venv.with_name("venv.old").exists()
    installer.fail = None
    installer.setup()
    assert "env/requirements.txt" in installer.done


@pytest.mark.fault("`.venv` is a link to another disk", "the folder there is set aside and made again; the link stays")
def test_link_to_another_disk_stays(installer: SimpleNamespace, tmp_path: Path) -> None:
    """The link may also point to a folder that does not exist yet."""
    disk = tmp_path / "disk" / "made-here"
    installer.venv.symlink_to(disk)
    installer.setup()
    (disk / "old").touch()
    (installer.locks / "requirements.txt").write_text("# newer\n", encoding="utf-8")
    installer.setup()
    assert installer.venv.is_symlink() and (disk / "stamp.json").is_file() and not (disk / "old").exists()
    installer.done.clear()
    installer.setup()
    assert not installer.done
    assert {path.name for path in (*tmp_path.iterdir(), *disk.parent.iterdir())} == {"disk", "env", "venv", "made-here"}


@pytest.mark.fault("the checkout was moved or copied", "the scripts in .venv/bin are corrected by make setup")
def test_moved_environment_names_its_new_folder(
    installer: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed: list[Path] = []
    monkeypatch.setattr(installer.module, "install_project", lambda venv, root: installed.append(venv))
    installer.setup()
    installed.clear()
    old, scripts = "/home/before/clone/.venv", installer.venv / "bin"
    (scripts / "pip").write_text(f"#!{old}/bin/python3\nimport pip\n", encoding="utf-8")
    (scripts / "long").write_text(f'#!/bin/sh\n"exec" "{old}/bin/python3" "$0"\n', encoding="utf-8")
    (scripts / "activate").write_text(f"VIRTUAL_ENV='{old}'\n", encoding="utf-8")
    (scripts / "compiled").write_bytes(b"\x7fELF\0" + old.encode())
    installer.done.clear()
    installer.setup()
    assert not installer.done and installed == [installer.venv]
    for name in ("pip", "long", "activate"):
        text = (scripts / name).read_text(encoding="utf-8")
        assert old not in text and str(installer.venv) in text
    assert (scripts / "compiled").read_bytes().endswith(old.encode())
    installed.clear()
    lent = tmp_path / "lent"  # its scripts belong to another environment and name its folder
    lent.mkdir()
    shutil.copy(installer.venv / "stamp.json", lent)
    (lent / "bin").symlink_to(scripts)
    installer.module.setup(lent, "auto", installer.locks)
    assert not installed and str(lent) not in (scripts / "pip").read_text(encoding="utf-8")


@pytest.mark.fault("VENV is complete, and on a read-only disk", "used as it is")
def test_read_only_environment_is_used(installer: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """This also holds after a move, although its scripts cannot be corrected."""
    installer.setup()
    (installer.venv / "bin" / "pip").write_text("#!/moved/bin/python\n", encoding="utf-8")

    def read_only(*given: object, **more: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    installer.done.clear()
    for name in ("write_bytes", "write_text", "touch"):
        monkeypatch.setattr(Path, name, read_only)
    installer.setup()
    assert not installer.done


@pytest.mark.fault("the environment's Python sees none of its packages", "`... lacks the package ...; run make setup`")
def test_program_without_packages_names_make_setup() -> None:
    """-S hides the packages, as after an upgrade of the system's Python to another version."""
    command = [sys.executable, "-S", "-m", "onepage", "--help"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ENV.parent / "code")}, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert re.search("lacks the package [a-z]+; run make setup", done.stderr)


@pytest.fixture
def copied(put_python: Callable[..., Path], tmp_path: Path) -> SimpleNamespace:
    """A copy of the repository with an environment that looks complete, and a command ``touch`` that always fails."""
    copy, venv, tools = copy_to(tmp_path / "copy"), tmp_path / "venv", tmp_path / "tools"
    put_python(venv)
    tools.mkdir()
    (tools / "touch").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (tools / "touch").chmod(0o755)

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        places = [f"VENV={venv}", f"PYTHON={sys.executable}", f"OUT={tmp_path / 'out'}"]
        return run_make(copy, *words, *places, PATH=f"{tools}:{os.environ['PATH']}")

    return SimpleNamespace(copy=copy, venv=venv, make=make)


def test_make_takes_a_read_only_environment(copied: SimpleNamespace, setup: ModuleType) -> None:
    locks = setup.lock_hashes(copied.copy / "env", "cpu")
    about = {"torch": "cpu", "torch_version": "2", "python": platform.python_version(), "locks": locks}
    stamp = copied.venv / "stamp.json"
    stamp.write_text(json.dumps(about), encoding="utf-8")
    os.utime(stamp, (1, 1))
    done = copied.make(str(stamp))
    assert done.returncode == 0 and "is up to date" in done.stdout, done.stderr


def test_make_setup_runs_without_venv_python(copied: SimpleNamespace) -> None:
    python = copied.venv / "bin" / "python"
    python.unlink()
    python.symlink_to(copied.venv / "removed-by-an-upgrade")
    done = copied.make("--dry-run", "setup")
    assert done.returncode == 0 and "env/setup.py" in done.stdout, done.stderr
