"""The same command gives the same bits: interrupted or not, in any folder, and beside other programs.

The tests run a user's commands in a copy of the repository, with generated data and a smaller profile.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from checkout import MAKE, RECIPES, copy_to, environment
from onepage.runs import plan
from onepage.training.locking import cpu_training_lock
from onepage.verification import bitwise

PATIENCE = 600  # seconds for one step, also on a busy machine
CLS, MT = Path("cls/toy-images/smoke/seed0"), Path("mt/toy-translation-en-de/smoke/seed0")


class Make:
    """Runs ``make repro`` in a separate folder, as often as a test needs."""

    def __init__(self, place: Path):
        self.place, self.runs, self.repository = place, place / "runs", place / "repository"
        copy_to(self.repository, RECIPES)
        self.environment = environment(TMPDIR=str(place))

    def start(self, *arguments: str) -> subprocess.Popen:
        settings = [f"OUT={self.place}", f"DATA_DIR={self.place / 'data'}"]
        return subprocess.Popen(
            [*MAKE, *settings, "repro", *arguments],
            cwd=self.repository, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def stop_when(self, ready, number: int, whole_group: bool = True) -> str:
        """Start make, send the signal once ``ready()`` is true, and return the whole output."""
        process = self.start()
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (os.killpg if whole_group else os.kill)(process.pid, number)
        said = process.communicate(timeout=PATIENCE)[0]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode != 0
        return said

    def checkpoints(self, run: Path) -> int:
        return len(list((self.runs / run).glob("checkpoint-*.json")))

    def log(self, run: Path) -> str:
        with contextlib.suppress(OSError):
            return (self.runs / run / "train.log").read_text(encoding="utf-8")
        return ""


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """Both tasks trained with interruptions, then to the end: (make, output of each interruption, (status, output))."""
    make = Make(tmp_path_factory.mktemp("repeat"))
    make.environment["ONEPAGE_SAVE_EVERY"] = "0"
    said = {"kill -9": make.stop_when(lambda: make.checkpoints(CLS), signal.SIGKILL)}
    del make.environment["ONEPAGE_SAVE_EVERY"]
    said |= {
        "Ctrl-C": make.stop_when(lambda: "resuming at" in make.log(CLS), signal.SIGINT),
        "SIGTERM": make.stop_when(lambda: "training from" in make.log(MT), signal.SIGTERM, whole_group=False),
        "kill -9 in evaluation": make.stop_when(lambda: (make.runs / MT / "model.pt").exists(), signal.SIGKILL),
    }
    process = make.start()
    end = process.communicate(timeout=PATIENCE)[0]
    return make, said, (process.returncode, end)


@pytest.mark.fault("make interrupted in training", "`stopped after update ..., saved; run the same command to go on`")
@pytest.mark.slow
def test_interrupted_the_same_command_goes_on(repeated):
    make, said, _ = repeated
    for how, name in (("Ctrl-C", "SIGINT"), ("SIGTERM", "SIGTERM")):
        assert re.search(rf"onepage: {name}: stopped after update \d+, saved; run the same command to go on", said[how])
    assert len(re.findall(r"resuming at update [1-9]", make.log(CLS))) == 2
    assert len(re.findall(r"resuming at update [1-9]", make.log(MT))) == 1
    assert not make.checkpoints(CLS) and not make.checkpoints(MT)
    assert not list(make.runs.rglob(".*.tmp"))


@pytest.mark.slow
def test_repro_finds_the_interrupted_runs_equal_to_straight_ones(repeated):
    make, _, (status, said) = repeated
    assert status == 0, said
    assert said.count("  equal\n") == 10 and "DIFFERS" not in said
    for run in (CLS, MT):
        assert f"{make.runs / run} and {make.runs / '.repro' / run} are bit-identical" in said
        weights = bitwise.digests(bitwise.results(make.runs / run))["weights"]
        assert said.count(f"{weights}  weights") == 2
        straight = (make.runs / ".repro" / run / "train.log").read_text(encoding="utf-8")
        assert "training from update 0" in straight and "resuming" not in straight


@pytest.mark.slow
def test_elsewhere_and_side_by_side_the_same_bits(repeated, tmp_path, monkeypatch):
    """Both tasks train at the same time, in other folders, with another locale and time zone."""
    make, _, _ = repeated
    program = (
        "import sys; from onepage.commands.main import main; "
        "main(['train', sys.argv[1]], standalone_mode=False); main(['evaluate', sys.argv[1]], standalone_mode=False)"
    )
    # no UTF-8, another hash seed, time zone and number of threads, and a checkpoint after every update
    surroundings = make.environment | {"PYTHONPATH": str(make.repository / "code"), "PYTHONHASHSEED": "4242"}
    surroundings |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TZ": "Asia/Tokyo"}
    surroundings |= {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "1", "ONEPAGE_SAVE_EVERY": "0"}
    processes, logs = [], []
    with contextlib.ExitStack() as locks:
        for task, run in (("cls", CLS), ("mt", MT)):
            # separate folders for temporary files, so that neither training waits for the other's lock
            temporary = tmp_path / f"tmp-{task}"
            temporary.mkdir()
            monkeypatch.setattr(tempfile, "tempdir", str(temporary))
            locks.enter_context(cpu_training_lock("cpu", print))
            for stage in ("train", "evaluate"):
                plan.write(tmp_path / "a b" / run, stage, plan.read(make.runs / run, stage))
            logs.append(tmp_path / f"{task}.log")
            with open(logs[-1], "w", encoding="utf-8") as log:
                command = [sys.executable, "-u", "-c", program, Path("a b") / run]
                own = surroundings | {"TMPDIR": str(temporary)}
                processes.append(subprocess.Popen(command, cwd=tmp_path, env=own, stdout=log, stderr=subprocess.STDOUT))
        deadline = time.monotonic() + PATIENCE
        while not all("another training run is on this CPU" in log.read_text(encoding="utf-8") for log in logs):
            assert time.monotonic() < deadline and all(process.poll() is None for process in processes)
            time.sleep(0.05)
    for process, log in zip(processes, logs, strict=True):  # both go on when the locks are released
        assert process.wait(timeout=PATIENCE) == 0, log.read_text(encoding="utf-8")
    lines = [(tmp_path / "a b" / run / "train.log").read_text(encoding="utf-8").splitlines() for run in (CLS, MT)]
    assert max(line[0][:19] for line in lines) <= min(line[-1][:19] for line in lines), lines  # they overlapped
    for run in (CLS, MT):
        said = []
        assert bitwise.show(make.runs / run, tmp_path / "a b" / run, said.append) == 0, "\n".join(said)
