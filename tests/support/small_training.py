"""Very short trainings, for tests of the code around them: recipes, images, sentences, runs to stop.

On a CPU these use a ResNet-18 with few channels: its checkpoints are 1 MB, not 100 MB.
"""

import contextlib
import dataclasses
import functools
import json
import os
import signal

import numpy as np
import pytest
from torch import nn

from onepage.cls import evaluate as evaluate_cls
from onepage.cls import train as loop_cls
from onepage.cls.recipe import Recipe as ClsRecipe
from onepage.cls.recipe import Stage
from onepage.cls.resnet import ResNet18
from onepage.data.images import ImageSet
from onepage.data.translation import TranslationSet
from onepage.errors import Interrupted
from onepage.files import sha256_file
from onepage.mt.recipe import Recipe as MtRecipe
from onepage.mt.train import train as train_mt
from onepage.terminal.progress import Reporter
from onepage.training import checkpoint
from onepage.training.distributed import ALONE
from onepage.training.weights import digest_tensors

CLS = ClsRecipe(
    stages=(Stage(1.0, 8), Stage(1.0, 12)),
    batch_size=32,
    optimiser="muon",
    sgd_learning_rate=0.1,
    muon_learning_rate=0.1,
    muon_momentum=0.7,
    weight_decay=1e-4,
    validations=2,
    validation_size=16,
    threads=1,
)
MT = MtRecipe(
    updates=8,
    batch_tokens=120,
    adamw_learning_rate=1e-3,
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


def image_set() -> ImageSet:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (80, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(80) % 10
    return ImageSet("toy-images", True, "d" * 64, tuple("abcdefghij"), pixels, labels, pixels[:8], labels[:8])


def sentences() -> TranslationSet:
    source = [f"the {a} dog sees {b} cats ." for a in ("big", "small", "red") for b in range(20)]
    target = [f"der {a} Hund sieht {b} Katzen ." for a in ("große", "kleine", "rote") for b in range(20)]
    splits = {"train": (source, target), "val": (source[:9], target[:9]), "test": (source[9:], target[9:])}
    return TranslationSet("toy-translation", True, "d" * 64, "en", "de", splits, ("test",), "test", {})


TASKS = {"cls": (loop_cls.train, CLS, image_set), "mt": (train_mt, MT, sentences)}


class Narrow(ResNet18):
    """The same layers under the same names, with few channels after the first convolution."""

    def __init__(self, classes=10, shortcut=True):
        nn.Module.__init__(self)
        self.conv1, self.bn1, self.relu = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()
        widths = (64, 16, 20, 24, 28)
        for number in (1, 2, 3, 4):
            stage = self._stage(widths[number - 1], widths[number], 1 if number == 1 else 2, shortcut)
            self.add_module(f"layer{number}", stage)
        self.fc = nn.Linear(widths[-1], classes)


@contextlib.contextmanager
def narrow():
    """Train and evaluate ``Narrow`` instead of ResNet-18 in the block."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (loop_cls, evaluate_cls):
            patch.setattr(module, "ResNet18", Narrow)
        yield


def run(task, folder, seed=0, precision="fp32", program="", ranks=ALONE, device="cpu", **changes):
    train, recipe, data = TASKS[task]
    recipe = dataclasses.replace(recipe, **changes)
    plan = {"task": task, "set": "toy", "generated": True, "profile": "test", "seed": seed, "data_digest": "d" * 64}
    plan |= {"device": device, "precision": precision, "threads": 1}
    with narrow() if device == "cpu" else contextlib.nullcontext():
        train(recipe, data(), folder, plan, program, ranks)
    weights, _ = checkpoint.load_model(folder / "model.pt")
    return digest_tensors(weights)


def stop_after(monkeypatch, updates):
    """Send this process SIGTERM after the given number of updates; return a function that undoes this."""
    real = Reporter.advance

    def advance(self, units, note):
        real(self, units, note)
        if self.done == updates:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Reporter, "advance", advance)
    return lambda: monkeypatch.setattr(Reporter, "advance", real)


def stopped(monkeypatch, folder, updates=3, task="mt", **settings):
    """Train a run and stop it after the given number of updates."""
    undo = stop_after(monkeypatch, updates)
    with pytest.raises(Interrupted):
        run(task, folder, **settings)
    undo()


def stopped_once(tmp_path_factory, updates):
    """A function that returns a task's run, stopped after ``updates(task)``: trained once, for tests to copy."""

    @functools.cache
    def trained(task):
        folder = tmp_path_factory.mktemp(task) / "stopped"
        with pytest.MonkeyPatch.context() as patch:
            stopped(patch, folder, updates=updates(task), task=task)
        return folder

    return trained


def whole_checkpoints(folder):
    """The checkpoints of a run, newest last; asserts that each has its digest beside it."""
    found = sorted(folder.glob("checkpoint-*.pt"))
    assert [sha256_file(path) for path in found] == [
        json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["sha256"] for path in found
    ]
    return found
