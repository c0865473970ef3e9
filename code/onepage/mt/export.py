"""The description of the Transformer's exported weights, named as in ``onepage.mt.transformer``."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from onepage.mt.tokenizer import END, PAD, START, UNKNOWN
from onepage.mt.transformer import Sizes


def describe(metrics: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """The task's part of model.json; raises KeyError for weights without their tokenizer."""
    model, test = metrics["model"], metrics["tests"][metrics["headline"]]
    names = {field.name for field in dataclasses.fields(Sizes)}
    if "tokenizer" not in weights:
        raise KeyError("tokenizer")
    return {
        "architecture": "pre-norm Transformer, one embedding for source, target and output, sinusoidal positions",
        "sizes": {key: value for key, value in model.items() if key in names},
        "pieces": {"pad": PAD, "unknown": UNKNOWN, "start": START, "end": END},
        "languages": [metrics["src"], metrics["tgt"]],
        "decoding": metrics["decoding"],
        "test": {"set": metrics["headline"], "n": test["n"], "bleu": test["bleu"]},
    }
