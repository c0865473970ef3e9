"""Figures of a run as words: every ``{name}`` that the prose in report/page.toml may use, formatted once, here.

Each function takes metrics.json (and provenance.json) as read and returns {name: text}. A name whose figure a run does
not have is left out, and the sentence that needs it is then not said. No torch, no numpy.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

NBSP = "\u00a0"  # between a number and its unit
MINUS = "\u2212"
LONGEST_NAME = 24  # characters of a class's name; the rest is cut, so that no name can push the page over its edge


def number(value: float, digits: int = 0) -> str:
    """``11,173,962`` or ``0.41``, with a true minus sign."""
    return f"{value:,.{digits}f}".replace("-", MINUS)


def cut(value: float, digits: int = 2) -> str:
    """``value`` cut and not rounded: 79.996 must not read as 80.00 beside a floor of 80."""
    text = f"{value:,.6f}".replace("-", MINUS)  # six digits first: 0.8995 * 100 is a little less than 89.95
    return text[: len(text) - 6 + digits]


def signed(value: float, digits: int = 1) -> str:
    """``+1.2``, ``−0.3`` or ``±0.0``."""
    text = number(value, digits)
    if float(f"{value:.{digits}f}") == 0:
        return "±" + text.lstrip(MINUS)
    return text if text.startswith(MINUS) else "+" + text


def percent(share: float, digits: int = 1) -> str:
    """``87.0 %`` for a share of 0.87."""
    return number(100 * share, digits) + NBSP + "%"


def duration(seconds: float) -> str:
    """``45 s``, ``6 min 53 s`` or ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60:02d}{NBSP}s"
    return f"{whole // 3600}{NBSP}h {whole % 3600 // 60:02d}{NBSP}min"


