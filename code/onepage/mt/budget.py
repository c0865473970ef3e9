"""Scale the Transformer's training to given minutes, from rates measured on this machine."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from onepage.data.translation import TranslationSet
from onepage.mt.recipe import Recipe
from onepage.mt.train import train
from onepage.runs import history

UPDATES = {"cpu": 120, "cuda": 600}  # of a short training; its first third warms up and is not timed
MARGIN = 0.02  # of the budget, for checkpoints and other overhead


def measure(recipe: Recipe, data: TranslationSet, plan: dict[str, Any]) -> dict[str, float]:
    """Seconds per update and per validation, measured with the training loop in a temporary folder.

    A validation runs forward only: it costs a third of the updates with as many sentences, and with R-Drop, which runs
    each batch twice, a sixth.
    """
    short = dataclasses.replace(recipe, updates=UPDATES[plan["device"]], validations=3)
    with tempfile.TemporaryDirectory() as folder:
        train(short, data, Path(folder), plan)
        first, *_, last = history.read(Path(folder) / "history.jsonl")
    an_epoch = last["step"] / max(last["epoch"], 1e-3)
    sentences = len(data.splits["val"][0]) / len(data.splits["train"][0])
    validation = an_epoch * sentences / (6 if recipe.r_drop else 3)  # in updates
    timed = last["step"] - first["step"] + 2 * validation
    update = max(1e-5, (last["seconds"] - first["seconds"]) / timed)
    return {"update": update, "validation": validation * update}


def fit(recipe: Recipe, data: TranslationSet, rates: dict[str, float], minutes: float) -> Recipe:
    """The recipe with the number of updates that end after ``minutes`` of training at these rates."""
    available = (1 - MARGIN) * 60 * minutes - recipe.validations * rates["validation"]
    updates = int(available / rates["update"]) // 10 * 10
    return dataclasses.replace(recipe, updates=max(10, updates))


def summary(recipe: Recipe) -> str:
    """The length of the recipe's training, for a message."""
    return f"{recipe.updates:,} updates"
