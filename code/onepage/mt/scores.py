"""Scores of translations, all by sacrebleu (Post 2018), with bootstrap intervals (Koehn 2004).

BLEU (Papineni et al. 2002), chrF2 (Popovic 2015) and TER (Snover et al. 2006) use sacrebleu's defaults, so its command
gives the same scores. Only BLEU of lower-cased, normalised, tokenised text may be compared with published Multi30k
results.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

BOOTSTRAP = 1000  # resamples; sacrebleu draws them from its own fixed seed
LENGTH_BINS = ((1, 8), (9, 11), (12, 15), (16, 20), (21, None))  # source words
FEWEST = 20  # sentences in a bin, below which its BLEU means nothing


def every_score(
    sources: Sequence[str],
    outputs: Sequence[str],
    greedy_outputs: Sequence[str],
    references: Sequence[str],
    tok_references: Sequence[str] | None,
    language: str,
) -> dict[str, Any]:
    """Every score of one test set, as metrics.json holds it at ``tests.NAME``:

    ==================  ============================================================================================
    n                   sentences
    exact               outputs that equal the reference, character for character
    bleu                corpus BLEU with its parts; see ``bleu``
    bleu_greedy         corpus BLEU of the greedy outputs
    bleu_greedy_p       p-value of its difference from ``bleu``; see ``p_value``
    chrf2, ter          see ``chrf2``, ``ter``
    bleu_lc_norm_tok    see ``bleu_lc_norm_tok``; None if no tokenised references are published
    bleu_by_length      see ``bleu_by_length``
    ==================  ============================================================================================
    """
    return {
        "n": len(sources),
        "exact": sum(output == reference for output, reference in zip(outputs, references, strict=True)),
        "bleu": bleu(outputs, references),
        "bleu_greedy": corpus_bleu(greedy_outputs, references),
        "bleu_greedy_p": p_value(greedy_outputs, outputs, references),
        "chrf2": chrf2(outputs, references),
        "ter": ter(outputs, references),
        "bleu_lc_norm_tok": bleu_lc_norm_tok(outputs, tok_references, language) if tok_references else None,
        "bleu_by_length": bleu_by_length(sources, outputs, references),
    }


def bleu(outputs: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Corpus BLEU, cased, detokenised, 13a: ``score`` (0 to 100), its 95 % ``interval`` [low, high] and ``signature``.

    Its parts: ``precisions`` of 1- to 4-grams (per cent), ``brevity_penalty`` (0 to 1), and ``hypothesis_length`` and
    ``reference_length`` in tokens.
    """
    score, scored = _scored(BLEU(), outputs, references)
    return scored | {
        "precisions": list(score.precisions),
        "brevity_penalty": score.bp,
        "hypothesis_length": score.sys_len,
        "reference_length": score.ref_len,
    }


def chrf2(outputs: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Corpus chrF2 (0 to 100): ``score``, 95 % ``interval``, ``signature``."""
    return _scored(CHRF(), outputs, references)[1]


def ter(outputs: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Corpus TER: edits, including phrase shifts, per 100 reference words; lower is better.

    ``score``, 95 % ``interval``, ``signature``. As in tercom: lower-cased, split at spaces.
    """
    return _scored(TER(), outputs, references)[1]


def bleu_lc_norm_tok(outputs: Sequence[str], tok_references: Sequence[str], language: str) -> dict[str, Any]:
    """BLEU of lower-cased, punctuation-normalised, Moses-tokenised output against the published references.

    ``score``, 95 % ``interval``, ``signature``. As in published Multi30k results; not comparable with ``bleu``.
    """
    return _scored(BLEU(tokenize="none", force=True), lc_norm_tok(outputs, language), tok_references)[1]


def comparable(references: Mapping[str, list[str]], say: Any) -> Mapping[str, list[str]]:
    """The published references for ``bleu_lc_norm_tok``: none if sacremoses is missing."""
    if not references or importlib.util.find_spec("sacremoses"):
        return references
    say("mt   no BLEU lc.norm.tok: sacremoses is not installed; pip install sacremoses, then evaluate again")
    return {}


def lc_norm_tok(lines: Sequence[str], language: str) -> list[str]:
    """Lines lower-cased, punctuation-normalised and Moses-tokenised as the data set's authors did."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    normaliser, tokeniser = MosesPunctNormalizer(language), MosesTokenizer(language)
    # Moses' Perl script normalises a line including its newline, and one of its rules needs a character after ``."``.
    normal = (normaliser.normalize(line.lower() + "\n") for line in lines)
    return [tokeniser.tokenize(line, return_str=True, escape=True) for line in normal]


def bleu_by_length(sources: Sequence[str], outputs: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
    """BLEU by source length; bins with too few sentences are left out.

    Each row: ``min`` and ``max`` source words (None: no upper end), ``n`` sentences, ``bleu``, its 95 % ``interval``.
    """
    rows = []
    lengths = [len(source.split()) for source in sources]
    for low, high in LENGTH_BINS:
        inside = [i for i, length in enumerate(lengths) if low <= length and (high is None or length <= high)]
        if len(inside) >= FEWEST:
            part = bleu([outputs[i] for i in inside], [references[i] for i in inside])
            rows.append(
                {"min": low, "max": high, "n": len(inside), "bleu": part["score"], "interval": part["interval"]}
            )
    return rows


def p_value(one: Sequence[str], other: Sequence[str], references: Sequence[str]) -> float:
    """Probability of a difference in BLEU at least this large for equal systems: paired bootstrap (Koehn 2004)."""
    systems: list[tuple[str, Sequence[str]]] = [("one", list(one)), ("other", list(other))]
    test = PairedTest(systems, {"BLEU": BLEU()}, [list(references)], test_type="bs", n_samples=BOOTSTRAP)
    _, found = test()
    results: Any = found["BLEU"]
    alike = results[0].score == results[1].score  # for which sacrebleu would report a certain difference
    return 1.0 if alike else float(results[1].p_value)


def sentence_chrf(outputs: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF2 of each sentence."""
    metric = CHRF()
    return [metric.sentence_score(out, [ref]).score for out, ref in zip(outputs, references, strict=True)]


def corpus_bleu(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU alone, without an interval."""
    return BLEU().corpus_score(outputs, [references]).score


def _scored(metric: Any, outputs: Sequence[str], references: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """sacrebleu's score; and its value, bootstrap 95 % interval [low, high] and signature."""
    score = metric.corpus_score(outputs, [references], n_bootstrap=BOOTSTRAP)
    mean, half = score._mean, score._ci
    return score, {
        "score": score.score,
        "interval": [float(mean - half), float(mean + half)],
        "signature": str(metric.get_signature()),
    }
