"""The scores of a run counted anew: from its predictions.npz, and from labels and references in digest-checked data.

Nothing here reads a score from metrics.json; ``verify`` compares. numpy, sacrebleu and the data loaders are
imported where they are needed.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass
class Recount:
    """Scores by their path in metrics.json, and what is wrong with the arrays behind a path."""

    data_digest: str
    values: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


def recount(metrics: Mapping[str, Any], predictions: Path, data_dir: Path) -> Recount:
    """Test accuracy, or BLEU on every test set, of the run that ``metrics`` names.

    Raises UserError where the data is not here or damaged, ValueError for predictions that cannot be read.
    """
    arrays = _arrays(predictions)
    if metrics["task"] == "cls":
        return _accuracy(str(metrics["set"]), data_dir, arrays)
    return _bleu(str(metrics["set"]), str(metrics["src"]), str(metrics["tgt"]), data_dir, arrays)


def _arrays(path: Path) -> "dict[str, np.ndarray]":
    """Every array of an .npz, without pickle."""
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from error


def _accuracy(set_name: str, data_dir: Path, arrays: "dict[str, np.ndarray]") -> Recount:
    """From logits (N, classes) and the test labels on disk (N,)."""
    from onepage.data.images import load_images

    path, data = "test.accuracy", load_images(data_dir, set_name)
    found = Recount(data.digest)
    logits, stored = arrays.get("logits"), arrays.get("labels")
    if logits is None or logits.ndim != 2 or len(logits) != len(data.test_labels):
        found.problems[path] = f"not one row of logits for each of {len(data.test_labels)} test images"
        return found
    found.values[path] = float((logits.argmax(1) == data.test_labels).mean())
    if stored is None or stored.shape != data.test_labels.shape or (stored != data.test_labels).any():
        found.problems[path] = "its labels are not those of the test set"
    return found


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