def shorten(text: str, longest: int = LONGEST_NAME) -> str:
    """``text``, cut to ``longest`` characters with an ellipsis as the last."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def word_range(group: Mapping[str, Any]) -> str:
    """``1–8`` or ``17 or more``, the source lengths of a group of bleu_by_length."""
    return f"{group['min']} or more" if group["max"] is None else f"{group['min']}–{group['max']}"


def cls_facts(metrics: Mapping[str, Any], provenance: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, str]:
    """What the prose may say of an image-classification run."""
    train, val, test = metrics["train"], metrics["val"], metrics["test"]
    classes = sorted(test["per_class"], key=lambda row: row["recall"])
    wrong = test["n"] - test["correct"]
    sizes = list(dict.fromkeys(train["image_sizes"]))
    facts = _common(metrics, provenance, page) | {
        "classes": number(len(metrics["class_names"])),
        "image_size": number(train["image_sizes"][-1]),
        "sizes": sizes[0] if len(sizes) == 1 else ", ".join(map(str, sizes[:-1])) + f", then {sizes[-1]}",
        "epochs": f"{round(train['epochs'], 1):g}",
        "train_accuracy": percent(train["accuracy"], 2),
        "val_accuracy": percent(val["accuracy"], 2),
        "test_n": number(test["n"]),
        "correct_n": number(test["correct"]),
        "wrong_n": number(wrong),
        "test_accuracy": cut(100 * test["accuracy"]) + NBSP + "%",
        "gap": signed(100 * (test["accuracy"] - val["accuracy"]), 2),
        "nll": number(test["nll"], 2),
        "brier": number(test["brier"], 3),
        "ece": percent(test["ece"]),
        "ece_both": f"{number(100 * test['ece'], 1)} → {percent(test['calibrated']['ece'])}",
        "temperature": number(test["calibrated"]["temperature"], 2),
        "calibrated_ece": percent(test["calibrated"]["ece"]),
        "tta_accuracy": percent(test["tta"]["accuracy"], 2),
        "tta_gain": signed(100 * (test["tta"]["accuracy"] - test["accuracy"]), 2),
        "best_class": shorten(classes[-1]["name"]),
        "best_recall": percent(classes[-1]["recall"], 0),
        "worst_class": shorten(classes[0]["name"]),
        "worst_recall": percent(classes[0]["recall"], 0),
        "pairs": number(len(classes) * (len(classes) - 1)),
    }
    if "tta_shifts" in test:
        facts["tta_shifts_accuracy"] = percent(test["tta_shifts"]["accuracy"], 2)
    pairs = test["top_confusions"]
    if pairs and wrong:
        top, names = pairs[0], [row["name"] for row in test["per_class"]]
        back = test["confusion"][names.index(top["predicted"])][names.index(top["true"])]
        facts |= {
            "confused_true": shorten(top["true"]),
            "confused_predicted": shorten(top["predicted"]),
            "confused_count": number(top["count"]),
            "confused_share": percent(top["share"]),
            "confused_back": number(back),
            "confused_n": number(next(row["n"] for row in classes if row["name"] == top["true"])),
        }
        if len(pairs) >= 3:
            facts["top_share"] = percent(sum(pair["count"] for pair in pairs[:3]) / wrong, 0)
            facts["top_pairs"] = ", ".join(
                f"{shorten(pair['true'], 12)} → {shorten(pair['predicted'], 12)}" for pair in pairs[:3]
            )
    return {name: str(text) for name, text in facts.items()}


def mt_facts(metrics: Mapping[str, Any], provenance: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, str]:
    """What the prose may say of a translation run."""
    train, val, model = metrics["train"], metrics["val"], metrics["model"]
    tests, headline = metrics["tests"], metrics["headline"]
    test = tests[headline]
    bleu = test["bleu"]
    layers = (model["encoder_layers"], model["decoder_layers"])
    gain = round(bleu["score"], 1) - round(test["bleu_greedy"], 1)  # of what is printed beside it
    facts = _common(metrics, provenance, page) | {
        "src": metrics["src"],
        "tgt": metrics["tgt"],
        "src_name": page["languages"].get(metrics["src"], metrics["src"]),
        "tgt_name": ("toy " if metrics["generated"] else "") + page["languages"].get(metrics["tgt"], metrics["tgt"]),
        "layers": f"{layers[0]} + {layers[1]}",
        "layer": number(layers[1]),
        "heads": number(model["heads"]),
        "maps": number(layers[1] * model["heads"]),
        "d_model": number(model["d_model"]),
        "vocabulary": number(model["vocabulary"]),
        "updates": number(train["updates"]),
        "passes": number(train["epochs"], 1),
        "val_loss": number(val["loss"], 2),
        "val_perplexity": number(val["perplexity"], 2),
        "test": test_name(headline, page),
        "test_n": number(test["n"]),
        "bleu": number(bleu["score"], 1),
        "greedy": number(test["bleu_greedy"], 1),
        "gain": signed(gain),
        "beam_size": number(metrics["decoding"]["beam_size"]),
        "chrf": number(test["chrf2"]["score"], 1),
        "tokenizer": signature_field(bleu["signature"], "tok"),
        "p4": percent(bleu["precisions"][3] / 100, 0),
        "length_ratio": percent(bleu["hypothesis_length"] / bleu["reference_length"], 0),
        "tests_text": "; ".join(
            f"{test_name(name, page)} {number(t['bleu']['score'], 1)}" for name, t in tests.items()
        ),
    }
    if 0 < bleu["brevity_penalty"] < 0.995:
        facts["brevity"] = number(bleu["brevity_penalty"], 3)
        facts["brevity_cost"] = signed(bleu["score"] - bleu["score"] / bleu["brevity_penalty"])
    measures = [f"chrF2 {facts['chrf']}"]
    if test.get("bleu_lc_norm_tok"):
        measures.append(f"lc.norm.tok BLEU {number(test['bleu_lc_norm_tok']['score'], 1)}")
    facts["other_measures"] = ", ".join(measures)
    if test.get("bleu_lc_norm_tok"):
        facts["lc_norm_tok"] = number(test["bleu_lc_norm_tok"]["score"], 1)
    facts |= {f"bleu_{name}": number(t["bleu"]["score"], 1) for name, t in tests.items() if name != headline}
    for kind in ("best", "median", "worst"):
        scores = [row["chrf"] for row in metrics["examples"] if row["kind"] == kind]
        if scores:
            facts[f"{kind}_chrf"] = number(scores[0])
    others = [name for name in tests if name != headline]
    if others:
        far = min(others, key=lambda name: tests[name]["bleu"]["score"])
        difference = round(tests[far]["bleu"]["score"], 1) - round(bleu["score"], 1)
        if difference < 0:
            facts |= {
                "far_test": test_name(far, page),
                "far_bleu": number(tests[far]["bleu"]["score"], 1),
                "far_gap": signed(difference),
            }
    return {name: str(text) for name, text in (facts | _length_facts(test["bleu_by_length"])).items()}


def _length_facts(groups: list[Mapping[str, Any]]) -> dict[str, str]:
    """Where BLEU peaks over source length, where it falls most from one group to the next longer, and what it is on
    the longest; empty with fewer than two groups, and without a fall where the longest have the highest score."""
    groups = [group for group in groups if group["n"] > 0 and group["bleu"] is not None]
    if len(groups) < 2:
        return {}
    peak, low, last = max(groups, key=_bleu), min(groups, key=_bleu), groups[-1]
    facts = {"last_bleu": number(last["bleu"], 1), "last_range": word_range(last), "last_n": number(last["n"])}
    if peak is last:
        return facts | {
            "low_bleu": number(low["bleu"], 1),
            "low_range": word_range(low),
            "bins": number(len(groups)),
        }
    before, after = max(pairwise(groups), key=lambda pair: _bleu(pair[0]) - _bleu(pair[1]))
    return facts | {
        "peak_bleu": number(peak["bleu"], 1),
        "peak_range": word_range(peak),
        "fall_from": number(before["bleu"], 1),
        "fall_to": number(after["bleu"], 1),
        "fall_range": word_range(after),
    }


def _bleu(group: Mapping[str, Any]) -> float:
    return float(group["bleu"])


def _common(metrics: Mapping[str, Any], provenance: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    seconds = provenance.get("train", {}).get("seconds")
    return {
        "set": page["sets"].get(metrics["set"], metrics["set"]),
        "model": metrics["model"]["name"],
        "parameters": number(metrics["model"]["parameters"]),
        "train_n": number(metrics["train"]["n"]),
        "val_n": number(metrics["val"]["n"]),
        "time": "not recorded" if seconds is None else duration(seconds),
    }


def test_name(name: str, page: Mapping[str, Any]) -> str:
    """A test set's name as the page prints it."""
    return str(page["tests"].get(name, name))


