"""env/setup.py: what it installs, when it does nothing, and what a failure leaves.

The tests install nothing, since pip and venv are replaced.
"""

import ast
import errno
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from checkout import ENV


@pytest.mark.parametrize("name", ["setup.py", "packages.py", "compare.py", "bundle.py"])
def test_parses_on_an_old_python(name: str) -> None:
    ast.parse((ENV / name).read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.fault("a Python or system that torch has no wheels for", "`... cannot be used: torch needs ...`")
@pytest.mark.parametrize(
    ("python", "said"),
    [
        (((3, 10, 13), "CPython", "Linux", "x86_64", False), "3.11 to 3.14"),
        (((3, 15, 0), "CPython", "Linux", "x86_64", False), "3.11 to 3.14"),
        (((3, 11, 0), "PyPy", "Linux", "x86_64", False), "CPython"),
        (((3, 14, 0), "CPython", "Linux", "x86_64", True), "global lock"),
        (((3, 12, 0), "CPython", "Windows", "AMD64", False), "WSL"),
        (((3, 12, 0), "CPython", "Darwin", "x86_64", False), "arm64"),
    ],
)
def test_unsupported_python_gets_one_line(setup: ModuleType, python: tuple, said: str) -> None:
    line = setup.python_problem(*python)
    assert said in line and "\n" not in line and ("make PYTHON=" in line or "use " in line)


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_supported_python(setup: ModuleType, minor: int) -> None:
    for system, machine in setup.SYSTEMS:
        assert setup.python_problem((3, minor, 0), "CPython", system, machine) is None


def test_old_python_leaves_nothing_behind(
    installer: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    monkeypatch.setattr(installer.module, "another_python", lambda: "/usr/bin/python3.12")
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "make PYTHON=/usr/bin/python3.12" in error
    assert not installer.venv.exists() and not installer.done


def test_choice_of_torch(setup: ModuleType) -> None:
    assert setup.choose_torch("auto", "Linux", True)[0] == "cuda"
    assert setup.choose_torch("auto", "Linux", False)[0] == "cpu"
    assert setup.choose_torch("auto", "Darwin", True)[0] == "cpu"
    assert setup.choose_torch("cpu", "Linux", True)[0] == "cpu"
    assert setup.choose_torch("cuda", "Linux", False)[0] == "cuda"
    with pytest.raises(setup.Problem, match="TORCH=cpu"):
        setup.choose_torch("cuda", "Darwin", False)


def test_second_run_does_nothing(installer: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    installer.setup()
    assert installer.done == ["venv", "env/torch-cpu.txt", "env/requirements.txt"]
    stamp = installer.venv / "stamp.json"
    before = stamp.stat()
    installer.done.clear()
    capsys.readouterr()
    for asked in ("auto", "cpu"):
        installer.setup(asked)
        assert "up to date" in capsys.readouterr().out
    assert not installer.done and stamp.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("name", ["requirements.txt", "torch-cpu.txt"])
def test_changed_lock_file_makes_it_again(installer: SimpleNamespace, name: str) -> None:
    installer.setup()
    stamp = (installer.venv / "stamp.json").read_bytes()
    with open(installer.locks / name, "a", encoding="utf-8") as file:
        file.write("# changed\n")
    installer.done.clear()
    installer.setup()
    assert "venv" in installer.done
    assert (installer.venv / "stamp.json").read_bytes() != stamp
    assert not installer.venv.with_name("venv.old").exists()


def test_lock_of_the_other_build_does_not_matter(installer: SimpleNamespace) -> None:
    installer.setup()
    (installer.locks / "torch-cuda.txt").write_text("# changed\n", encoding="utf-8")
    installer.done.clear()
    installer.setup()
    assert not installer.done


def test_auto_keeps_the_installed_build(installer: SimpleNamespace) -> None:
    installer.setup("cuda")
    installer.done.clear()
    installer.setup()
    assert not installer.done
    installer.setup("cpu")
    assert "env/torch-cpu.txt" in installer.done


@pytest.mark.fault("an interrupted installation", "made again")
def test_interrupted_installation_is_made_again(installer: SimpleNamespace) -> None:
    installer.fail = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        installer.setup()
    assert not (installer.venv / "stamp.json").exists()
    half = installer.venv / "half-unpacked"
    half.touch()
    installer.fail = None
    installer.setup()
    assert (installer.venv / "stamp.json").exists() and not half.exists()


@pytest.mark.fault("an upgrade of the environment that fails", "the one that works is kept")
def test_failed_upgrade_keeps_the_environment_that_works(installer: SimpleNamespace) -> None:
    installer.setup()
    works = installer.venv / "works"
    works.touch()
    (installer.locks / "requirements.txt").write_text("# newer\n", encoding="utf-8")
    installer.fail = installer.module.Problem("no network")
    with pytest.raises(installer.module.Problem):
        installer.setup()
    assert works.exists() and not installer.venv.with_name("venv.old").exists()
    # As after kill -9: the old environment is beside a half-made one. The next try first restores it.
    installer.venv.rename(installer.venv.with_name("venv.old"))
    installer.module.begin(installer.venv)
    with pytest.raises(installer.module.Problem):
        installer.setup()
    assert works.exists() and not installer.venv.with_name("venv.old").exists()


@pytest.mark.fault(
    "too little disk for the environment", "`... MB free, but ... MB are needed; ...`, before anything is done"
)
def test_full_disk_is_said_before_anything_is_done(
    installer: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=5 * 10**6))
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert "5 MB free" in capsys.readouterr().err
    assert not installer.done


@pytest.mark.fault(
    "too little space for temporary files", "`... MB free, but ... MB are needed; free space or set ...`"
)
def test_space_for_temporary_files_is_checked(
    installer: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a separate disk (such as /dev), or on the same disk as the environment."""
    monkeypatch.setattr(tempfile, "tempdir", "/dev")
    usage = {"/dev": 5 * 10**6}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=usage.get(str(place), 10**12)))
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert re.search("/dev has 5 MB free, .* set TMPDIR", capsys.readouterr().err)
    monkeypatch.setattr(tempfile, "tempdir", str(installer.locks))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1300 * 10**6))
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert "1,300 MB free" in capsys.readouterr().err and not installer.done
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # without downloads, less space is needed
    installer.setup()
    assert "env/torch-cpu.txt" in installer.done


@pytest.mark.fault("TMPDIR cannot be written", "`TMPDIR=... cannot be written; ... is used instead`")
def test_temporary_folder_that_cannot_be_written(
    installer: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """setup uses another folder if there is one, and otherwise asks for TMPDIR."""
    missing = installer.venv / "none"
    monkeypatch.setenv("TMPDIR", str(missing))
    monkeypatch.setattr(tempfile, "tempdir", None)
    installer.setup()
    assert f"TMPDIR={missing} cannot be written; " in capsys.readouterr().err

    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    (installer.venv / "stamp.json").unlink()
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert "No usable temporary directory found in ['/tmp']; set TMPDIR" in capsys.readouterr().err


STRANGE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYTHONWARNINGS": "error",
    "PYTHONSAFEPATH": "1",
    "PYTHONSTARTUP": "/etc/passwd",
    "PYTHONINSPECT": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONUSERBASE": "/etc",
    "PYTHONNOUSERSITE": "1",
    "PYTHONPYCACHEPREFIX": "/etc",
    "PYTHONHOME": "/etc",
    "PIP_TARGET": "/etc",
    "PIP_DRY_RUN": "1",
    "PIP_PYTHON": "/etc/passwd",
}


@pytest.mark.fault("variables of a notebook or of Python (MPLBACKEND, PYTHONWARNINGS=error)", "no effect on setup")
def test_callers_variables_do_not_reach_setup(
    setup: ModuleType, put_python: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The programs with which setup.py checks the installation see none of them."""
    for name, value in STRANGE.items():
        monkeypatch.setenv(name, value)
    put_python(tmp_path, f"env >>{tmp_path}/seen\necho 2.13.0")
    assert setup.prove(tmp_path) == "2.13.0"
    seen = (tmp_path / "seen").read_text(encoding="utf-8").splitlines()
    assert "MPLBACKEND=agg" in seen
    assert not set(seen) & {f"{name}={value}" for name, value in STRANGE.items()}


@pytest.mark.parametrize("words", [["compare.py"], ["bundle.py", "--folder", "wheels"]])
def test_programs_find_each_other_on_safe_path(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, str(ENV / words[0]), *words[1:], "--venv", str(tmp_path)]
    strange = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "error"}
    done = subprocess.run(command, env=strange, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "is not a complete environment; run make setup" in done.stderr


@pytest.mark.fault("make setup-tex without root or apt", "`... needs root: ...`, `there is no apt-get here; ...`")
def test_tex_without_root_or_apt(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup.shutil, "which", lambda name: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(setup.os, "geteuid", lambda: 1000)
    assert setup.main(["--tex"]) == 1
    assert "sudo apt-get install texlive-latex-recommended" in capsys.readouterr().err
    monkeypatch.setattr(setup.shutil, "which", lambda name: None)
    assert setup.main(["--tex"]) == 1
    assert "PDF_ENGINE=typst" in capsys.readouterr().err
    monkeypatch.setattr(setup.shutil, "which", lambda name: None if name == "dpkg-query" else f"/usr/bin/{name}")
    assert setup.main(["--tex"]) == 0
    assert "are installed" in capsys.readouterr().out


def test_apt_packages(setup: ModuleType) -> None:
    names = setup.apt_packages(ENV / "apt.txt")
    assert {"texlive-latex-recommended", "latexmk", "poppler-utils"} == set(names)
