"""Same seed, same bytes; stopped and resumed, the same bytes; a damaged checkpoint costs no run."""

import dataclasses
import json
import os
import re
import signal

import numpy as np
import pytest
import torch

from onepage.cls.train import Recipe as ClsRecipe
from onepage.cls.train import Stage
from onepage.cls.train import train as train_cls
from onepage.data.images import ImageSet
from onepage.data.translation import TranslationSet
from onepage.errors import UserError
from onepage.files import sha256_file
from onepage.mt.train import Recipe as MtRecipe
from onepage.mt.train import train as train_mt
from onepage.training import checkpoint, history, seeding, session
from onepage.training.progress import Reporter
from onepage.training.weights import digest_tensors

CLS = ClsRecipe(
    stages=(Stage(1.0, 8), Stage(1.0, 12)),
    batch_size=32,
    optimiser="muon",
    learning_rate=0.1,
    momentum=0.7,
    weight_decay=1e-4,
    validations=2,
    validation_size=16,
    threads=1,
)
MT = MtRecipe(
    updates=8,
    batch_tokens=120,
    learning_rate=1e-3,
    vocabulary=80,
    validations=2,
    d_model=16,
    d_ff=32,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    dropout=0.2,
    threads=1,
)


def image_set():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (80, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(80) % 10
    return ImageSet("toy-images", True, "d" * 64, tuple("abcdefghij"), pixels, labels, pixels[:8], labels[:8])


def sentences():
    source = [f"the {a} dog sees {b} cats ." for a in ("big", "small", "red") for b in range(20)]
    target = [f"der {a} Hund sieht {b} Katzen ." for a in ("große", "kleine", "rote") for b in range(20)]
    splits = {"train": (source, target), "val": (source[:9], target[:9]), "test": (source[9:], target[9:])}
    return TranslationSet("toy-translation", True, "d" * 64, "en", "de", splits, ("test",), "test", {})


TASKS = {"cls": (train_cls, CLS, image_set), "mt": (train_mt, MT, sentences)}


def run(task, folder, seed=0, precision="fp32", program="", **changes):
    train, recipe, data = TASKS[task]
    recipe = dataclasses.replace(recipe, **changes)
    block = {"task": task, "set": "toy", "generated": True, "profile": "test", "seed": seed, "data_digest": "d" * 64}
    block |= {"device": "cpu", "precision": precision, "threads": 1}
    train(recipe, data(), folder, block, program)
    weights, _ = checkpoint.load_model(folder / "model.pt")
    return digest_tensors(weights)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


def stop_after(monkeypatch, updates):
    """Send this process SIGTERM when so many updates are done."""
    real = Reporter.advance

    def advance(self, units, note):
        real(self, units, note)
        if self.done == updates:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Reporter, "advance", advance)
    return lambda: monkeypatch.setattr(Reporter, "advance", real)


