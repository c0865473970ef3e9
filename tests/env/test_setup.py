"""env/setup.py and env/compare.py decide rightly: what they install, when they do nothing, what a failure leaves.

Nothing is installed here: pip and venv are replaced, but for one call of the real pip that must fail.
"""

import ast
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ENV = Path(__file__).resolve().parents[2] / "env"
LOCKS = ["requirements.txt", "torch-cpu.txt", "torch-cuda.txt"]


@pytest.fixture
def setup(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("setup")


@pytest.fixture
def installer(setup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """setup.py with venv and pip replaced by a few files; counts what was done. ``fail`` makes pip fail."""
    locks, venv = tmp_path / "env", tmp_path / "venv"
    locks.mkdir()
    for name in LOCKS:
        shutil.copy(ENV / name, locks)
    state = SimpleNamespace(module=setup, locks=locks, venv=venv, done=[], fail=None)
    state.setup = lambda asked="auto": setup.setup(venv, asked, locks)

    def make_venv(folder: Path) -> None:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").touch()
        (folder / "pyvenv.cfg").touch()
        state.done.append("venv")

    def pip_install(folder: Path, arguments: list[str], what: str) -> None:
        if state.fail:
            raise state.fail
        state.done.append(what)

    monkeypatch.setattr(setup, "make_venv", make_venv)
    monkeypatch.setattr(setup, "pip_install", pip_install)
    monkeypatch.setattr(setup, "prove", lambda folder: "2.13.0+test")
    monkeypatch.setattr(setup, "has_nvidia_driver", lambda: False)
    return state


@pytest.mark.parametrize("name", ["setup.py", "compare.py", "bundle.py"])
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


@pytest.mark.fault("no network for pip", "`... could not be installed (pip's message is above); ...`")
def test_no_network_names_the_way_round(
    setup: ModuleType, lock_of_nothing: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The real pip, told to look in an empty folder for a package that does not exist."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(lock_of_nothing.parent))
    with pytest.raises(setup.Problem, match="PIP_FIND_LINKS"):
        setup.pip_install(lock_of_nothing.parent, ["-r", str(lock_of_nothing)], "the lock")
    assert "onepage-no-such-package" in capfd.readouterr().err  # pip's own message is shown


def test_cpu_index_is_not_asked_offline(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.platform, "system", lambda: "Linux")
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    arguments = setup.torch_arguments(ENV, "cpu")
    assert setup.CPU_INDEX in arguments and arguments[arguments.index("--retries") + 1] == "1"
    assert setup.CPU_INDEX not in setup.torch_arguments(ENV, "cuda")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert setup.CPU_INDEX not in setup.torch_arguments(ENV, "cpu")


def test_pip_is_not_diverted(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    environment = setup.clean_environment()
    assert "PIP_USER" not in environment and environment["PIP_FIND_LINKS"] == "wheels"


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
    setup: ModuleType, load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> SimpleNamespace:
    """compare.py beside an environment that counts as complete, pip replaced by a folder; ``fail`` makes pip fail."""
    module = load("compare")
    locks, venv = tmp_path / "env", tmp_path / "venv"
    locks.mkdir()
    shutil.copy(ENV / "compare.txt", locks)
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    (venv / "stamp.json").write_text("{}", encoding="utf-8")
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
