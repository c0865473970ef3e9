"""A second process samples the next epoch: the same pairs and batches, and a clean end if either process is killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from onepage.mt import train
from onepage.mt.ahead import Ahead
from onepage.mt.batching import Material
from onepage.mt.tokenizer import Tokenizer
from onepage.runs import history
from small_training import run, stopped
from translate_cases import LINES

SIDE = LINES[:20]


def material(tokenizer: Tokenizer) -> Material:
    return Material(tokenizer, (SIDE, SIDE), 64, 100, 0.3, seed=3)


@pytest.mark.slow
@pytest.mark.fault("the process that samples is killed", "the training samples by itself; the same bytes")
def test_each_epoch_is_the_one_that_the_training_would_sample(tokenizer: Tokenizer) -> None:
    alone, own = material(tokenizer), material(tokenizer)
    ahead = Ahead(material(tokenizer))
    for epoch in (4, 5, 6, 2, 3):
        ahead.material = own if epoch in (4, 2) else None  # type: ignore[assignment]  # the first, and after a jump
        assert ahead.epoch(epoch) == alone.epoch(epoch)
    ahead.process.kill()
    ahead.process.join()
    ahead.material = own
    for epoch in (4, 5):
        assert ahead.epoch(epoch) == alone.epoch(epoch)


@pytest.mark.slow
@pytest.mark.fault("kill -9 of a training whose next epoch another process samples", "that process ends, too")
def test_the_other_process_ends_with_a_training_that_is_killed() -> None:
    program = (
        "import os, sys; sys.path[:0] = sys.argv[1:]; import test_ahead as t; "
        "from onepage.mt.tokenizer import train_tokenizer as learn; ahead = t.Ahead(t.material(learn(t.LINES, 120))); "
        "ahead.epoch(0); ahead.epoch(1); print(ahead.process.is_alive(), flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), *sys.path]
    # both processes share standard output: run() waits until both have closed it
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout == "True\n" and done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_sampling_ahead_changes_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that samples ahead, as on a GPU, and resumes in its second epoch has the same weights."""
    settings = {"bpe_dropout": 0.2, "batch_tokens": 600}
    straight = run("mt", tmp_path / "straight", **settings)
    monkeypatch.setattr(train, "SAMPLED_AHEAD", ("cpu",))
    stopped(monkeypatch, tmp_path / "ahead", **settings)
    assert run("mt", tmp_path / "ahead", **settings) == straight
    epochs = [row["epoch"] for row in history.read(tmp_path / "ahead" / "history.jsonl")]
    assert epochs[-1] > 2, epochs