@pytest.mark.parametrize("task", [pytest.param("cls", marks=pytest.mark.slow), "mt"])
def test_same_seed_same_bytes_and_another_seed_others(task, tmp_path):
    first, again, other = (run(task, tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first == again != other
    rows = history.read(tmp_path / "a" / "history.jsonl")
    assert len(rows) == 2 and all(np.isfinite(row["val_loss"]) for row in rows)


@pytest.mark.fault(
    "SIGTERM after any update",
    "`...: stopped after update ..., saved; run the same command to go on`; the same bytes as without",
)
@pytest.mark.parametrize(("task", "updates"), [pytest.param("cls", 3, marks=pytest.mark.slow), ("mt", 1), ("mt", 3)])
def test_stopped_and_resumed_ends_with_the_same_bytes(task, updates, tmp_path, monkeypatch):
    straight = run(task, tmp_path / "straight")
    undo = stop_after(monkeypatch, updates)
    with pytest.raises(session.Interrupted, match=f"after update {updates}, saved"):
        run(task, tmp_path / "stopped")
    undo()
    assert not (tmp_path / "stopped" / "model.pt").exists()
    assert run(task, tmp_path / "stopped") == straight
    plain = [{**row, "seconds": 0} for row in history.read(tmp_path / "straight" / "history.jsonl")]
    assert plain == [{**row, "seconds": 0} for row in history.read(tmp_path / "stopped" / "history.jsonl")]
    assert not list((tmp_path / "stopped").glob("checkpoint-*"))


def stopped(monkeypatch, folder, updates=3, **settings):
    """A Transformer's run that was told to stop after so many updates."""
    undo = stop_after(monkeypatch, updates)
    with pytest.raises(session.Interrupted):
        run("mt", folder, **settings)
    undo()


def whole_checkpoints(folder):
    """The checkpoints of a run, newest last, each with its digest beside it."""
    found = sorted(folder.glob("checkpoint-*.pt"))
    assert [sha256_file(path) for path in found] == [
        json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"] for path in found
    ]
    return found


def test_checkpoints_come_at_the_end_of_epochs_and_at_intervals_and_two_are_kept(tmp_path, monkeypatch):
    saved = []
    real = checkpoint.save

    def save(folder, update, state, identity):
        real(folder, update, state, identity)
        saved.append((update, state["loop"]["place"], len(whole_checkpoints(folder))))

    monkeypatch.setattr(checkpoint, "save", save)
    monkeypatch.setattr(session, "EPOCH_SECONDS", 0.0)
    straight = run("mt", tmp_path / "epochs", updates=32)
    assert len(saved) >= 2 and all(place == 0 for _, place, _ in saved)  # nowhere but between two epochs
    assert saved[-1][0] < 32 and [kept for _, _, kept in saved][:2] == [1, 2]
    epoch, saved[:] = saved[0][0], []
    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 0.0)
    assert run("mt", tmp_path / "intervals", updates=32) == straight
    assert [update for update, _, _ in saved] == list(range(1, 33)) and saved[epoch - 2][1] == epoch - 1
    assert [kept for _, _, kept in saved] == [1] + [2] * 31


def left_out(part, loop):
    """What a checkpoint would hold if it left this part out: what a run that starts has there."""
    if part == "optimisers":
        return {**loop, "optimisers": [{**state, "state": {}} for state in loop["optimisers"]]}
    return {**loop, **{"average": {"average": loop["model"]}, "place": {"place": 0}}.get(part, {})}


@pytest.mark.fault("a checkpoint that leaves a part out", "other weights: each part that is saved is needed")
@pytest.mark.parametrize("part", ["nothing", "generators", "average", "optimisers", "place"])
def test_without_a_part_of_the_checkpoint_a_resumed_run_differs(part, tmp_path, monkeypatch):
    straight = run("mt", tmp_path / "straight")
    stopped(monkeypatch, tmp_path / "stopped")
    real = checkpoint.latest

    def latest(folder, identity, say):
        state = real(folder, identity, say)
        assert state["loop"]["place"] == 3  # in mid-epoch
        return {**state, "loop": left_out(part, state["loop"])}

    monkeypatch.setattr(checkpoint, "latest", latest)
    if part == "generators":  # dropout draws from the default one
        monkeypatch.setattr(seeding, "restore_generators", lambda states: None)
    assert (run("mt", tmp_path / "stopped") == straight) == (part == "nothing")


def truncate(path):
    path.write_bytes(path.read_bytes()[:-50])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path):
    path.unlink()


def make_hostile(path):
    """Code to run, under a digest that fits."""
    pwned = path.with_name("pwned")

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(pwned),))

    torch.save({"loop": Evil()}, path)
    meta = path.with_suffix(".json")
    values = json.loads(meta.read_text(encoding="utf-8")) | {"sha256": sha256_file(path)}
    meta.write_text(json.dumps(values), encoding="utf-8")


@pytest.mark.fault(
    "the last checkpoint truncated, changed in one bit, gone, hostile",
    "`... is damaged; ...`, `going on from the one before`; the same bytes",
)
@pytest.mark.parametrize(
    ("damage", "suffix"),
    [(truncate, ".pt"), (flip_a_bit, ".pt"), (remove, ".pt"), (truncate, ".json"), (make_hostile, ".pt")],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage, suffix, tmp_path, monkeypatch, capsys):
    straight = run("mt", tmp_path / "straight")
    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 0.0)  # a checkpoint after every update
    stopped(monkeypatch, tmp_path / "stopped", updates=5)
    before, last = whole_checkpoints(tmp_path / "stopped")
    damage(last.with_suffix(suffix))
    capsys.readouterr()
    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 60.0)
    stopped(monkeypatch, tmp_path / "stopped", updates=7)
    said = capsys.readouterr().out
    assert f"{last.name} is damaged; going on from the one before" in said and "going on at update 4 of 8" in said
    # the damaged one does not take the place of a whole one
    assert [path.name for path in whole_checkpoints(tmp_path / "stopped")] == [before.name, "checkpoint-00000007.pt"]
    assert run("mt", tmp_path / "stopped") == straight
    assert not (tmp_path / "stopped" / "pwned").exists()


