"""BLEU, chrF2 and exact matches of every test set recomputed, from the outputs and the references on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sacrebleu

from onepage.data import translation
from onepage.tasks import Recount

COPIED = ("_source", "_reference")
"""Endings of the arrays that are copies of test data; reference results leave them out."""


def recount(metrics: Mapping[str, Any], data_dir: Path, arrays: Mapping[str, np.ndarray]) -> Recount:
    """Scores of the beam outputs (n,) of each test set, and BLEU of the greedy ones.

    Raises UserError if the data is missing or damaged.
    """
    data = translation.load_translation(data_dir, str(metrics["set"]), str(metrics["src"]), str(metrics["tgt"]))
    found = Recount(data.digest)
    for test in data.tests:
        path, (sources, references) = f"tests.{test}.bleu.score", data.splits[test]
        beam, greedy = (arrays.get(f"{test}_{kind}") for kind in ("output", "greedy"))
        if beam is None or greedy is None or not beam.shape == greedy.shape == (len(references),):
            found.problems[path] = f"not one output for each of {len(references)} sentences of {test}"
            continue
        texts, of_greedy = ([str(text) for text in outputs] for outputs in (beam, greedy))
        found.values |= {
            path: sacrebleu.corpus_bleu(texts, [references], tokenize="13a").score,
            f"tests.{test}.bleu_greedy": sacrebleu.corpus_bleu(of_greedy, [references], tokenize="13a").score,
            f"tests.{test}.chrf2.score": sacrebleu.corpus_chrf(texts, [references]).score,
            f"tests.{test}.exact": sum(text == other for text, other in zip(texts, references, strict=True)),
        }
        for name, expected in (("source", sources), ("reference", references)):
            stored = arrays.get(f"{test}_{name}")
            if stored is not None and [str(text) for text in stored] != list(expected):
                found.problems[path] = f"its {name}s are not those of {test}"
    return found
