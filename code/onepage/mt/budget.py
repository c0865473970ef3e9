"""Lay the Transformer's training out to end within given minutes, from rates measured on this machine."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from onepage.data.translation import TranslationSet
from onepage.mt.train import Recipe, train
from onepage.training import history

UPDATES = {"cpu": (20, 100), "cuda": (60, 400)}  # of two short trainings: their difference tells an update's time
MARGIN = 0.02  # of the budget, for checkpoints and what else a whole training meets


def measure(recipe: Recipe, data: TranslationSet, block: dict[str, Any]) -> dict[str, float]:
    """Seconds an update and a validation, by the training loop itself in a temporary folder."""
    seconds = []
    for updates in UPDATES[block["device"]]:
        short = dataclasses.replace(recipe, updates=updates, validations=2)
        with tempfile.TemporaryDirectory() as folder:
            train(short, data, Path(folder), block)
            first, last = history.read(Path(folder) / "history.jsonl")
        seconds.append(last["seconds"] - first["seconds"])  # of half the updates and one validation
    few, many = UPDATES[block["device"]]
    update = max(1e-5, (seconds[1] - seconds[0]) / ((many - few) / 2))
    return {"update": update, "validation": max(0.0, seconds[0] - update * few / 2)}


def fit(recipe: Recipe, data: TranslationSet, rates: dict[str, float], minutes: float) -> Recipe:
    """The recipe with as many updates as end after ``minutes`` of training at these rates."""
    available = (1 - MARGIN) * 60 * minutes - recipe.validations * rates["validation"]
    updates = int(available / rates["update"]) // 10 * 10
    return dataclasses.replace(recipe, updates=max(10, updates))


def summary(recipe: Recipe) -> str:
    """What the recipe lays out, for a message."""
    return f"{recipe.updates:,} updates"
