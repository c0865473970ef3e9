"""The make graph with wrong clocks, odd paths and rare flags.

The tests use a copy of the repository. tests/support/fake_onepage.py replaces onepage, and a folder stands in for the
environment, so nothing is trained or installed.
"""

import json
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path

import pytest

import fake_onepage
from checkout import contents, copy_to, remember, run_make
from onepage.files import read_json, sha256_file
from onepage.runs import settings
from onepage.tasks import TASKS

STAGES = ["train", "evaluate", "seeds", "draw"]
AHEAD = 7200  # seconds


class Place:
    """A copy of the repository with a current environment, and a record of the calls."""

    def __init__(self, folder: Path):
        self.folder, self.copy, self.venv = folder, copy_to(folder / "copy"), folder / "venv"
        (self.venv / "bin").mkdir(parents=True)
        (self.venv / "bin/python").symlink_to(sys.executable)
        self.setup = folder / "setup"  # replaces the Python that runs env/setup.py
        self.installs()
        self.stamp()
        remember(self.copy / "out")

    def installs(self, script: str = "") -> None:
        """Let env/setup.py record its call and then run ``script``; graph.py runs as usual."""
        graph = f'[ "$1" != -SEc ] || exec {sys.executable} "$@"'
        self.setup.write_text(f'#!/bin/sh\n{graph}\necho "$*" >>"$0.calls"\n{script}\n', encoding="utf-8")
        self.setup.chmod(0o755)

    def stamp(self) -> str:
        """Write and return the stamp that env/setup.py writes last."""
        locks = {name: sha256_file(self.copy / "env" / name) for name in ("requirements.txt", "torch-cpu.txt")}
        content = json.dumps({"torch": "cpu", "python": platform.python_version(), "locks": locks})
        (self.venv / "stamp.json").write_text(content, encoding="utf-8")
        return content

    def make(self, *arguments: str, **variables: str) -> tuple[int, list[str], str]:
        """Run make with OUT=out; return (status, the stages that ran, standard error)."""
        calls = self.folder / "calls"
        calls.write_text("")
        fixed = [f"VENV={self.venv}", f"PYTHON={self.setup}", "PROFILE=smoke", "OUT=out"]
        fixed += [f"ONEPAGE={sys.executable} {fake_onepage.__file__}"]
        done = run_make(self.copy, *fixed, *arguments, PLACE=str(self.folder), **variables)
        return done.returncode, [line.split()[0] for line in calls.read_text().splitlines()], done.stderr

    def set_up(self) -> int:
        """How often make has called env/setup.py."""
        calls = Path(f"{self.setup}.calls")
        return len(calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def shift(seconds: int, *paths: Path) -> None:
    """Move the dates of files, or of all files below a folder, by this number of seconds."""
    for file in [found for path in paths for found in (path.rglob("*") if path.is_dir() else [path])]:
        if file.is_file() and not file.is_symlink():
            stat = file.stat()
            os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + seconds * 10**9))


@pytest.mark.fault("a checkout dated in the future", "a warning of make; it goes on, and runs nothing twice")
def test_tracked_files_of_the_future_stop_nothing(place: Place) -> None:
    for path in (path for path in place.copy.rglob("*") if path.is_file()):
        os.utime(path, (time.time() + AHEAD, time.time() + AHEAD))
    status, calls, said = place.make("cls")
    assert (status, calls) == (0, ["plan", *STAGES]), said
    assert "in the future" in said and said.count("\n") <= 4
    assert place.make("cls")[:2] == (0, []) and place.set_up() == 0


@pytest.mark.slow
def test_a_result_of_the_future_counts_once(place: Place) -> None:
    """The later stages run again once, as after any newer file. Then nothing runs."""
    place.make("cls")
    for name, stages in {
        "plan/train.json": STAGES,
        "model.pt": STAGES[1:],
        "plan/evaluate.json": STAGES[1:],
        "metrics.json": STAGES[2:],
        "../plan/seeds.json": STAGES[2:],
        "../seeds.json": STAGES[3:],
    }.items():
        shift(-60, place.copy / "out")
        shift(AHEAD, place.copy / "out/runs/cls/set/smoke/seed0" / name)
        status, calls, said = place.make("cls")
        assert (status, calls, said.count("\n"), said.count("check the clock")) == (0, stages, 1, 1), (name, said)
        assert place.make("cls") == (0, [], ""), name


@pytest.mark.slow
def test_a_whole_tree_of_the_future_is_kept(place: Place) -> None:
    """This happens after a clock was set back, or with a copy from a machine whose clock is ahead."""
    place.make("all")
    shift(AHEAD, place.copy, place.venv)
    status, calls, said = place.make("all")
    assert (status, calls, said.count("check the clock")) == (0, [], 1), said
    assert place.make("all")[:2] == (0, []) and place.set_up() == 0


