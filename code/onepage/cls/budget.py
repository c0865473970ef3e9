"""Scale ResNet-18's training to given minutes, from rates measured on this machine."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from onepage.cls.recipe import Recipe, Stage
from onepage.cls.train import train
from onepage.data.images import ImageSet
from onepage.runs import history

UPDATES = {"cpu": 20, "cuda": 1000}  # at each size; the first fifth warms up and is not timed
HELD_OUT = 100  # validation images while measuring: few, so that almost only updates are timed
MARGIN = 0.03  # of the budget, for checkpoints and other overhead


def measure(recipe: Recipe, images: ImageSet, plan: dict[str, Any]) -> dict[str, float]:
    """Training images per second at each image size of the recipe, by the training loop in a temporary folder."""
    rates = {}
    updates = UPDATES[plan["device"]]
    held_out = min(HELD_OUT, recipe.validation_size)
    used = recipe.train_images or len(images.train_images) - held_out
    for size in sorted({stage.image_size for stage in recipe.stages}):
        stage = Stage(updates / max(1, used // recipe.batch_size), size)
        short = dataclasses.replace(recipe, stages=(stage,), validations=5, validation_size=held_out)
        with tempfile.TemporaryDirectory() as folder:
            train(short, images, Path(folder), plan)
            first, *between, last = history.read(Path(folder) / "history.jsonl")
        validated = (len(between) + 1) * held_out / 3  # forward only: a third of the work
        images_seen = last["images"] - first["images"] + validated
        rates[str(size)] = images_seen / max(1e-3, last["seconds"] - first["seconds"])
    return rates


def fit(recipe: Recipe, images: ImageSet, rates: dict[str, float], minutes: float) -> Recipe:
    """The recipe with all epochs scaled by one factor, to end after ``minutes`` of training at these rates.

    The largest image size is left out as long as less than one epoch would remain for it.
    """
    n = recipe.train_images or len(images.train_images) - recipe.validation_size
    stages = list(recipe.stages)
    while True:
        # a validation runs forward only: a third of the work
        validating = recipe.validations * recipe.validation_size / (3 * rates[str(stages[-1].image_size)])
        available = (1 - MARGIN) * 60 * minutes - validating
        needed = sum(stage.epochs * n / rates[str(stage.image_size)] for stage in stages)
        factor = max(available, 0.0) / needed
        if len(stages) == 1 or stages[-1].epochs * factor >= 1:
            break
        stages.pop()
    least = recipe.batch_size / n
    fitted = tuple(Stage(max(least, round(stage.epochs * factor, 3)), stage.image_size) for stage in stages)
    return dataclasses.replace(recipe, stages=fitted)


def summary(recipe: Recipe) -> str:
    """The length of the recipe's training, for a message."""
    return ", then ".join(f"{stage.epochs:.2f} epochs at {stage.image_size} px" for stage in recipe.stages)