test_name.__test__ = False  # type: ignore[attr-defined]  # pytest: not a test


def signature_field(signature: str, key: str) -> str:
    """One field of a sacrebleu signature: ``13a`` for ``tok``."""
    fields = dict(part.partition(":")[::2] for part in signature.split("|"))
    return fields.get(key, "?")


_RATE = ("peak_learning_rate", "max_learning_rate", "learning_rate", "peak_lr", "max_lr", "lr")
_BATCH = (
    ("batch_size", "images"),
    ("batch_tokens", "tokens"),
    ("tokens_per_batch", "tokens"),
    ("max_tokens", "tokens"),
)


def recipe_words(recipe: Mapping[str, Any]) -> str:
    """Optimiser, learning rate and batch size of a recipe, wherever in it they stand; empty if none is found."""
    leaves = _leaves(recipe)
    parts = []
    for key in ("optimiser", "optimizer", "optimiser.name", "optimizer.name"):
        name = next((v for k, v in leaves.items() if (k == key or k.endswith("." + key)) and isinstance(v, str)), None)
        if name:
            parts.append({"sgd": "SGD", "muon": "Muon", "adamw": "AdamW"}.get(name.lower(), name))
            break
    by_name = {path.rpartition(".")[2]: value for path, value in reversed(leaves.items())}
    own = [f"{part.lower()}_learning_rate" for part in parts]  # of the optimiser named, before that of its companion
    rate = next((by_name[name] for name in (*own, *_RATE) if _is_number(by_name.get(name))), None)
    if rate is not None:
        parts.append(f"rate {rate:g}")
    for name, unit in _BATCH:
        if _is_number(by_name.get(name)):
            parts.append(f"{by_name[name]:,} {unit} a batch")
            break
    return ", ".join(parts)


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {path: value}
    leaves: dict[str, Any] = {}
    for key, inner in value.items():
        leaves |= _leaves(inner, f"{path}.{key}" if path else str(key))
    return leaves


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
