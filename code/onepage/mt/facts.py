"""The page of translation: every ``{name}`` of its prose, its pictures, and its tables. No torch, no numpy.

If a run lacks the figure of a name, the name is left out, and so is each sentence that needs it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from onepage.runs.words import NBSP, NONE, interval, number, percent, signed
from onepage.tasks import Table

ROWS = (("curves_mt", "bleu_report"), ("attention_heads", "masks_demo"), ("decodes_table",))
ABLATED = ("whole", "no-causal-mask", "one-head")
SIGNIFICANT = 0.05  # p-value below which a difference is reported as a finding
ENOUGH = 100  # sentences that the longest group needs for a finding about long sentences
# Text only, BLEU of lc.norm.tok text ("Good for Misconceived Reasons").
PUBLISHED = {"en-de": {"test_2016_flickr": 41.02, "test_2017_flickr": 33.36, "test_2017_mscoco": 29.88}}
PUBLISHED_BY = "Transformer-Tiny, Wu et al. 2021"


def facts(metrics: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, str]:
    """{name: text} for the prose about a run."""
    val, headline = metrics["val"], metrics["headline"]
    test = metrics["tests"][headline]
    bleu = test["bleu"]
    languages = page["languages"]
    found = {
        "src": metrics["src"],
        "tgt": metrics["tgt"],
        "src_name": languages.get(metrics["src"], metrics["src"]),
        "tgt_name": ("toy " if metrics["generated"] else "") + languages.get(metrics["tgt"], metrics["tgt"]),
        "val_loss": number(val["loss"], 2),
        "val_perplexity": number(val["perplexity"], 2),
        "test": test_name(headline, page),
        "test_n": number(test["n"]),
        "exact": number(test["exact"]),
        "bleu": number(bleu["score"], 1),
        "greedy": number(test["bleu_greedy"], 1),
        "beam_size": number(metrics["decoding"]["beam_size"]),
        "chrf": number(test["chrf2"]["score"], 1),
        "tokenizer": _signature_field(bleu["signature"], "tok"),
        "length_ratio": percent(bleu["hypothesis_length"] / bleu["reference_length"], 0),
    }
    if test["bleu_greedy_p"] < SIGNIFICANT:
        found["gain_p"] = f"{test['bleu_greedy_p']:.3f}"
    if not (gain := _change(test["bleu_greedy"], bleu["score"])).startswith("+"):
        found["no_gain"] = gain
    if 0 < bleu["brevity_penalty"] < 0.995:
        found["brevity_cost"] = number(bleu["score"] / bleu["brevity_penalty"] - bleu["score"], 1)
    if test["bleu_lc_norm_tok"]:
        found["lc_norm_tok"] = number(test["bleu_lc_norm_tok"]["score"], 1)
        if (theirs := published(metrics, headline)) is not None:
            low, high = test["bleu_lc_norm_tok"]["interval"]
            if low <= theirs <= high:
                found["level"] = number(theirs, 1)
            else:
                gap = _change(theirs, test["bleu_lc_norm_tok"]["score"])
                found["above" if gap.startswith("+") else "below"] = gap[1:]
    return found | _lowest(metrics["tests"], headline, page) | _lengths(test["bleu_by_length"])


def published(metrics: Mapping[str, Any], test: str) -> float | None:
    """The published result to compare with this test set's lc.norm.tok BLEU, or None."""
    if metrics["set"] != "multi30k" or not metrics["tests"][test]["bleu_lc_norm_tok"]:
        return None
    return PUBLISHED.get(f"{metrics['src']}-{metrics['tgt']}", {}).get(test)


def _change(before: float, after: float) -> str:
    """The difference of two scores as they are printed, with one digit."""
    return signed(round(after, 1) - round(before, 1))


