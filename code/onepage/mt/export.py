"""The card of the Transformer's exported weights, which are named as in ``onepage.mt.transformer``."""

from collections.abc import Mapping
from typing import Any

from onepage.mt.tokenizer import END, PAD, START, UNKNOWN


def describe(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The task's rows of the card."""
    sizes = (f"{key} {value}" for key, value in metrics["model"].items() if key not in ("name", "parameters"))
    return {
        "test sentences": f"{metrics['tests'][metrics['headline']]['n']:,}",
        "architecture": "pre-norm Transformer, one embedding for source, target and output, sinusoidal positions",
        "sizes": ", ".join(sizes),
        "input, output": f"{metrics['src']}, {metrics['tgt']}; pieces of sentencepiece, whose model is the tensor "
        f"tokenizer: padding {PAD}, unknown {UNKNOWN}, start {START}, end {END}",
        "decoding": ", ".join(f"{key} {value}" for key, value in metrics["decoding"].items()),
        "use": "as MODEL of make translate",
        "terms, limits": "docs/model-card-mt.md",
    }
