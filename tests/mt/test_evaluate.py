"""Evaluation where sacremoses is missing, and the example sentences that it chooses for the page."""

import sys
from dataclasses import replace

import numpy as np

from onepage.mt.evaluate import evaluate, examples
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
    """And one line says so: the package is not on every machine with a GPU."""
    run("mt", tmp_path)
    pairs = sentences()
    pairs = replace(pairs, tok_references={"test": pairs.splits["test"][1]})
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    lines = []
    metrics = evaluate(pairs, tmp_path, {"decoding": {"beam_size": 1}}, lines.append)
    assert metrics["tests"]["test"]["bleu_lc_norm_tok"] is None and metrics["tests"]["test"]["bleu"]["score"] >= 0
    assert [line for line in lines if "sacremoses is not installed" in line] == lines[:1]
