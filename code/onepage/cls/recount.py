"""The test scores of a classifier recomputed from its logits and the labels on disk.

Independent of ``scores`` and ``evaluate``, and with other formulas where they exist.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onepage.data import images
from onepage.tasks import Recount

COPIED = ("_images",)
"""Endings of the arrays that are copies of test data; reference results leave them out."""


def recount(metrics: Mapping[str, Any], data_dir: Path, arrays: Mapping[str, np.ndarray]) -> Recount:
    """Scores from logits (N, classes) and the test labels on disk (N,); the temperature is that of metrics.json.

    Raises UserError if the data is missing or damaged.
    """
    path, data = "test.accuracy", images.load_images(data_dir, str(metrics["set"]))
    found = Recount(data.digest)
    logits, stored, labels = arrays.get("logits"), arrays.get("labels"), data.test_labels
    if logits is None or logits.shape != (len(labels), len(data.class_names)):
        found.problems[path] = f"not one row of logits for each of {len(labels)} test images"
        return found
    predicted, n = logits.argmax(1), len(labels)
    correct = int((predicted == labels).sum())
    found.values |= {path: correct / n, "test.n": n, "test.correct": correct}
    found.values |= {f"test.accuracy_interval.{k}": end for k, end in enumerate(_wilson(correct, n))}
    if stored is None or stored.shape != labels.shape or (stored != labels).any():
        found.problems[path] = "its labels are not those of the test set"
    for true in range(logits.shape[1]):
        of_class, called = labels == true, predicted == true
        hits = int((of_class & called).sum())
        found.values[f"test.per_class.{true}.recall"] = hits / max(1, int(of_class.sum()))
        found.values[f"test.per_class.{true}.precision"] = hits / max(1, int(called.sum()))
        for given in range(logits.shape[1]):
            found.values[f"test.confusion.{true}.{given}"] = int((of_class & (predicted == given)).sum())
    in_float64 = logits.astype(np.float64)
    found.values |= {f"test.{name}": value for name, value in _calibration(in_float64, labels).items()}
    temperature = metrics["test"]["calibrated"].get("temperature")
    if type(temperature) in (int, float) and 0 < temperature < 1e300:
        scaled = _calibration(in_float64 / temperature, labels)
        found.values |= {f"test.calibrated.{name}": value for name, value in scaled.items()}
    else:
        found.problems["test.calibrated.nll"] = "no positive temperature beside it in metrics.json"
    return found


def _wilson(correct: int, n: int) -> tuple[float, float]:
    """The 95 % interval of ``correct`` of ``n``: the shares p with |correct / n - p| = z sqrt(p (1 - p) / n)."""
    z = 1.959963984540054
    spread = z * math.sqrt(z * z + 4 * correct * (n - correct) / n)
    low, high = ((2 * correct + z * z + sign * spread) / (2 * (n + z * z)) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def _calibration(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Negative log-likelihood in nats, Brier score, and calibration error over 15 equal bins of confidence."""
    with np.errstate(all="ignore"):  # NaN logits give NaN scores, which agree with nothing
        raised = np.exp(logits - logits.max(1, keepdims=True))
        probabilities = raised / raised.sum(1, keepdims=True)
        of_true = probabilities[np.arange(len(labels)), labels]
        sure, right = probabilities.max(1), probabilities.argmax(1) == labels
        place = np.clip((sure * 15).astype(int), 0, 14)
        gaps = [abs(float((sure[place == k] - right[place == k]).sum())) for k in range(15)]
        squared = (probabilities**2).sum(1) - 2 * of_true + 1  # |p - e|^2 for the unit vector e of the true class
        return {
            "nll": float(-np.log(np.maximum(of_true, 1e-300)).mean()),
            "brier": float(squared.mean()),
            "ece": sum(gaps) / len(labels),
        }
