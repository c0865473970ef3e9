"""Same seed, same bytes; stopped and resumed, the same bytes; a checkpoint of another recipe is refused."""

import functools
import os
import re
import shutil
import signal

import numpy as np
import pytest
import torch

from onepage.errors import Interrupted, UserError
from onepage.runs import history
from onepage.terminal.progress import Reporter
from onepage.training import checkpoint, seeding, session
from small_training import MT, run, stop_after, stopped_once, whole_checkpoints


@pytest.mark.parametrize("task", [pytest.param("cls", marks=pytest.mark.slow), "mt"])
def test_same_seed_same_bytes_and_another_seed_others(task, tmp_path):
    first, again, other = (run(task, tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first == again != other
    rows = history.read(tmp_path / "a" / "history.jsonl")
    assert len(rows) == 2 and all(np.isfinite(row["val_loss"]) for row in rows)


@pytest.mark.fault(
    "SIGTERM after any update",
    "`stopped after update ..., saved; run the same command to go on`; the same bytes as without",
)
@pytest.mark.parametrize(
    ("task", "updates", "changes"),
    [
        pytest.param("cls", 3, {}, marks=pytest.mark.slow),
        ("mt", 1, {}),
        ("mt", 3, {}),
        ("mt", 3, {"optimiser": "muon", "bpe_dropout": 0.2, "r_drop": 3.0}),
        ("mt", 7, {"bpe_dropout": 0.2}),  # in the second epoch, whose subword pieces are drawn again
    ],
)
def test_stopped_and_resumed_ends_with_the_same_bytes(task, updates, changes, uninterrupted, tmp_path, monkeypatch):
    straight, rows = result(task, tmp_path / "straight", **changes) if changes else uninterrupted(task)
    undo = stop_after(monkeypatch, updates)
    with pytest.raises(Interrupted, match=f"after update {updates}, saved"):
        run(task, tmp_path / "stopped", **changes)
    undo()
    assert not (tmp_path / "stopped" / "model.pt").exists()
    assert run(task, tmp_path / "stopped", **changes) == straight
    assert rows == [{**row, "seconds": 0} for row in history.read(tmp_path / "stopped" / "history.jsonl")]
    assert not list((tmp_path / "stopped").glob("checkpoint-*"))


def test_checkpoints_follow_epochs_and_intervals(tmp_path, monkeypatch):
    saved = []
    real = checkpoint.save

    def save(folder, update, state, identity):
        real(folder, update, state, identity)
        saved.append((update, state["loop"]["place"], len(whole_checkpoints(folder))))

    monkeypatch.setattr(checkpoint, "save", save)
    monkeypatch.setattr(session, "EPOCH_SECONDS", 0.0)
    monkeypatch.setattr(session, "SAVE_SHARE", float("inf"))
    straight = run("mt", tmp_path / "epochs", updates=32)
    assert len(saved) >= 2 and all(place == 0 for _, place, _ in saved)  # only between two epochs
    assert saved[-1][0] < 32 and [kept for _, _, kept in saved][:2] == [1, 2]
    epoch, saved[:] = saved[0][0], []
    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 0.0)
    assert run("mt", tmp_path / "intervals", updates=32) == straight
    assert [update for update, _, _ in saved] == list(range(1, 33)) and saved[epoch - 2][1] == epoch - 1
    assert [kept for _, _, kept in saved] == [1] + [2] * 31


def test_when_a_checkpoint_is_due(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(session.time, "monotonic", lambda: now)
    plan = {"task": "mt", "device": "cpu", "seed": 0}
    with session.Session(tmp_path / "run", MT, plan) as this:
        for seconds, epoch_ended, due in [(4, True, False), (6, True, True), (59, False, False), (61, False, True)]:
            now = 1000.0 + seconds
            assert this.due(epoch_ended) == due, seconds
        this.restore()
        this.save(1, {})
        assert not this.due()  # counted from the last checkpoint
        os.kill(os.getpid(), signal.SIGINT)
        assert this.due()
        with pytest.raises(Interrupted, match="SIGINT: stopped after update 2, saved"):
            this.save(2, {})
    assert len(whole_checkpoints(tmp_path / "run")) == 2


def test_short_epochs_are_not_each_saved(tmp_path, monkeypatch):
    now = 1000.0

    def slow(*arguments):
        nonlocal now
        now += 0.4

    monkeypatch.setattr(session.time, "monotonic", lambda: now)
    monkeypatch.setattr(checkpoint, "save", slow)
    with session.Session(tmp_path / "run", MT, {"task": "mt", "device": "cpu", "seed": 0}) as this:
        now += 6
        assert this.due(epoch_ended=True)  # the cost of a checkpoint is still unknown
        this.restore()
        this.save(1, {})
        now += 19
        assert not this.due(epoch_ended=True)
        now += 2  # 0.4 s is 2 % of 20 s
        assert this.due(epoch_ended=True)


def left_out(part, loop):
    """The loop's state in a checkpoint, with one part as in a run that has just started."""
    if part == "optimisers":
        return {**loop, "optimisers": [{**state, "state": {}} for state in loop["optimisers"]]}
    others = {"average": {"average": loop["model"]}, "place": {"place": 0}, "sums": {"sums": [0 for _ in loop["sums"]]}}
    return {**loop, **others.get(part, {})}


def result(task, folder, **changes):
    """(digest of the weights, history without times) of a run that starts or resumes in this folder."""
    return run(task, folder, **changes), [{**row, "seconds": 0} for row in history.read(folder / "history.jsonl")]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The result of a task's run without interruption, trained once."""
    return functools.cache(lambda task: result(task, tmp_path_factory.mktemp(task)))


@pytest.fixture(scope="module")
def in_mid_epoch(tmp_path_factory):
    return stopped_once(tmp_path_factory, lambda task: 3 if task == "mt" else 1)


PARTS = ["nothing", "generators", "average", "optimisers", "place", "sums"]
# ResNet-18 draws nothing from the default generators, and its place equals its update
PARTS_CLS = ["nothing", "average", "optimisers", "sums"]


@pytest.mark.fault("a checkpoint that leaves a part out", "another result: each part that is saved is needed")
@pytest.mark.parametrize(
    ("task", "part"),
    [("mt", part) for part in PARTS] + [pytest.param("cls", part, marks=pytest.mark.slow) for part in PARTS_CLS],
)
def test_without_any_part_a_resumed_run_differs(uninterrupted, in_mid_epoch, task, part, tmp_path, monkeypatch):
    straight = uninterrupted(task)
    shutil.copytree(in_mid_epoch(task), tmp_path / "stopped")
    real = checkpoint.latest

    def latest(folder, identity, say):
        state = real(folder, identity, say)
        assert state["loop"]["place"] == state["loop"]["update"] in (1, 3)  # in mid-epoch
        return {**state, "loop": left_out(part, state["loop"])}

    monkeypatch.setattr(checkpoint, "latest", latest)
    if part == "generators":  # dropout draws from the default generator
        monkeypatch.setattr(seeding, "restore_generators", lambda states: None)
    again = result(task, tmp_path / "stopped")
    assert (again == straight) == (part == "nothing")
    assert (again[0] == straight[0]) == (part in ("nothing", "sums"))  # the sums affect only the history


@pytest.mark.fault(
    "a checkpoint of another recipe",
    "`... was saved with a different recipe (...); ...`, naming the keys that differ",
)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 1}, r"\(seed 0 -> 1\)"),
        ({"dropout": 0.1, "heads": 1}, r"\(dropout 0.2 -> 0.1, heads 2 -> 1\)"),
        ({"program": "b" * 64}, r"\(the code that trains has changed\)"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(straight, in_mid_epoch, change, says, tmp_path):
    shutil.copytree(in_mid_epoch("mt"), tmp_path / "stopped")
    before = {path.name: path.read_bytes() for path in (tmp_path / "stopped").iterdir()}
    with pytest.raises(UserError, match=r"checkpoint-00000003\.pt was saved with a different recipe " + says):
        run("mt", tmp_path / "stopped", **change)
    assert {path.name: path.read_bytes() for path in (tmp_path / "stopped").iterdir()} == before
    assert run("mt", tmp_path / "stopped") == straight  # the original recipe resumes


@pytest.mark.fault("final weights of another recipe", "`the weights in ...; training again`")
def test_weights_of_another_recipe_are_replaced(tmp_path, capsys):
    run("mt", tmp_path / "there")
    assert "training again" not in capsys.readouterr().out
    (tmp_path / "there" / "metrics.json").write_text("{}", encoding="utf-8")
    assert run("mt", tmp_path / "there", dropout=0.1) == run("mt", tmp_path / "straight", dropout=0.1)
    said = capsys.readouterr().out
    assert re.search(r"weights in \S+there belong to a different recipe \(dropout 0.2 -> 0.1\); training again", said)
    assert not (tmp_path / "there" / "metrics.json").exists()


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    run("mt", tmp_path)
    (tmp_path / "checkpoint-00000008.pt").write_bytes(b"of a run killed before it could remove it")
    monkeypatch.setattr(Reporter, "__init__", lambda *a, **k: pytest.fail("trained again"))
    run("mt", tmp_path)
    assert not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.fault(
    "CUDA asked for and absent, in training", "`DEVICE=cuda was asked for, but torch sees no CUDA GPU here; ...`"
)
def test_cuda_asked_for_and_absent_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(UserError, match="no CUDA GPU"):
        seeding.prepare(0, 1, "cuda")


def test_cpu_training_is_fp32_and_leaves_cuda_alone(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda: pytest.fail("CUDA was started"))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state: pytest.fail("CUDA was started"))
    seeding.prepare(0, 1, "cpu")
    assert torch.backends.cudnn.allow_tf32 is False
    states = seeding.generator_states()
    assert set(states) == {"cpu"}
    seeding.restore_generators(states | {"cuda": states["cpu"]})
