"""Evaluation without sacremoses, and its choice of sentences for the page and for exploring."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from onepage.mt import evaluate
from onepage.mt.evaluate import examples
from small_training import run, sentences


def arrays_of(chrf):
    lines = np.array([str(i) for i in range(len(chrf))])
    names = ("source", "reference", "output")
    return {"test_chrf": np.array(chrf, np.float32)} | {f"test_{name}": lines for name in names}


def test_examples_are_best_median_and_worst():
    chrf = [10.0, 100.0, 50.0, 99.0, 20.0, 98.0, 60.0, 97.0, 40.0, 30.0, 96.0]
    found = [(row["kind"], row["chrf"], row["rank"]) for row in examples(arrays_of(chrf), "test")]
    assert found == [
        *[("best", 99, 2), ("best", 98, 3), ("best", 97, 4)],
        *[("median", 60, 6), ("median", 50, 7), ("median", 40, 8)],
        *[("worst", 10, 11), ("worst", 20, 10), ("worst", 30, 9)],
    ]


def test_exact_copies_are_shown_as_last_resort():
    assert [row["chrf"] for row in examples(arrays_of([100.0] * 3), "test")][:3] == [100.0] * 3


def test_without_sacremoses_one_score_is_missing(tmp_path, monkeypatch):
    """One line says so: not every machine with a GPU has the package."""
    run("mt", tmp_path)
    pairs = sentences()
    pairs = replace(pairs, tok_references={"test": pairs.splits["test"][1]})
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    lines = []
    metrics = evaluate.evaluate(pairs, tmp_path, {"decoding": {"beam_size": 1}}, lines.append)
    assert metrics["tests"]["test"]["bleu_lc_norm_tok"] is None and metrics["tests"]["test"]["bleu"]["score"] >= 0
    assert [line for line in lines if "sacremoses is not installed" in line] == lines[:1]


@pytest.mark.parametrize(("n", "longest"), [(100, 40), (100, 9), (4, 40), (3, 1)])
def test_explored_are_the_examples_and_more_by_length(n, longest, monkeypatch):
    sources, found = [[0] * (2 + (7 * i) % 50) for i in range(n)], [[0] * 2] * n
    monkeypatch.setattr(evaluate, "LONGEST", longest)
    packed = lambda model, tokenizer, pairs: {"cross": np.array([len(source) for source, _ in pairs])}  # noqa: E731
    monkeypatch.setattr(evaluate.explain, "packed", packed)
    kept = evaluate.explored(None, None, sources, found, [2, 0, 2])
    index, lengths = kept["explored_index"].tolist(), kept["explored_cross"].tolist()
    assert lengths == [len(sources[i]) for i in index] and len(set(index)) == len(index)
    assert all(length <= longest for length in lengths)
    assert index[:2] == [2, 0][: len(index)] if longest == 40 else 2 not in index  # sentence 2 has 16 pieces
    if (n, longest) == (100, 40):
        assert len(index) == 2 + evaluate.MORE and min(lengths[2:]) < 8 and max(lengths[2:]) > 32
