"""Scores of translations, all by sacrebleu (Post 2018), with bootstrap intervals (Koehn 2004)."""

from collections.abc import Sequence
from typing import Any

from sacrebleu.metrics import BLEU, CHRF
from sacremoses import MosesPunctNormalizer, MosesTokenizer

BOOTSTRAP = 1000  # resamples; sacrebleu draws them from its own fixed seed
LENGTH_BINS = ((1, 8), (9, 11), (12, 15), (16, 20), (21, None))  # source words
FEWEST = 20  # sentences in a bin, below which its BLEU says nothing


def bleu(outputs: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Corpus BLEU, cased, detokenised, 13a, with its parts, signature and 95 % interval."""
    metric = BLEU()
    score = metric.corpus_score(outputs, [references], n_bootstrap=BOOTSTRAP)
    return {
        "score": score.score,
        "interval": interval(score),
        "signature": str(metric.get_signature()),
        "precisions": list(score.precisions),
        "brevity_penalty": score.bp,
        "hypothesis_length": score.sys_len,
        "reference_length": score.ref_len,
    }


def chrf2(outputs: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Corpus chrF2 (Popovic 2015) with signature and 95 % interval."""
    metric = CHRF()
    score = metric.corpus_score(outputs, [references], n_bootstrap=BOOTSTRAP)
    return {"score": score.score, "interval": interval(score), "signature": str(metric.get_signature())}


def bleu_lc_norm_tok(outputs: Sequence[str], tok_references: Sequence[str], language: str) -> dict[str, Any]:
    """BLEU of lower-cased, punctuation-normalised, Moses-tokenised output against the published references.

    The measure of published Multi30k results; not comparable with ``bleu``.
    """
    metric = BLEU(tokenize="none", force=True)
    tokens = lc_norm_tok(outputs, language)
    score = metric.corpus_score(tokens, [tok_references], n_bootstrap=BOOTSTRAP)
    return {"score": score.score, "interval": interval(score), "signature": str(metric.get_signature())}


def lc_norm_tok(lines: Sequence[str], language: str) -> list[str]:
    """Lines lower-cased, punctuation-normalised and Moses-tokenised as the data set's authors did."""
    normaliser, tokeniser = MosesPunctNormalizer(language), MosesTokenizer(language)
    return [tokeniser.tokenize(normaliser.normalize(line.lower()), return_str=True, escape=True) for line in lines]


def bleu_by_length(sources: Sequence[str], outputs: Sequence[str], references: Sequence[str]) -> list[dict[str, Any]]:
    """BLEU over sentences of like source length (words); bins with too few sentences are left out."""
    rows = []
    for low, high in LENGTH_BINS:
        inside = [
            i for i, s in enumerate(sources) if low <= len(s.split()) and (high is None or len(s.split()) <= high)
        ]
        if len(inside) >= FEWEST:
            score = BLEU().corpus_score([outputs[i] for i in inside], [[references[i] for i in inside]])
            rows.append({"min": low, "max": high, "n": len(inside), "bleu": score.score})
    return rows


def sentence_chrf(outputs: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF2 of each sentence."""
    metric = CHRF()
    return [metric.sentence_score(out, [ref]).score for out, ref in zip(outputs, references, strict=True)]


def corpus_bleu(outputs: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU alone, without an interval."""
    return BLEU().corpus_score(outputs, [references]).score


def interval(score: Any) -> list[float]:
    """sacrebleu's bootstrap 95 % interval: [low, high]."""
    mean, half = score._mean, score._ci
    return [float(mean - half), float(mean + half)]
