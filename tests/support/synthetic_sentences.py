"""The translation half of a synthetic run: sentences and their corruption, scores by sacrebleu, attention and masks."""

import math
from typing import Any

import numpy as np
import sacrebleu


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(english, german) for english, german in (pair.split(" = ") for pair in text.split("; "))]


_SUBJECTS = _pairs(
    "A man = Ein Mann; A young woman = Eine junge Frau; Two children = Zwei Kinder; "
    "A brown dog = Ein brauner Hund; Three people = Drei Leute; An older couple = Ein älteres Paar; "
    "A group of tourists = Eine Gruppe von Touristen"
)
_VERBS = _pairs(
    "walks = geht; is standing = steht; sits = sitzt; is playing = spielt; is waiting = wartet; jumps = springt"
)
_PLACES = _pairs(
    "on a busy street = auf einer belebten Straße; in front of a shop window = vor einem Schaufenster; "
    "near the water = in der Nähe des Wassers; under a large tree = unter einem großen Baum; "
    "next to a red car = neben einem roten Auto; behind a wooden fence = hinter einem Holzzaun"
)
_EXTRAS = _pairs(
    "with a blue umbrella = mit einem blauen Regenschirm; "
    "while others are watching = während andere zuschauen; wearing a straw hat = mit einem Strohhut; "
    "on a sunny afternoon = an einem sonnigen Nachmittag; "
    "holding a microphone = mit einem Mikrofon in der Hand"
)
_SOURCE = "▁A ▁young ▁woman ▁is ▁standing ▁in ▁front ▁of ▁a ▁shop ▁window . </s>"
_OUTPUT = "▁Eine ▁junge ▁Frau ▁steht ▁vor ▁einem ▁Schau fen ster . </s>"
_SHORT_SOURCES = ("▁Two ▁dogs ▁run . </s>", "▁A ▁man ▁sits ▁down . </s>")
_SHORT_OUTPUTS = ("<s> ▁Zwei ▁Hunde ▁laufen .", "<s> ▁Ein ▁Mann ▁sitzt .")
_NOISE = "ein der eine auf mit und grüner Frau Hund Fußgängerübergang dem Wasser steht läuft"


def sentences(rng: np.random.Generator, n: int) -> tuple[list[str], list[str]]:
    sources, targets = [], []
    for _ in range(n):
        parts = [_SUBJECTS[rng.integers(len(_SUBJECTS))], _VERBS[rng.integers(len(_VERBS))]]
        parts.append(_PLACES[rng.integers(len(_PLACES))])
        parts += [_EXTRAS[rng.integers(len(_EXTRAS))] for _ in range(rng.integers(0, 4))]
        sources.append(" ".join(part[0] for part in parts) + ".")
        targets.append(" ".join(part[1] for part in parts) + ".")
    return sources, targets


def corrupt(rng: np.random.Generator, text: str, rate: float) -> str:
    words = []
    for word in text.split():
        draw = rng.random()
        if draw < rate * 0.7:
            words.append(str(rng.choice(_NOISE.split())))
        elif draw > rate:
            words.append(word)
    return " ".join(words)


def mt_test(
    sources: list[str], targets: list[str], outputs: list[str], greedy: list[str], generated: bool
) -> dict[str, Any]:
    bleu = sacrebleu.BLEU()
    found = bleu.corpus_score(outputs, [targets], n_bootstrap=100)
    plain = sacrebleu.BLEU(lowercase=True, tokenize="none", force=True)
    lengths = np.array([len(source.split()) for source in sources])
    buckets = []
    for low, high in ((1, 8), (9, 12), (13, 16), (17, None)):
        inside = [i for i, length in enumerate(lengths) if length >= low and (high is None or length <= high)]
        if inside:
            part = _scored(sacrebleu.BLEU(), [outputs[i] for i in inside], [targets[i] for i in inside])
            row = {"min": low, "max": high, "n": len(inside), "bleu": part["score"], "interval": part["interval"]}
            buckets.append(row)
    return {
        "n": len(sources),
        "exact": sum(output == target for output, target in zip(outputs, targets, strict=True)),
        "bleu": {
            "score": found.score,
            "interval": _interval(found),
            "signature": str(bleu.get_signature()),
            "precisions": found.precisions,
            "brevity_penalty": found.bp,
            "hypothesis_length": found.sys_len,
            "reference_length": found.ref_len,
        },
        "bleu_greedy": sacrebleu.corpus_bleu(greedy, [targets]).score,
        "bleu_greedy_p": 0.5,
        "chrf2": _scored(sacrebleu.CHRF(), outputs, targets),
        "ter": _scored(sacrebleu.TER(), outputs, targets),
        "bleu_lc_norm_tok": None if generated else _scored(plain, outputs, targets),
        "bleu_by_length": buckets,
    }


def _scored(metric: Any, outputs: list[str], targets: list[str]) -> dict[str, Any]:
    found = metric.corpus_score(outputs, [targets], n_bootstrap=20)
    return {"score": found.score, "interval": _interval(found), "signature": str(metric.get_signature())}


