"""Same seed, same bytes; stopped and resumed, the same bytes; a damaged checkpoint costs no run."""

import os
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


def run(task, folder, seed=0, precision="fp32"):
    train, recipe, data = TASKS[task]
    block = {"task": task, "set": "toy", "generated": True, "profile": "test", "seed": seed, "data_digest": "d" * 64}
    block |= {"device": "cpu", "precision": precision, "threads": 1}
    train(recipe, data(), folder, block)
    weights, _ = checkpoint.load_model(folder / "model.pt")
    return digest_tensors(weights)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def stop_after(monkeypatch, updates):
    """Send this process SIGTERM when so many updates are done."""
    real = Reporter.advance

    def advance(self, units, note):
        real(self, units, note)
        if self.done == updates:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Reporter, "advance", advance)
    return lambda: monkeypatch.setattr(Reporter, "advance", real)


@pytest.mark.parametrize("task", ["cls", "mt"])
def test_same_seed_same_bytes_and_another_seed_others(task, tmp_path):
    first, again, other = (run(task, tmp_path / name, seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first == again != other
    rows = history.read(tmp_path / "a" / "history.jsonl")
    assert len(rows) == 2 and all(np.isfinite(row["val_loss"]) for row in rows)


@pytest.mark.parametrize("task", ["cls", "mt"])
@pytest.mark.parametrize("updates", [1, 3])
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


def test_without_the_generators_a_resumed_run_differs(tmp_path, monkeypatch):
    straight = run("mt", tmp_path / "straight")  # its dropout draws from the default generator
    undo = stop_after(monkeypatch, 3)
    with pytest.raises(session.Interrupted):
        run("mt", tmp_path / "stopped")
    undo()
    monkeypatch.setattr(seeding, "restore_generators", lambda states: None)
    assert run("mt", tmp_path / "stopped") != straight


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, monkeypatch, capsys):
    straight = run("mt", tmp_path / "straight")
    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 0.0)  # a checkpoint after every update
    undo = stop_after(monkeypatch, 5)
    with pytest.raises(session.Interrupted):
        run("mt", tmp_path / "stopped")
    undo()
    files = sorted((tmp_path / "stopped").glob("checkpoint-*.pt"))
    assert len(files) == 2
    files[-1].write_bytes(files[-1].read_bytes()[:-50])
    assert run("mt", tmp_path / "stopped") == straight
    assert f"{files[-1].name} is damaged; going on from the one before" in capsys.readouterr().out


def test_a_checkpoint_of_another_recipe_is_refused_by_its_keys(tmp_path, monkeypatch):
    undo = stop_after(monkeypatch, 3)
    with pytest.raises(session.Interrupted):
        run("mt", tmp_path)
    undo()
    with pytest.raises(UserError, match=r"another recipe.*seed 0 -> 1"):
        run("mt", tmp_path, seed=1)


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    run("mt", tmp_path)
    monkeypatch.setattr(Reporter, "__init__", lambda *a, **k: pytest.fail("trained again"))
    run("mt", tmp_path)


def test_a_hostile_checkpoint_runs_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "pwned"),))

    torch.save({"weights": Evil(), "identity": {}}, tmp_path / "model.pt")
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load_model(tmp_path / "model.pt")
    assert not (tmp_path / "pwned").exists()


def test_cuda_asked_for_and_absent_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA GPU")
    with pytest.raises(UserError, match="no CUDA GPU"):
        seeding.prepare(0, 1, "cuda")