def _lowest(tests: Mapping[str, Any], headline: str, page: Mapping[str, Any]) -> dict[str, str]:
    """The lowest BLEU of the other tests, if its interval lies below that of the headline; otherwise {}."""
    scores = {name: test["bleu"]["score"] for name, test in tests.items() if name != headline}
    far = min(scores, key=lambda name: scores[name], default=headline)
    if tests[far]["bleu"]["interval"][1] >= tests[headline]["bleu"]["interval"][0]:
        return {}
    gap = _change(scores[far], tests[headline]["bleu"]["score"]).removeprefix("+")
    return {"far_test": test_name(far, page), "far_gap": gap}


def _lengths(groups: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """BLEU by source length: the best group and the longest one; ``harder_n`` if they differ beyond chance.

    {} with fewer than two groups.
    """
    if len(groups) < 2:
        return {}

    def score(group: Mapping[str, Any]) -> float:
        return float(group["bleu"])

    peak, last = max(groups, key=score), groups[-1]
    found = {
        "last_bleu": number(last["bleu"], 1),
        "last_range": word_range(last),
        "peak_bleu": number(peak["bleu"], 1),
        "peak_range": word_range(peak),
    }
    if last["n"] >= ENOUGH and last["interval"][1] < peak["interval"][0]:
        found["harder_n"] = number(last["n"])
    return found


def tables(metrics: Mapping[str, Any], page: Mapping[str, Any]) -> list[Table]:
    """Scores and parts of BLEU for every test set, and decoded sentences."""
    tests = [(test_name(name, page), test) for name, test in metrics["tests"].items()]
    columns = ("test set", "n", "BLEU", f"95{NBSP}% interval", "greedy", "chrF2", "TER", "lc.norm.tok")
    scores = [
        [name, *_bleu(test), number(test["bleu_greedy"], 1), number(test["chrf2"]["score"], 1), *_others(test)]
        for name, test in tests
    ]
    parts = ("test set", "1-grams", "2-grams", "3-grams", "4-grams", "brevity penalty", "tokens of the outputs")
    precisions = [
        [
            name,
            *(number(value, 1) for value in test["bleu"]["precisions"]),
            number(test["bleu"]["brevity_penalty"], 3),
            number(test["bleu"]["hypothesis_length"]),
            number(test["bleu"]["reference_length"]),
        ]
        for name, test in tests
    ]
    signature = f"BLEU signature: {metrics['tests'][metrics['headline']]['bleu']['signature']}"
    examples = [
        [row["kind"], number(row["chrf"], 1), row["source"], row["reference"], row["output"]]
        for row in metrics["examples"]
    ]
    return [
        Table("Every test set", columns, scores, signature),
        Table("Precision of n-grams in per cent, and brevity penalty", (*parts, "of the references"), precisions),
        Table("Decoded sentences as text", ("", "chrF2", "source", "reference", "output"), examples),
    ]


def _bleu(test: Mapping[str, Any]) -> list[str]:
    """n, BLEU and its 95 % interval."""
    return [number(test["n"]), number(test["bleu"]["score"], 1), interval(test["bleu"]["interval"], 1)]


def _others(test: Mapping[str, Any]) -> list[str]:
    """TER, and BLEU of lc.norm.tok text if there is one."""
    return [number(test[key]["score"], 1) if test[key] else NONE for key in ("ter", "bleu_lc_norm_tok")]


def test_name(name: str, page: Mapping[str, Any]) -> str:
    """A test set's name as the page prints it."""
    return str(page["tests"].get(name, name))


test_name.__test__ = False  # type: ignore[attr-defined]  # pytest: not a test


def word_range(group: Mapping[str, Any]) -> str:
    """``1–8`` or ``17 or more``, the source lengths of a group of bleu_by_length."""
    return f"{group['min']} or more" if group["max"] is None else f"{group['min']}–{group['max']}"


def _signature_field(signature: str, key: str) -> str:
    """One field of a sacrebleu signature: ``13a`` for ``tok``."""
    return dict(part.partition(":")[::2] for part in signature.split("|")).get(key, "?")