def test_other_lock_files_renew_environment_and_plans(place: Place) -> None:
    place.make("cls")
    lock = place.copy / "env/requirements.txt"
    lock.write_text(lock.read_text(encoding="utf-8") + "# another\n", encoding="utf-8")
    before, after = (place.venv / "stamp.json").read_text(encoding="utf-8"), place.stamp()
    (place.venv / "stamp.json").write_text(before, encoding="utf-8")
    place.installs(f"echo '{after}' >'{place.venv}/stamp.json'")
    status, calls, said = place.make("-n", "cls")
    assert status == 0 and place.set_up() == 0, said
    status, calls, said = place.make("cls")
    assert (status, calls[0], place.set_up()) == (0, "plan", 1), said
    assert place.make("cls")[:2] == (0, []) and place.set_up() == 1


def test_a_moved_environment_is_set_up_again(place: Place) -> None:
    """env/setup.py is called to correct the scripts. The plans stay, even if it corrects nothing."""
    place.make("cls")
    (place.venv / "bin/pip").write_text("#!/elsewhere/venv/bin/python\n", encoding="utf-8")
    assert place.make("cls")[:2] == (0, []) and place.set_up() == 1


@pytest.mark.fault("an environment that is never as env/ says", "`the plans change each time; ...`")
def test_make_ends_where_plans_never_settle(place: Place) -> None:
    (place.copy / "env/requirements.txt").write_text("another\n", encoding="utf-8")
    status, _, said = place.make("cls")
    assert status == 2 and said.count("\n") == 1 and "the plans change each time; remove out/runs/.plan/cls-" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("x//y/./z/", "copy/x/y/z"),
        ("~/x", "home/x"),
        ("../sortie-é/ß,1@2+3", "sortie-é/ß,1@2+3"),
        ("", "copy"),
    ],
)
def test_an_odd_folder_gets_all_results(place: Place, given: str, found: str) -> None:
    out = place.folder / found
    if out not in (place.copy, place.copy / "x/y/z"):  # make creates these from nothing
        remember(out)
    status, calls, said = place.make("all", f"OUT={given}", HOME=str(place.folder / "home"))
    assert status == 0 and sorted(calls[:3]) == ["engine", "plan", "plan"], said
    assert calls[-2:] == ["render", "verify"]
    assert (out / "report/report.pdf").is_file() and (out / "runs/mt/set/smoke/seed0/metrics.json").is_file()
    assert read_json(out / "figures/cls/plan/draw.json")["run"].endswith("runs/cls/set/smoke/seed0")
    assert place.make("all", f"OUT={given}", HOME=str(place.folder / "home"))[:2] == (0, [])


@pytest.mark.fault("OUT, DATA_DIR, VENV or RECIPE that make cannot hold", "`must not contain spaces or any of ...`")
def test_a_path_make_cannot_hold_gets_one_line(place: Place) -> None:
    before = contents(place.copy)
    for goal, given in (("cls", "OUT=a$$b"), ("clean", "OUT=a$$b"), ("cls", "RECIPE=a'b")):
        status, calls, said = place.make(goal, given)
        assert status == 2 and calls == [] and said.count("\n") == 1, said
        assert f'{given.partition("=")[0]}="' in said and "must not contain spaces or any of" in said
    assert contents(place.copy) == before and place.set_up() == 0


@pytest.mark.fault(
    "a checkout in a folder with a colon in its name", "`... has a colon in its name, ...; move this folder`"
)
def test_a_checkout_with_a_colon_gets_one_line(place: Place) -> None:
    place.copy = place.copy.rename(place.folder / "co:py")
    status, calls, said = place.make("cls")
    assert (status, calls, said.count("\n")) == (2, [], 1) and "co:py has a colon in its name" in said


def targets() -> list[str]:
    makefile = (Path(__file__).resolve().parents[1] / "Makefile").read_text(encoding="utf-8")
    return [*TASKS, *re.findall(r"^([a-z-]+):[^#\n]*## ", makefile, re.MULTILINE)]


@pytest.mark.slow
@pytest.mark.parametrize("installed", [False, True])
def test_a_dry_run_of_any_target_changes_nothing(place: Place, installed: bool) -> None:
    """The same holds for -q, with or without environment and plans. env/setup.py is never called."""
    assert len(targets()) >= 25 and set(targets()) < {
        *settings.help_text((place.copy / "Makefile").read_text()).split()
    }
    if installed:
        place.make("all")
        (place.folder / "calls").unlink()
    else:
        shutil.rmtree(place.venv)
    before = contents(place.folder)
    for target in ("all", "cls", "data", "test", "setup") if installed else targets():
        assert place.make("-n", target)[1] == [], target
    for target in ("all", "cls", "data", "test", "setup"):
        assert place.make("-q", target)[1] == [], target
    after = contents(place.folder)
    assert after.pop("calls") == b"" and after == before


def test_every_target_again_trains_nothing_new(place: Place) -> None:
    """With make -B each stage runs exactly once more, and make ends."""
    place.make("cls")
    status, calls, said = place.make("-B", "cls")
    assert (status, [call for call in calls if call != "plan"]) == (0, STAGES), said
    assert place.make("cls")[:2] == (0, [])
