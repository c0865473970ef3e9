"""The record of machine translation: the Transformer on Multi30k. Standard library only."""

from collections.abc import Mapping
from typing import Any

from onepage.tasks import Measure, Task

SCORES = {"BLEU": "bleu", "chrF2": "chrf2", "BLEU lc.norm.tok": "bleu_lc_norm_tok"}


def measures(metrics: Mapping[str, Any]) -> dict[str, Measure]:
    """BLEU, chrF2 and, if there is one, BLEU of lc.norm.tok text, of each test set."""
    return {
        f"{test} {name}": Measure(part[key]["score"], tuple(part[key]["interval"]), False, f"tests.{test}.{key}.score")
        for test, part in metrics["tests"].items()
        for name, key in SCORES.items()
        if part[key]
    }


TASK = Task(
    name="mt",
    model="the Transformer",
    real_set="multi30k",
    generated_set="toy-translation",
    measures=measures,
    headline=lambda metrics: f"{metrics['headline']} BLEU",
    percent=False,
    unit="BLEU",
    tolerance=1e-6,  # the noise of float addition
    recounted="BLEU, greedy BLEU, chrF2 and exact matches of each test set",
    options={"src": "source language", "tgt": "target language"},
)
