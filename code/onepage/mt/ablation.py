"""The parts of the Transformer that ``make ablate`` leaves out, and how each variant is scored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage.data.translation import TranslationSet
from onepage.mt import evaluate
from onepage.mt.scores import bleu
from onepage.training.weights import count_parameters

VARIANTS: dict[str, Mapping[str, Any]] = {"whole": {}, "no-causal-mask": {"causal": False}, "one-head": {"heads": 1}}


def score(data: TranslationSet, run: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """BLEU on the validation sentences: ``score``, 95 % ``interval``, ``signature``, ``n``, and ``parameters``.

    ``settings``: as ``evaluate`` takes them.
    """
    model, tokenizer, _, _ = evaluate.load(run)
    decoding = evaluate.decoding_of(settings)
    sources, references = data.splits["val"]
    ids = [tokenizer.encode(line) for line in sources]
    found = evaluate.best(model, ids, decoding.beam_size, decoding.length_penalty)
    scored = bleu([tokenizer.decode(pieces) for pieces in found], references)
    kept = {key: scored[key] for key in ("score", "interval", "signature")}
    return kept | {"n": len(references), "parameters": count_parameters(model)}


def show(row: Mapping[str, Any]) -> str:
    """A variant's score as text."""
    low, high = row["interval"]
    return f"{row['score']:.2f} validation BLEU ({low:.1f} to {high:.1f}, n={row['n']:,})"
