"""Evaluate the final Transformer: the only code that reads the test sets.

Writes ``predictions.npz`` (sources, references, outputs), ``explain.npz`` (attention weights and masks) and, last,
``metrics.json``, so that drawing and reporting need no model and no data set.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onepage.data.translation import TranslationSet
from onepage.files import write_json, write_with
from onepage.mt import explain, scores
from onepage.mt.batching import validation_batches
from onepage.mt.decoding import Decoding
from onepage.mt.losses import mean_loss
from onepage.mt.recipe import Recipe
from onepage.mt.search import beam, greedy
from onepage.mt.tokenizer import PAD, Tokenizer
from onepage.mt.train import as_tensor, sizes_of
from onepage.mt.transformer import Transformer
from onepage.runs import history, provenance
from onepage.training import checkpoint, seeding
from onepage.training.recipe import as_dict, from_values, of_run
from onepage.training.session import common_block
from onepage.training.weights import count_parameters, digest_tensors

EXAMPLES = 3  # of each kind: enough to find one that fits on the page uncut
PIECES = (9, 13)  # least and most of the sentence whose attention is shown: word order can differ, and labels fit
SIZES = ("encoder_layers", "decoder_layers", "heads", "d_model", "d_ff", "vocabulary")  # that metrics.json states
MORE = 6  # sentences to explore, from short to long, besides the examples and the sentence shown
LONGEST = 40  # pieces per side of a sentence to explore
SHOWN_TARGETS = (0, 6, 8)  # least number of pieces of each target in the batch whose masks are shown


def load(run: Path, device: str = "") -> tuple[Transformer, Tokenizer, Recipe, dict[str, Any]]:
    """The trained model in evaluation mode, its tokenizer, its recipe and its plan (run.json).

    ``run``: a run folder, or a file by ``make export``.
    ``device``: "cpu" or "cuda", instead of the device of the training.
    Raises UserError if the weights are missing or damaged, or of a version of this program with other recipe keys.
    """
    plan = common_block(run)
    recipe = of_run(Recipe, run, plan)
    where = seeding.prepare(plan["seed"], recipe.threads, device or plan["device"])
    with checkpoint.fitting(run):
        weights = checkpoint.load_weights(run)
        tokenizer = Tokenizer(weights.pop("tokenizer").numpy().tobytes())
        model = Transformer(sizes_of(recipe, len(tokenizer)), PAD)
        model.load_state_dict(weights)
    return model.to(where).eval(), tokenizer, recipe, plan


def best(model: Transformer, sources: list[list[int]], beam_size: int, length_penalty: float) -> list[list[int]]:
    """Pieces of the best translation of each source, by beam search, or by greedy search for a beam of 1."""
    if beam_size == 1:
        return greedy(model, sources)
    return [hypotheses[0].ids for hypotheses in beam(model, sources, beam_size, length_penalty, nbest=1)]


def decoding_of(settings: Mapping[str, Mapping[str, Any]]) -> Decoding:
    """The decoding settings from the table ``decoding`` of ``settings``; raises UserError for a wrong key or value."""
    return from_values(Decoding, dict(settings["decoding"]), "decoding")


def evaluate(
    data: TranslationSet, run: Path, settings: Mapping[str, Mapping[str, Any]], say: Any = print
) -> dict[str, Any]:
    """Score ``run/model.pt`` on validation and every test set; returns the content of metrics.json.

    settings: {"decoding": the settings of beam search}. Raises UserError if the weights are missing or damaged.
    """
    decoding = decoding_of(settings)
    stopwatch = provenance.Stopwatch()
    model, tokenizer, recipe, plan = load(run)
    generated = " (generated stand-in data)" if plan["generated"] else ""

    def search(lines: Sequence[str], beam_size: int) -> list[list[int]]:
        return best(model, [tokenizer.encode(line) for line in lines], beam_size, decoding.length_penalty)

    val_loss = mean_loss(model, validation_batches(tokenizer, data.splits["val"], 2000), "fp32")
    val_greedy = [tokenizer.decode(ids) for ids in search(data.splits["val"][0], 1)]
    found: dict[str, list[list[int]]] = {}
    arrays: dict[str, Any] = {}
    tests: dict[str, Any] = {}
    tok_references = scores.comparable(data.tok_references, say)
    for name in data.tests:
        sources, references = data.splits[name]
        found[name] = search(sources, decoding.beam_size)
        outputs = [tokenizer.decode(ids) for ids in found[name]]
        greedy_outputs = [tokenizer.decode(ids) for ids in search(sources, 1)]
        tok = tok_references.get(name)
        found_scores = scores.every_score(sources, outputs, greedy_outputs, references, tok, data.tgt)
        tests[name] = found_scores
        texts = {"source": sources, "reference": references, "output": outputs, "greedy": greedy_outputs}
        arrays |= {f"{name}_{kind}": np.array(lines) for kind, lines in texts.items()}
        arrays[f"{name}_chrf"] = np.array(scores.sentence_chrf(outputs, references), dtype=np.float32)
        bleu, (low, high) = found_scores["bleu"]["score"], found_scores["bleu"]["interval"]
        shown = f"BLEU {bleu:.1f} (95 % {low:.1f} to {high:.1f}, n={len(sources):,})"
        say(f"mt   {name}: {shown}, greedy {found_scores['bleu_greedy']:.1f}{generated}")

    head = data.headline
    last = history.read(run / "history.jsonl")[-1]
    metrics = {
        **plan,
        "weights_digest": digest_tensors({**model.state_dict(), "tokenizer": as_tensor(tokenizer.model)}),
        "src": data.src,
        "tgt": data.tgt,
        "model": {
            "name": "Transformer",
            "parameters": count_parameters(model),
            **{name: getattr(model.sizes, name) for name in SIZES},
        },
        "train": {
            "n": len(data.splits["train"][0]),
            "updates": recipe.updates,
            "epochs": last["epoch"],
            "loss": last["train_loss"],
        },
        "val": {
            "n": len(data.splits["val"][0]),
            "loss": val_loss,
            "perplexity": math.exp(val_loss),
            "bleu_greedy": scores.corpus_bleu(val_greedy, data.splits["val"][1]),
        },
        "decoding": as_dict(decoding),
        "headline": head,
        "tests": tests,
        "examples": examples(arrays, head),
    }
    write_with(run / "predictions.npz", lambda file: np.savez_compressed(file, **arrays))
    explained = explanation(model, tokenizer, arrays, head, data.splits["val"], found[head])
    write_with(run / "explain.npz", lambda file: np.savez_compressed(file, **explained))
    stopwatch.record(run, "evaluate")
    write_json(run / "metrics.json", metrics)
    return metrics


def examples(arrays: dict[str, Any], head: str) -> list[dict[str, Any]]:
    """Best, median and worst outputs of the headline set by chrF, ``EXAMPLES`` of each, the most typical first.

    The best ones exclude exact copies of the reference. ``index``: number of the sentence in its set, from 0; ``rank``:
    its rank by chrF, 1 for the best of all.
    """
    chrf = arrays[f"{head}_chrf"]
    order = np.argsort(-chrf, kind="stable").tolist()
    ranks = {i: rank for rank, i in enumerate(order, 1)}
    # an exact copy shows nothing to compare
    imperfect = [i for i in order if chrf[i] < 99.9] or order
    middle = len(order) // 2
    picks = [("best", i) for i in imperfect[:EXAMPLES]]
    picks += [("median", i) for i in order[middle : middle + EXAMPLES]]
    picks += [("worst", i) for i in order[-EXAMPLES:][::-1]]
    return [
        {
            "kind": kind,
            "index": i,
            "rank": ranks[i],
            "chrf": float(chrf[i]),
            **{name: str(arrays[f"{head}_{name}"][i]) for name in ("source", "reference", "output")},
        }
        for kind, i in picks
    ]


def explanation(
    model: Transformer,
    tokenizer: Tokenizer,
    arrays: dict[str, Any],
    head: str,
    val: tuple[list[str], list[str]],
    found: list[list[int]],
) -> dict[str, Any]:
    """Attention weights of one well-translated sentence of middle length, and the masks of a small real batch.

    ``found``: the piece ids of each output of the headline set.
    """
    sources = [tokenizer.encode(str(line)) for line in arrays[f"{head}_source"]]
    middling = [i for i, ids in enumerate(sources) if PIECES[0] <= len(ids) <= PIECES[1]] or list(range(len(sources)))
    best = max(middling, key=lambda i: (float(arrays[f"{head}_chrf"][i]), -i))
    target = found[best]
    pairs = [(tokenizer.encode(s), tokenizer.encode(t)) for s, t in zip(*val, strict=True)]
    by_length = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][1]), len(pairs[i][0]), i))
    # short ones of unequal length: the masks stay readable beside their tokens
    few = [next((i for i in by_length if len(pairs[i][1]) >= least), by_length[-1]) for least in SHOWN_TARGETS]
    return {
        **{name: arrays[f"{head}_{name}"][best] for name in ("source", "reference", "output")},
        **explain.tokens(tokenizer, sources[best], target),
        **explain.attention_weights(model, sources[best], target),
        **explain.masks(model, tokenizer, [pairs[i] for i in few]),
        **explored(model, tokenizer, sources, found, [best, *(row["index"] for row in examples(arrays, head))]),
    }


def explored(
    model: Transformer, tokenizer: Tokenizer, sources: list[list[int]], found: list[list[int]], first: list[int]
) -> dict[str, np.ndarray]:
    """Attention of the sentences ``first`` and of ``MORE`` from short to long; none has over ``LONGEST`` pieces.

    ``explored_index``: their numbers in the headline set; the other arrays are those of explain.packed.
    """
    short = [i for i, pair in enumerate(zip(sources, found, strict=True)) if max(map(len, pair)) <= LONGEST]
    by_length = sorted(short, key=lambda i: (len(sources[i]), i))
    more = [by_length[(2 * k + 1) * len(short) // (2 * MORE)] for k in range(MORE) if short]
    chosen = [i for i in dict.fromkeys([*first, *more]) if i in short]
    packed = explain.packed(model, tokenizer, [(sources[i], found[i]) for i in chosen])
    return {"explored_index": np.array(chosen, dtype=np.int64)} | {f"explored_{k}": v for k, v in packed.items()}
