"""Several runs: a failed run stops no other, a signal stops all, and JOBS applies only on GPUs."""

import os
import signal
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from onepage.commands import several
from onepage.commands.main import main
from onepage.commands.several import Queue
from onepage.errors import Interrupted, UserError
from onepage.runs import plan
from onepage.runs.stamps import next_stage

# replaces onepage; files in the run's folder tell it what to do
PROGRAM = """#!/bin/sh
calls=${0%/*}/calls
echo "begin $1 ${2##*/} $3" >>$calls
[ ! -e $2/fails-$1 ] || exit 3
trap 'touch $2/stopped; exit 143' TERM
if [ -e $2/meets ]; then until [ $(grep -c "begin $1" $calls) = 3 ]; do sleep 0.01; done; fi
if [ -e $2/signals ]; then until [ $(grep -c begin $calls) = 2 ]; do sleep 0.01; done; kill -TERM $PPID; fi
while [ -e $2/waits ]; do sleep 0.01; done
echo "end $1 ${2##*/} $3" >>$calls
if [ $1 = train ]; then touch $2/model.pt; else touch $2/metrics.json; fi
"""


class Place:
    """Three planned runs below a folder, and a record of the program's calls."""

    def __init__(self, folder: Path):
        self.folder, self.program = folder, folder / "program"
        self.program.write_text(PROGRAM, encoding="utf-8")
        self.program.chmod(0o755)
        self.runs = [folder / f"runs/cls/set/smoke/seed{seed}" for seed in range(3)]
        for run in self.runs:
            plan.write(run, "evaluate", {})
        self.plan("cpu")

    def plan(self, device: str) -> None:
        for run in self.runs:
            plan.write(run, "train", {"task": "cls", "seed": 0, "recipe": {}, "device": device})

    def tell(self, word: str, *seeds: int) -> None:
        for seed in seeds:
            (self.runs[seed] / word).touch()

    def calls(self, kind: str = "begin") -> list[str]:
        """The calls in order, such as "train seed0"."""
        lines = (self.folder / "calls").read_text(encoding="utf-8").splitlines()
        return [line.removeprefix(f"{kind} ").strip() for line in lines if line.startswith(kind)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(several, "POLL_SECONDS", 0.005)
    made = Place(tmp_path)
    monkeypatch.setattr(several, "PROGRAM", [str(made.program)])
    return made


def train_all(runs: list[Path], shown: list[Path], jobs: int = 1) -> None:
    """As the command, with the error raised."""
    several.train_all.callback(runs, jobs, shown, False)


def stages(*seeds: int) -> list[str]:
    return [f"{stage} seed{seed}" for seed in seeds for stage in ("train", "evaluate")]


def later(path: Path, seconds: float) -> None:
    """Date a file this many seconds from now; create it if it is missing."""
    path.touch()
    moment = time.time() + seconds
    os.utime(path, (moment, moment))


def test_a_failing_run_does_not_stop_the_others(place: Place) -> None:
    place.tell("fails-train", 0)
    place.tell("fails-evaluate", 1)
    Queue(place.runs, 1).work()
    assert place.calls() == ["train seed0", *stages(1, 2)]
    assert [next_stage(run) for run in place.runs] == ["train", "evaluate", ""]


def test_a_stage_is_tried_once_whatever_the_clock(place: Place) -> None:
    """A plan dated in the future makes its run stale forever."""
    later(place.runs[0] / "plan/train.json", 3600)
    Queue(place.runs[:1], 1).work()
    assert place.calls() == stages(0)


def test_finished_runs_are_passed_over_and_failures_named(place: Place) -> None:
    place.tell("fails-train", 1)
    train_all(place.runs, place.runs[:1])
    with pytest.raises(UserError, match="not done: cls/set/smoke/seed1; fix the problems reported above"):
        train_all(place.runs, place.runs)
    assert place.calls() == [*stages(0), "train seed1", *stages(2), "train seed1"]
    (place.runs[1] / "fails-train").unlink()
    train_all(place.runs, place.runs)
    assert place.calls()[-2:] == stages(1)


def test_check_trains_nothing_and_names_what_is_left(place: Place) -> None:
    train_all(place.runs[:1], [])
    words = ["train-all", "--check", *map(str, place.runs)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1 and "not done: cls/set/smoke/seed1 cls/set/smoke/seed2; " in done.output
    assert CliRunner().invoke(main, words[:3]).exit_code == 0 and place.calls() == stages(0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all(place: Place, number: signal.Signals) -> None:
    before = [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)]
    text = PROGRAM.replace("kill -TERM", f"kill -{number.name.removeprefix('SIG')}")
    place.program.write_text(text, encoding="utf-8")
    place.tell("waits", 0, 1)
    place.tell("signals", 1)
    with pytest.raises(Interrupted, match=f"{number.name}: stopped; run the same command to resume") as caught:
        Queue(place.runs, 2).work()
    assert caught.value.number == number
    assert all((run / "stopped").exists() for run in place.runs[:2])
    assert sorted(place.calls()) == ["train seed0 --own-gpu", "train seed1 --own-gpu"]  # no other run starts
    assert [signal.getsignal(known) for known in (signal.SIGINT, signal.SIGTERM)] == before


def test_on_a_cpu_runs_follow_each_other(place: Place) -> None:
    train_all(place.runs, [], 3)
    assert place.calls() == place.calls("end") == stages(0, 1, 2)
    lines = (place.folder / "calls").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines] == ["begin", "end"] * 6


def test_on_gpus_runs_train_at_once(place: Place) -> None:
    place.plan("cuda")
    place.tell("meets", 0, 1, 2)  # each waits until all have started
    train_all(place.runs, place.runs, 3)
    assert sorted(place.calls()) == sorted(f"{call} --own-gpu" for call in stages(0, 1, 2))
