"""The same command gives the same bits: interrupted or not, wherever it runs, and whatever runs beside it.

By the commands that a user gives, in a copy of the repository whose smoke profile is smaller still, on generated data.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from onepage.training.locking import cpu_training_lock
from onepage.verification import digests
from tests.test_make import OURS, REPOSITORY

PATIENCE = 600  # seconds for one step, on a machine that does other things as well
CLS, MT = Path("cls/toy-images/smoke/seed0"), Path("mt/toy-translation-en-de/smoke/seed0")

RECIPES = {
    "cls": """
stages = [{ epochs = 1.0, image_size = 8 }, { epochs = 0.5, image_size = 12 }]
batch_size = 32
optimiser = "sgd"
sgd_learning_rate = 0.05
weight_decay = 5e-4
validation_size = 100
validations = 2
train_images = 320
""",
    "mt": """
updates = 60
batch_tokens = 256
adamw_learning_rate = 3e-3
vocabulary = 300
d_model = 32
d_ff = 64
heads = 2
encoder_layers = 1
decoder_layers = 1
validations = 2

[decoding]
beam_size = 1
""",
}


class Make:
    """``make repro`` into a folder of its own, as often as it takes."""

    def __init__(self, place: Path):
        self.place, self.runs, self.repository = place, place / "runs", place / "repository"
        for name in ("code", "env"):
            shutil.copytree(REPOSITORY / name, self.repository / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Makefile", "pyproject.toml"):
            shutil.copy2(REPOSITORY / name, self.repository)
        for task, recipe in RECIPES.items():
            (self.repository / "code/onepage" / task / "recipes/smoke.toml").write_text(recipe, encoding="utf-8")
        self.environment = {key: value for key, value in os.environ.items() if key not in OURS}
        # threads that wait for each other by sleeping: on a busy machine this saves minutes, and changes no number
        self.environment |= {"TMPDIR": str(place), "OMP_WAIT_POLICY": "PASSIVE"}

    def start(self, *arguments: str) -> subprocess.Popen:
        settings = ["PROFILE=smoke", "DATA=generated", "DEVICE=cpu", f"OUT={self.place}", f"VENV={sys.prefix}"]
        settings += [f"DATA_DIR={self.place / 'data'}", f"PYTHON={sys.executable}"]
        # -o: never make the environment again that this test runs in
        return subprocess.Popen(
            ["make", "-o", f"{sys.prefix}/stamp.json", *settings, "repro", *arguments],
            cwd=self.repository, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip

    def stop_when(self, ready, number: int, whole_group: bool = True) -> str:
        """Start, send a signal as soon as ``ready()``, and return what was said until the end."""
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
    """Both tasks trained with interruptions, and then without: (the commands, what each interruption said, the end)."""
    make = Make(tmp_path_factory.mktemp("repeat"))
    make.environment["ONEPAGE_SAVE_EVERY"] = "0"
    said = {"kill -9": make.stop_when(lambda: make.checkpoints(CLS), signal.SIGKILL)}
    del make.environment["ONEPAGE_SAVE_EVERY"]
    said |= {
        "Ctrl-C": make.stop_when(lambda: "going on at" in make.log(CLS), signal.SIGINT),
        "SIGTERM": make.stop_when(lambda: "training from" in make.log(MT), signal.SIGTERM, whole_group=False),
        "kill -9 in evaluation": make.stop_when(lambda: (make.runs / MT / "model.pt").exists(), signal.SIGKILL),
    }
    process = make.start()
    end = process.communicate(timeout=PATIENCE)[0]
    return make, said, (process.returncode, end)


@pytest.mark.fault(
    "make interrupted in training", "`...: stopped after update ..., saved; run the same command to go on`"
)
@pytest.mark.slow
def test_interrupted_it_says_how_to_go_on_and_the_same_command_goes_on(repeated):
    make, said, _ = repeated
    for how, name in (("Ctrl-C", "SIGINT"), ("SIGTERM", "SIGTERM")):
        assert re.search(rf"onepage: {name}: stopped after update \d+, saved; run the same command to go on", said[how])
    assert len(re.findall(r"going on at update [1-9]", make.log(CLS))) == 2
    assert len(re.findall(r"going on at update [1-9]", make.log(MT))) == 1
    assert not make.checkpoints(CLS) and not make.checkpoints(MT)
    assert not list(make.runs.rglob(".*.tmp"))


@pytest.mark.slow
def test_repro_finds_the_interrupted_runs_equal_to_straight_ones(repeated):
    make, _, (status, said) = repeated
    assert status == 0, said
    assert said.count("  equal\n") == 10 and "DIFFERS" not in said
    for run in (CLS, MT):
        assert f"{make.runs / run} and {make.runs / '.repro' / run} are equal to the bit" in said
        weights = digests.digests(digests.results(make.runs / run))["weights"]
        assert said.count(f"{weights}  weights") == 2
        straight = (make.runs / ".repro" / run / "train.log").read_text(encoding="utf-8")
        assert "training from update 0" in straight and "going on" not in straight


@pytest.mark.slow
def test_elsewhere_in_another_language_and_side_by_side_it_gives_the_same_bits(repeated, tmp_path, monkeypatch):
    make, _, _ = repeated
    program = (
        "import sys; from onepage.cli import main; task, plan, run, data = sys.argv[1:]; "
        "main(['train', task, '--plan', plan, '--run', run, '--data-dir', data], standalone_mode=False); "
        "main(['evaluate', task, '--plan', plan, '--run', run, '--data-dir', data], standalone_mode=False)"
    )
    # no UTF-8 anywhere, another hash seed and time zone, thread counts that are not the recipe's; saved all the time
    environment = make.environment | {"PYTHONPATH": str(make.repository / "code"), "PYTHONHASHSEED": "4242"}
    environment |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TZ": "Asia/Tokyo"}
    environment |= {"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "1", "ONEPAGE_SAVE_EVERY": "0"}
    processes, logs = [], []
    with contextlib.ExitStack() as locks:
        for task, run in (("cls", CLS), ("mt", MT)):
            # a folder for temporary files each: neither finds the lock by which the other would wait for it
            temporary = tmp_path / f"tmp-{task}"
            temporary.mkdir()
            monkeypatch.setattr(tempfile, "tempdir", str(temporary))
            locks.enter_context(cpu_training_lock("cpu", print))
            (plan,) = (make.runs / ".plan").glob(f"{task}-*.mk")
            logs.append(tmp_path / f"{task}.log")
            with open(logs[-1], "w", encoding="utf-8") as log:
                command = [sys.executable, "-u", "-c", program, task, plan, Path("a b") / run, make.place / "data"]
                surroundings = environment | {"TMPDIR": str(temporary)}
                processes.append(
                    subprocess.Popen(command, cwd=tmp_path, env=surroundings, stdout=log, stderr=subprocess.STDOUT)
                )
        deadline = time.monotonic() + PATIENCE
        while not all("another training is on this CPU" in log.read_text(encoding="utf-8") for log in logs):
            assert time.monotonic() < deadline and not any(process.poll() for process in processes)
            time.sleep(0.05)
    for process, log in zip(processes, logs, strict=True):  # both were let go at the same moment
        assert process.wait(timeout=PATIENCE) == 0, log.read_text(encoding="utf-8")
    lines = [(tmp_path / "a b" / run / "train.log").read_text(encoding="utf-8").splitlines() for run in (CLS, MT)]
    assert max(line[0][:19] for line in lines) <= min(line[-1][:19] for line in lines), lines  # at the same time
    for run in (CLS, MT):
        said = []
        assert digests.show(make.runs / run, tmp_path / "a b" / run, said.append) == 0, "\n".join(said)


@pytest.mark.fault("a repetition that differs", "make repro fails, naming what differs")
def test_repro_fails_when_either_task_differs(tmp_path):
    """With a program that only says whether it finds a difference: the status of make, and both tasks compared."""
    program = tmp_path / "onepage"
    program.write_text(
        f'#!/bin/bash\necho "$*" >>{tmp_path}/calls\nif [[ $1 == data ]]; then\n'
        'while [[ $1 != --plan ]]; do task=$1; shift; done\nmkdir -p "${2%/*}"\n'
        'printf "%s_FOLDER := set\\n%s_PROFILE := smoke\\n" ${task^^} ${task^^} >"$2"\n'
        'printf \'{"recipe": "pyproject.toml", "task": "%s", "folder": "set", '
        '"profile": "smoke", "set": "", "src": "", "tgt": "", "device": "", "auto_precision": "", "threads": 0, '
        '"data_digest": "", "versions": {}}\' $task >"${2%.mk}.json"\nfi\n'
        'if [[ $1 == digest && $2 == *"$DIFFERS"* ]]; then exit 1; fi\nexit 0\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    make = Make(tmp_path / "out")
    for differs, fails in (("/cls/", True), ("/mt/", True), ("nothing", False)):
        make.environment["DIFFERS"] = differs
        (tmp_path / "calls").unlink(missing_ok=True)
        process = make.start(f"ONEPAGE={program}")
        said = process.communicate(timeout=PATIENCE)[0]
        assert (process.returncode != 0) == fails, said
        calls = (tmp_path / "calls").read_text(encoding="utf-8").splitlines()
        assert [call.split("/runs/")[0].split()[0] for call in calls if "digest" in call] == ["digest"] * 2
        for task in ("cls", "mt"):
            trained = [call for call in calls if call.startswith(f"train {task}")]
            assert len(trained) == 2 and "/.repro/" in trained[1] and "/.repro/" not in trained[0]
