"""env/setup.py and env/compare.py decide rightly: what they install, when they do nothing, what a failure leaves.

Nothing is installed here: pip and venv are replaced, but for one call of the real pip that must fail.
"""

import ast
import errno
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from checkout import copy_to, environment

ENV = Path(__file__).resolve().parents[2] / "env"
LOCKS = ["requirements.txt", "torch-cpu.txt", "torch-cuda.txt"]


@pytest.fixture
def setup(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("setup")


@pytest.fixture
def installer(
    setup: ModuleType, put_python: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> SimpleNamespace:
    """setup.py with venv and pip replaced by a few files; counts what was done. ``fail`` makes pip fail."""
    locks, venv = tmp_path / "env", tmp_path / "venv"
    locks.mkdir()
    for name in LOCKS:
        shutil.copy(ENV / name, locks)
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
    # Killed with no chance to tidy: the old one is beside a half-made one, and comes back before the next try.
    installer.venv.rename(installer.venv.with_name("venv.old"))
    installer.module.begin(installer.venv)
    with pytest.raises(installer.module.Problem):
        installer.setup()
    assert works.exists() and not installer.venv.with_name("venv.old").exists()


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
    """VENV may name a folder of the user's by mistake, or an environment that something else lives in."""
    theirs = installer.venv / name
    theirs.parent.mkdir(parents=True)
    theirs.write_text("years of work", encoding="utf-8")
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert "was not made by this program" in capsys.readouterr().err
    assert theirs.read_text(encoding="utf-8") == "years of work" and not installer.done


@pytest.mark.fault(
    "too little disk for the environment", "`... MB free, ... MB are needed; ...`, before anything is done"
)
def test_full_disk_is_said_before_anything_is_done(
    installer: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=5 * 10**6))
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert "5 MB free" in capsys.readouterr().err
    assert not installer.done


@pytest.mark.fault("too little space for temporary files", "`... MB free, ... MB are needed; free space or set ...`")
def test_space_for_temporary_files_is_checked(
    installer: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a disk of its own (/dev is one), or beside the environment on one disk."""
    monkeypatch.setattr(tempfile, "tempdir", "/dev")
    usage = {"/dev": 5 * 10**6}
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=usage.get(str(place), 10**12)))
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert re.search("/dev has 5 MB free, .* set TMPDIR", capsys.readouterr().err)
    monkeypatch.setattr(tempfile, "tempdir", str(installer.locks))
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1300 * 10**6))
    assert installer.module.main(["--venv", str(installer.venv)]) == 1
    assert "1,300 MB free" in capsys.readouterr().err and not installer.done
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # nothing is downloaded
    installer.setup()
    assert "env/torch-cpu.txt" in installer.done


@pytest.mark.fault("TMPDIR cannot be written", "`TMPDIR=... cannot be written; ... takes its place`")
def test_temporary_folder_that_cannot_be_written(
    installer: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one is there, or none is."""
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
    """Whatever setup.py starts to look at what is installed sees none of them."""
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
    assert done.returncode == 1 and "is no finished environment; run make setup" in done.stderr


def test_active_environment_can_be_made_again(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python3`` is then the one of the very environment that has been set aside."""
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
    """Also one to a folder that is not there yet."""
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
    lent = tmp_path / "lent"  # its scripts are another environment's, and so is their folder
    lent.mkdir()
    shutil.copy(installer.venv / "stamp.json", lent)
    (lent / "bin").symlink_to(scripts)
    installer.module.setup(lent, "auto", installer.locks)
    assert not installed and str(lent) not in (scripts / "pip").read_text(encoding="utf-8")


@pytest.mark.fault("VENV is complete, and on a read-only disk", "used as it is")
def test_read_only_environment_is_used(installer: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a move, where its scripts cannot be corrected."""
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
    """-S: as after an upgrade of the system's Python, whose packages are those of another version."""
    command = [sys.executable, "-S", "-m", "onepage", "--help"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ENV.parent / "code")}, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert re.search("lacks the package [a-z]+; run make setup", done.stderr)


@pytest.fixture
def copied(put_python: Callable[..., Path], tmp_path: Path) -> SimpleNamespace:
    """A copy of the repository with an environment that counts as complete; a command ``touch`` that always fails."""
    copy, venv, tools = copy_to(tmp_path / "copy"), tmp_path / "venv", tmp_path / "tools"
    put_python(venv)
    tools.mkdir()
    (tools / "touch").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    (tools / "touch").chmod(0o755)

    def make(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["make", *words, f"VENV={venv}", f"PYTHON={sys.executable}", f"OUT={tmp_path / 'out'}"]
        path = environment(PATH=f"{tools}:{os.environ['PATH']}")
        return subprocess.run(command, cwd=copy, env=path, capture_output=True, text=True, timeout=300)

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
    assert "are there" in capsys.readouterr().out


def test_apt_packages(setup: ModuleType) -> None:
    names = setup.apt_packages(ENV / "apt.txt")
    assert {"texlive-latex-recommended", "latexmk", "poppler-utils"} == set(names)


@pytest.fixture
def comparer(
    setup: ModuleType,
    load: Callable[[str], ModuleType],
    put_python: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> SimpleNamespace:
    """compare.py beside an environment that counts as complete, pip replaced by a folder; ``fail`` makes pip fail."""
    module = load("compare")
    locks, venv = tmp_path / "env", tmp_path / "venv"
    locks.mkdir()
    shutil.copy(ENV / "compare.txt", locks)
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


@pytest.mark.fault("make setup-compare without an environment", "`... is no finished environment; run make setup`")
def test_peers_need_an_environment(comparer: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    (comparer.venv / "stamp.json").unlink()
    assert comparer.module.main(["--venv", str(comparer.venv)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is no finished environment; run make setup" in error
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
