"""Scores of a classifier from logits and labels: accuracy with its interval, calibration, confusion."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BINS = 15  # of confidence, equally wide


def wilson_interval(correct: int, n: int, z: float = 1.959963984540054) -> list[float]:
    """95 % interval of a proportion (Wilson 1927): [low, high]."""
    if n == 0:
        return [0.0, 1.0]
    share = correct / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return [max(0.0, centre - half), min(1.0, centre + half)]


def accuracy(correct: int, n: int) -> dict[str, Any]:
    """Accuracy and its 95 % Wilson interval."""
    return {"accuracy": correct / n, "accuracy_interval": wilson_interval(correct, n)}


def softmax(logits: Array) -> Array:
    """Probabilities (N, classes) in float64 from logits (N, classes)."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    exponent = np.exp(shifted)
    return exponent / exponent.sum(axis=1, keepdims=True)


def negative_log_likelihood(probabilities: Array, labels: Array) -> float:
    """Mean of -log p(true class), nats."""
    picked = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(picked, 1e-300)).mean())


def reliability(probabilities: Array, labels: Array) -> list[dict[str, Any]]:
    """The reliability diagram (Guo et al. 2017, section 2): a row for each of 15 equal bins of confidence, ascending.

    Each has n, mean confidence, accuracy and its 95 % Wilson interval; the last three are None in an empty bin.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    number = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows: list[dict[str, Any]] = []
    for k in range(BINS):
        inside = number == k
        n, right = int(inside.sum()), int(correct[inside].sum())
        values = (float(confidence[inside].mean()), right / n, wilson_interval(right, n)) if n else (None,) * 3
        rows.append({"n": n, **dict(zip(("confidence", "accuracy", "accuracy_interval"), values, strict=True))})
    return rows


def expected_calibration_error(bins: list[dict[str, Any]]) -> float:
    """ECE (Guo et al. 2017, equation 3) of ``reliability``'s rows: mean gap between confidence and accuracy."""
    gaps = [row["n"] * abs(row["accuracy"] - row["confidence"]) for row in bins if row["n"]]
    return sum(gaps) / max(1, sum(row["n"] for row in bins))


def calibration(probabilities: Array, labels: Array) -> dict[str, Any]:
    """Calibration of probabilities (N, classes): NLL, Brier score, ECE and its bins."""
    bins = reliability(probabilities, labels)
    return {
        "nll": negative_log_likelihood(probabilities, labels),
        "brier": brier_score(probabilities, labels),
        "ece": expected_calibration_error(bins),
        "reliability": bins,
    }


def brier_score(probabilities: Array, labels: Array) -> float:
    """Mean squared distance between the probabilities and the one-hot truth, from 0 to 2 (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(np.square(probabilities - truth).sum(axis=1).mean())


def fit_temperature(logits: Array, labels: Array) -> float:
    """The T > 0 with the least NLL of softmax(logits / T) (Guo et al. 2017, section 4.2), from 0.05 to 20.

    NLL is convex in 1/T and so has one minimum, which golden-section search finds.
    """
    low, high = math.log(0.05), math.log(20.0)
    ratio = (math.sqrt(5) - 1) / 2

    def loss(exponent: float) -> float:
        return negative_log_likelihood(softmax(logits.astype(np.float64) / math.exp(exponent)), labels)

    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [loss(inner[0]), loss(inner[1])]
    while high - low > 1e-4:
        if values[0] <= values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - ratio * (high - low)
            values[0] = loss(inner[0])
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + ratio * (high - low)
            values[1] = loss(inner[1])
    return math.exp((low + high) / 2)


def calibrated(logits: Array, labels: Array, temperature: float) -> dict[str, Any]:
    """``calibration`` of the logits divided by a temperature, which was fitted on other images."""
    return {"temperature": temperature, **calibration(softmax(logits.astype(np.float64) / temperature), labels)}


def confusion_matrix(labels: Array, predicted: Array, classes: int) -> Array:
    """Counts (classes, classes): rows true, columns predicted."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_class(confusion: Array, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Name, n, recall and precision of each class (0 if a class never occurs or is never predicted)."""
    rows = []
    for k, name in enumerate(names):
        true, predicted = int(confusion[k].sum()), int(confusion[:, k].sum())
        hits = int(confusion[k, k])
        rows.append({"name": name, "n": true, "recall": hits / max(true, 1), "precision": hits / max(predicted, 1)})
    return rows


def top_confusions(confusion: Array, names: tuple[str, ...], count: int = 10) -> list[dict[str, Any]]:
    """The most frequent (true, predicted) mistakes, with their share in the true class."""
    classes = len(names)
    cells = [(int(confusion[i, j]), i, j) for i in range(classes) for j in range(classes) if i != j]
    cells.sort(key=lambda cell: (-cell[0], cell[1], cell[2]))
    return [
        {"true": names[i], "predicted": names[j], "count": n, "share": n / max(1, int(confusion[i].sum()))}
        for n, i, j in cells[:count]
        if n > 0
    ]


def summary(logits: Array, labels: Array, names: tuple[str, ...]) -> dict[str, Any]:
    """All scores of logits (N, classes) in metrics.json."""
    predicted = logits.argmax(axis=1)
    correct, n = int((predicted == labels).sum()), len(labels)
    confusion = confusion_matrix(labels, predicted, len(names))
    return {
        "n": n,
        "correct": correct,
        **accuracy(correct, n),
        **calibration(softmax(logits), labels),
        "per_class": per_class(confusion, names),
        "confusion": confusion.tolist(),
        "top_confusions": top_confusions(confusion, names),
    }