@pytest.mark.fault("every checkpoint damaged", "`none is left, training starts anew`")
def test_with_no_whole_checkpoint_left_training_starts_anew(tmp_path, monkeypatch, capsys):
    straight = run("mt", tmp_path / "straight")
    stopped(monkeypatch, tmp_path / "stopped")
    truncate(whole_checkpoints(tmp_path / "stopped")[0])
    assert run("mt", tmp_path / "stopped") == straight
    assert "checkpoint-00000003.pt is damaged; none is left, training starts anew" in capsys.readouterr().out


@pytest.mark.fault("half-written files that a kill left", "removed; the run goes on")
def test_what_a_kill_left_half_written_goes_when_the_run_goes_on(tmp_path, monkeypatch):
    stopped(monkeypatch, tmp_path)
    for name in (".checkpoint-00000004.pt.x1.tmp", ".history.jsonl.x2.tmp", "checkpoint-00000004.pt"):
        (tmp_path / name).write_bytes(b"half")
    stopped(monkeypatch, tmp_path, updates=5)
    names = {path.name for path in tmp_path.iterdir()}
    assert not {name for name in names if name.endswith(".tmp")} and "checkpoint-00000004.pt" not in names
    assert len(whole_checkpoints(tmp_path)) == 2


@pytest.mark.fault(
    "a checkpoint of another recipe", "`... is of another recipe (...); ...`, naming the keys that differ"
)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 1}, r"\(seed 0 -> 1\)"),
        ({"dropout": 0.1, "heads": 1}, r"\(dropout 0.2 -> 0.1, heads 2 -> 1\)"),
        ({"program": "b" * 64}, r"\(the code that trains has changed\)"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused_by_its_keys(change, says, tmp_path, monkeypatch):
    stopped(monkeypatch, tmp_path / "stopped")
    before = {path.name: path.read_bytes() for path in (tmp_path / "stopped").iterdir()}
    with pytest.raises(UserError, match=r"checkpoint-00000003\.pt is of another recipe " + says):
        run("mt", tmp_path / "stopped", **change)
    assert {path.name: path.read_bytes() for path in (tmp_path / "stopped").iterdir()} == before
    assert run("mt", tmp_path / "stopped") == run("mt", tmp_path / "straight")  # put back, it goes on


@pytest.mark.fault("final weights of another recipe", "`the weights in ...; training anew`")
def test_finished_weights_of_another_recipe_are_replaced_and_that_is_said(tmp_path, capsys):
    run("mt", tmp_path / "there")
    assert "training anew" not in capsys.readouterr().out
    (tmp_path / "there" / "metrics.json").write_text("{}", encoding="utf-8")
    assert run("mt", tmp_path / "there", dropout=0.1) == run("mt", tmp_path / "straight", dropout=0.1)
    said = capsys.readouterr().out
    assert re.search(r"weights in \S+there are of another recipe \(dropout 0.2 -> 0.1\); training anew", said)
    assert not (tmp_path / "there" / "metrics.json").exists()


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    run("mt", tmp_path)
    (tmp_path / "checkpoint-00000008.pt").write_bytes(b"of a run killed before it could remove it")
    monkeypatch.setattr(Reporter, "__init__", lambda *a, **k: pytest.fail("trained again"))
    run("mt", tmp_path)
    assert not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.fault("a checkpoint that would run code", "`... is damaged (...`; nothing is run")
def test_a_hostile_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    torch.save({"weights": Evil(), "identity": {}}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load_model(tmp_path / "model.pt")
    assert not (tmp_path / "pwned").exists()


@pytest.mark.fault(
    "CUDA asked for and absent, in training", "`DEVICE=cuda was asked for, but torch sees no CUDA GPU here; ...`"
)
def test_cuda_asked_for_and_absent_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(UserError, match="no CUDA GPU"):
        seeding.prepare(0, 1, "cuda")
