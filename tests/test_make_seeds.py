"""SEEDS in the make graph: each runs once, a failed one stops no other, and a second make does nothing.

tests/support/fake_onepage.py replaces onepage, so the tests cover only the make graph.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fake_onepage
from checkout import REPOSITORY, environment, remember
from onepage.files import read_json

PATIENCE = 600  # seconds, also on a busy machine
CLS = "runs/cls/set/smoke"


class Make:
    def __init__(self, place: Path):
        self.place = place
        remember(place)
        (place / "ready").touch()  # newer than env/, so that make leaves the environment of this test alone

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen:
        (self.place / "calls").write_text("")
        fixed = [f"OUT={self.place}", f"VENV={sys.prefix}", f"PYTHON={sys.executable}", "PROFILE=smoke"]
        fixed += [f"READY={self.place / 'ready'}", f"ONEPAGE={sys.executable} {fake_onepage.__file__}"]
        return subprocess.Popen(
            ["make", *fixed, *arguments],
            cwd=REPOSITORY, env=environment(PLACE=str(self.place), **settings), start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, *arguments: str, **settings: str) -> tuple[int, list[str], str]:
        """Run make; return (status, the commands that ran in short form, stderr)."""
        process = self.start(*arguments, **settings)
        _, said = process.communicate(timeout=PATIENCE)
        return process.returncode, self.calls(), said

    def calls(self) -> list[str]:
        found = []
        for call in (self.place / "calls").read_text().splitlines():
            command, *words = call.split()
            runs = [Path(word) for word in words if "/seed" in word]
            if command not in ("plan", "engine", "verify", "train-all"):
                found.append(" ".join([command, runs[0].parts[-4], runs[0].name]))
        return found


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


def stages(task: str, *seeds: int) -> list[str]:
    return [f"{stage} {task} seed{seed}" for seed in seeds for stage in ("train", "evaluate")]


@pytest.mark.slow
def test_every_seed_is_trained_once_and_the_first_is_drawn(make: Make) -> None:
    status, calls, said = make("cls", "SEEDS=3 0 1")
    assert status == 0, said
    assert calls == [*stages("cls", 3, 0, 1), "seeds cls seed3", "draw cls seed3"]
    assert make("cls", "SEEDS=3,0,1")[:2] == (0, [])
    status, calls, _ = make("cls", "SEEDS=3 0 1 2")  # finished seeds are skipped
    assert (status, calls) == (0, [*stages("cls", 2), "seeds cls seed3", "draw cls seed3"])


def test_the_page_of_both_tasks_and_then_nothing(make: Make) -> None:
    status, calls, said = make("all", "SEEDS=0 1")
    assert status == 0, said
    assert calls[:8] == [call for seed in (0, 1) for task in ("cls", "mt") for call in stages(task, seed)]
    drawn = [f"{stage} {task} seed0" for task in ("cls", "mt") for stage in ("seeds", "draw")]
    assert calls[8:] == [*drawn, "render cls seed0"]
    for again in ("SEEDS=0 1", "SEEDS=0", "SEED=0"):
        assert make("all", again)[:2] == (0, []), again
    assert make("report", "SEEDS=0 1")[:2] == (0, [])
    status, calls, said = make("report", "SEEDS=0 1 2")
    assert (status, calls) == (2, []) and said.count("not finished: ") == 1
    assert all(f"runs/{task}/set/smoke/seed2" in said for task in ("cls", "mt"))


def test_one_seed_is_done_as_ever(make: Make) -> None:
    status, calls, said = make("cls")
    assert (status, calls) == (0, [*stages("cls", 0), "seeds cls seed0", "draw cls seed0"]), said
    assert make("cls")[:2] == (0, [])
    assert make("cls", "SEED=4")[1] == [*stages("cls", 4), "seeds cls seed4", "draw cls seed4"]


@pytest.mark.fault("one of several seeds fails", "the others are done and shown; `not done: ...` names it")
def test_a_failed_seed_loses_no_other_and_is_named_at_the_end(make: Make) -> None:
    status, calls, said = make("cls", "SEEDS=0 1 2", FAILS="cls/seed1")
    assert status != 0
    assert calls == [*stages("cls", 0), "train cls seed1", *stages("cls", 2), "seeds cls seed0", "draw cls seed0"]
    lines = [line for line in said.splitlines() if not line.startswith("make")]
    assert lines[0] == "onepage: cls/seed1 broke"
    assert lines[1].startswith("onepage: not done: cls/set/smoke/seed1; ") and len(lines) == 2
    status, calls, said = make("cls", "SEEDS=0 1 2", FAILS="cls/seed1")
    # the missing seed is tried again; the others are gathered again with the same result, so nothing is drawn
    assert status != 0 and calls == ["train cls seed1", "seeds cls seed0"]
    assert "not done: cls/set/smoke/seed1;" in said
    status, calls, _ = make("cls", "SEEDS=0 1 2")
    assert (status, calls) == (0, [*stages("cls", 1), "seeds cls seed0", "draw cls seed0"])
    (make.place / CLS / "seed1/plan/train.json").unlink()  # done, and now it fails
    status, calls, said = make("cls", "SEEDS=0 1 2", FAILS="cls/seed1")
    assert status != 0 and calls == ["train cls seed1"] and "not done: cls/set/smoke/seed1;" in said


def test_where_the_seed_shown_fails_nothing_is_drawn_and_the_others_are_kept(make: Make) -> None:
    status, calls, said = make("all", "SEEDS=0 1", FAILS="cls/seed0 mt/seed1")
    assert status != 0 and "not done: cls/set/smoke/seed0 mt/set/smoke/seed1;" in said
    assert sorted(calls) == sorted(["train cls seed0", "train mt seed1", *stages("cls", 1), *stages("mt", 0)])


@pytest.mark.parametrize("goal", ["cls", pytest.param("runs", marks=pytest.mark.slow)])
def test_a_stopped_make_stops_the_training_of_the_seed(make: Make, goal: str) -> None:
    """SIGTERM goes only to the outermost make, as from a supervisor."""
    process = make.start(goal, "SEEDS=0 1 2", WAITS="cls/seed1")
    deadline = time.monotonic() + PATIENCE
    while not (make.place / "waits").exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert (make.place / "stopped").exists() and "train cls seed2" not in make.calls()


@pytest.mark.slow
def test_with_jobs_seeds_run_at_once_each_on_a_gpu_of_its_own(make: Make) -> None:
    status, calls, said = make("cls", "SEEDS=0 1 2", "JOBS=3", PLANNED="cuda", MEET="3")
    assert status == 0, said
    assert sorted(calls[:6]) == sorted(stages("cls", 0, 1, 2)) and calls[6:] == ["seeds cls seed0", "draw cls seed0"]
    alone = [line.split()[0] for line in (make.place / "calls").read_text().splitlines() if "--own-gpu" in line]
    assert sorted(alone) == ["evaluate"] * 3 + ["train"] * 3
    assert make("cls", "SEEDS=0 1 2", "JOBS=3", PLANNED="cuda")[:2] == (0, [])
    status, calls, _ = make("cls", "SEEDS=0 1 2 3 4", "JOBS=3", PLANNED="cuda", FAILS="cls/seed4")
    assert status != 0 and sorted(calls[:3]) == sorted([*stages("cls", 3), "train cls seed4"])
    assert calls[3:] == ["seeds cls seed0", "draw cls seed0"]  # gathered and drawn again with the added seed


def test_processes_and_options_of_torchrun_reach_the_training_and_its_stamp(make: Make) -> None:
    options = "--nnodes 2 --rdzv-conf 'a=1,b=2' --max-restarts 1"
    status, calls, said = make("cls", "NPROC=4", f"TORCHRUN={options}")
    assert status == 0 and calls[:2] == stages("cls", 0), said
    plan = read_json(make.place / CLS / "seed0/plan/train.json")
    assert (plan["processes"], plan["nodes"], plan["torchrun"]) == (4, "2", options)
    again = [f"TORCHRUN={options.replace('1,b', '3,b').replace('restarts 1', 'restarts 5')}", "NPROC=4"]
    assert make("cls", *again)[:2] == (0, [])  # the rendezvous and the number of restarts change no result
    for other in (["NPROC=4"], ["NPROC=2"], []):
        assert make("cls", *other)[1][:2] == stages("cls", 0), other