def _interval(score: Any) -> list[float]:
    return [float(score._mean - score._ci), float(score._mean + score._ci)]


def examples(arrays: dict[str, np.ndarray], headline: str, hostile: bool) -> list[dict[str, Any]]:
    chrf = arrays[f"{headline}_chrf"]
    order = np.argsort(-chrf, kind="stable")
    middle = len(order) // 2
    chosen = [("best", order[0]), ("best", order[1]), ("median", order[middle]), ("median", order[middle + 1])]
    chosen += [("worst", 3 if hostile else order[-1]), ("worst", order[-2])]
    rank = {i: place for place, i in enumerate(order, 1)}
    return [
        {"kind": kind, "index": int(i), "rank": rank[i], "chrf": float(chrf[i])}
        | {part: str(arrays[f"{headline}_{part}"][i]) for part in ("source", "reference", "output")}
        for kind, i in chosen
    ]


def mt_history(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for k in range(1, 13):
        val = 1.55 + 4.6 * math.exp(-0.42 * k) + rng.normal(0, 0.02)
        rows.append(
            {
                "epoch": float(k),
                "step": 150 * k,
                "target_tokens": 410_000 * k,
                "learning_rate": 0.002 * min(1.0, k / 2) / math.sqrt(max(1.0, k / 2)),
                "train_loss": 2.25 + 4.9 * math.exp(-0.40 * k) + rng.normal(0, 0.015),
                "val_loss": val,
                "val_perplexity": math.exp(val),
                "seconds": 32.0 * k,
            }
        )
    return rows


def mt_explain(rng: np.random.Generator, hostile: bool, layers: int, heads: int) -> dict[str, np.ndarray]:
    source, output = _SOURCE.split(), _OUTPUT.split()
    links = [0, 1, 2, 4, 6, 8, 9, 10, 10, 11, 12]
    if hostile:
        source[9], output[6] = "▁$x_1^2$\\", "▁\u200b🙂日"
    target_input = ["<s>", *output[:-1]]
    s, t = len(source), len(output)
    causal = np.tril(np.ones((t, t), bool))

    def attention(rows: int, columns: int, centre: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
        # Each head looks near ``centre`` with its own sharpness and offset, as trained heads do.
        score = rng.normal(0, 0.4, (layers, heads, rows, columns))
        sharp = rng.uniform(0.3, 4, (layers, heads, 1, 1))
        offset = rng.integers(-1, 2, (layers, heads, 1, 1))
        score -= sharp * np.abs(np.arange(columns)[None, None, None] - centre[None, None, :, None] - offset)
        if mask is not None:
            score = np.where(mask, score, -np.inf)
        raised = np.exp(score - score.max(-1, keepdims=True))
        return (raised / raised.sum(-1, keepdims=True)).astype(np.float32)

    width_s, width_t = 9, 8
    batch_s = [source[: width_s - 1] + ["</s>"], *map(str.split, _SHORT_SOURCES)]
    batch_t = [["<s>", *output[: width_t - 1]], *map(str.split, _SHORT_OUTPUTS)]
    padded_s = np.array([row + ["<pad>"] * (width_s - len(row)) for row in batch_s])
    padded_t = np.array([row + ["<pad>"] * (width_t - len(row)) for row in batch_t])
    mask_causal = np.tril(np.ones((width_t, width_t), bool))
    text = lambda pieces: "".join(pieces[:-1]).replace("▁", " ").strip()  # noqa: E731
    return {
        "source": np.array(text(source)),
        "reference": np.array("Eine junge Frau steht vor einem Schaufenster."),
        "output": np.array(text(output)),
        "source_tokens": np.array(source),
        "target_input_tokens": np.array(target_input),
        "target_output_tokens": np.array(output),
        "encoder_self": attention(s, s, np.arange(s), None),
        "decoder_self": attention(t, t, np.arange(t), causal),
        "cross": attention(t, s, np.array(links), None),
        "mask_source_tokens": padded_s,
        "mask_target_tokens": padded_t,
        "mask_source_padding": padded_s != "<pad>",
        "mask_causal": mask_causal,
        "mask_target_combined": mask_causal[None] & (padded_t != "<pad>")[:, None, :],
    }


def explored(explained: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Attention to explore, as evaluation stores it: one sentence 12 times, in six of them without its last piece."""
    few = {name: explained[name] for name in ("source_tokens", "target_input_tokens", "target_output_tokens")}
    few |= {
        name: np.round(255 * explained[name]).astype(np.uint8) for name in ("encoder_self", "decoder_self", "cross")
    }
    found = {f"explored_{name}": np.stack([values] * 12) for name, values in few.items()}
    found["explored_source_tokens"][:6, -1] = ""
    for name, cut in (("encoder_self", (..., -1, slice(None))), ("encoder_self", (..., -1)), ("cross", (..., -1))):
        found[f"explored_{name}"][:6][cut] = 0
    return found | {"explored_index": np.arange(3, 15)}
