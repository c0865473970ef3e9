"""The parts of ResNet-18 that ``make ablate`` leaves out, and how each variant is scored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage.cls import evaluate
from onepage.cls.scores import wilson_interval
from onepage.data.images import ImageSet
from onepage.training.weights import count_parameters

VARIANTS: dict[str, Mapping[str, Any]] = {"whole": {}, "no-shortcuts": {"shortcut": False}}


def score(data: ImageSet, run: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracy on the validation images: ``score``, its 95 % Wilson ``interval``, ``n``, and ``parameters``."""
    model, recipe, plan, device = evaluate.load(run, len(data.class_names))
    logits, labels = evaluate.on_validation(model, data, recipe, plan["precision"], device)
    correct, n = int((logits.argmax(axis=1) == labels).sum()), len(labels)
    interval = wilson_interval(correct, n)
    return {"score": correct / n, "interval": interval, "n": n, "parameters": count_parameters(model)}


def show(row: Mapping[str, Any]) -> str:
    """A variant's score as text."""
    low, high = row["interval"]
    return f"{row['score']:.2%} of validation images ({low:.2%} to {high:.2%}, n={row['n']:,})"
