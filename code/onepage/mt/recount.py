"""BLEU of every test set recomputed by sacrebleu, from the outputs and the references on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu

from onepage.data import translation
from onepage.tasks import Recount


def recount(metrics: Mapping[str, Any], data_dir: Path, arrays: Mapping[str, np.ndarray]) -> Recount:
    """BLEU from the beam outputs (n,) of each test set; raises UserError if the data is missing or damaged."""
    data = translation.load_translation(data_dir, str(metrics["set"]), str(metrics["src"]), str(metrics["tgt"]))
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
