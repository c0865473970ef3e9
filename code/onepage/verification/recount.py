"""The scores of a run counted anew: from its predictions.npz, and from labels and references in digest-checked data.

Nothing here reads a score from metrics.json; ``verify`` compares. numpy, sacrebleu and the data loaders are
imported where they are needed.
"""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onepage.verification.claims import at, is_number

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Recount:
    """Scores by their path in metrics.json, and what is wrong with the arrays behind a path."""

    data_digest: str
    values: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def recount(metrics: Mapping[str, Any], predictions: Path, data_dir: Path) -> Recount:
    """The test scores of a classifier, or BLEU on every test set, of the run that ``metrics`` names.

    Raises UserError where the data is not here or damaged, ValueError for predictions that cannot be read.
    """
    arrays = _arrays(predictions)
    if metrics["task"] == "cls":
        return _classified(metrics, data_dir, arrays)
    return _bleu(str(metrics["set"]), str(metrics["src"]), str(metrics["tgt"]), data_dir, arrays)


def _arrays(path: Path) -> "dict[str, np.ndarray]":
    """Every array of an .npz, without pickle."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from error


def _classified(metrics: Mapping[str, Any], data_dir: Path, arrays: "dict[str, np.ndarray]") -> Recount:
    """From logits (N, classes) and the test labels on disk (N,).

    Of metrics.json only the temperature is taken, where there is one: it was fitted on other images.
    """
    import numpy as np

    from onepage.data.images import load_images

    path, data = "test.accuracy", load_images(data_dir, str(metrics["set"]))
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
    if "calibrated" in metrics["test"]:
        temperature = at(metrics, "test.calibrated.temperature")
        if is_number(temperature) and 0 < temperature < math.inf:
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


def _calibration(logits: "np.ndarray", labels: "np.ndarray") -> dict[str, float]:
    """Negative log-likelihood in nats, Brier score, and calibration error over 15 equal bins of confidence."""
    import numpy as np

    with np.errstate(all="ignore"):  # of logits that are no numbers: the scores then are none, and agree with nothing
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


def _bleu(set_name: str, src: str, tgt: str, data_dir: Path, arrays: "dict[str, np.ndarray]") -> Recount:
    """From the beam outputs (n,) of each test set and the references on disk."""
    import sacrebleu

    from onepage.data.translation import load_translation

    data = load_translation(data_dir, set_name, src, tgt)
    found = Recount(data.digest)
    for test in data.tests:
        path, (sources, references) = f"tests.{test}.bleu.score", data.splits[test]
        outputs = arrays.get(f"{test}_output")
        if outputs is None or outputs.shape != (len(references),):
            found.problems[path] = f"not one output for each of {len(references)} sentences of {test}"
            continue
        texts = [str(text) for text in outputs]
        found.values[path] = sacrebleu.corpus_bleu(texts, [references], tokenize="13a").score
        for name, expected in (("source", sources), ("reference", references)):
            stored = arrays.get(f"{test}_{name}")
            if stored is None or [str(text) for text in stored] != list(expected):
                found.problems[path] = f"its {name}s are not those of {test}"
    return found
