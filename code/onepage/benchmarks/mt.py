"""``make bench-mt``: translation and training of the Transformer, compared with other programs on one machine.

One trained model translates the validation sentences with our search, with and without its cache, with JoeyNMT and
with CTranslate2. Two loops train a model of a published size: ours and a plain one (plain_mt.py). Programs that are not
installed are reported as such.
"""

import dataclasses
import importlib.metadata
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from onepage.benchmarks import machine, ours, peers, plain_mt, process, results
from onepage.benchmarks.process import Measurement
from onepage.data import of_plan
from onepage.data.translation import TranslationSet
from onepage.errors import UserError
from onepage.files import read_json
from onepage.mt import scores
from onepage.mt.batching import Pair, encode_pairs
from onepage.mt.evaluate import load
from onepage.mt.incremental import FastDecoder
from onepage.mt.recipe import Recipe
from onepage.mt.search import beam_over
from onepage.mt.tokenizer import END, START, train_tokenizer
from onepage.mt.train import sizes_of, train
from onepage.mt.transformer import Sizes, Transformer
from onepage.planning.recipes import auto_precision
from onepage.runs import provenance
from onepage.training.recipe import Precision

CONTENDERS = ("ours", "uncached", *peers.PEERS)
CLOSE = 0.01  # nats in an output's log-probability: the same model except for rounding
CHECKED = 32  # pairs whose log-probabilities are compared between two programs
SETTINGS: dict[str, Any] = {
    "repeats": 3,  # turns of each contender
    "sentences": 0,  # of the validation set, translated; 0: all
    "beam_size": 5,
    "length_penalty": 1.0,  # alpha of each program's own length penalty
    "batch_tokens": 8000,  # source positions, times the beam, of a batch of our searches and JoeyNMT's
}
RECIPE: dict[str, Any] = {  # of the training that is measured: Transformer-Tiny (Wu et al. 2021)
    "updates": 60,
    "batch_tokens": 1536,
    "adamw_learning_rate": 1e-3,
    "vocabulary": 8000,
    "validations": 1,
    "d_model": 128,
    "d_ff": 256,
    "heads": 4,
    "encoder_layers": 4,
    "decoder_layers": 4,
    "dropout": 0.3,
    "optimiser": "muon",
}
Ids = list[list[int]]
Translate = Callable[[Ids, int, float, int], Ids]


# measurements, each in a process of its own


def read_pairs(trained: str, plan: dict[str, Any], sentences: int) -> tuple[Transformer, list[Pair]]:
    """The trained model on the CPU, and the first validation pairs (all of them where ``sentences`` is 0)."""
    model, tokenizer, _, _ = load(Path(trained))
    return model.cpu(), encode_pairs(tokenizer, of_plan(plan).splits["val"])[: sentences or None]


def translation(contender: str, trained: str, plan: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The time of ``contender`` for the sentences on all cores, its outputs, and its memory."""
    model, pairs = read_pairs(trained, plan, settings["sentences"])
    search = settings["beam_size"], settings["length_penalty"], settings["batch_tokens"]
    sources = [source for source, _ in pairs]
    threads = machine.use_all_cores()
    torch.set_deterministic_debug_mode("default")
    translate = translator(contender, model, threads)
    translate(sources[:8], *search)
    before = provenance.peak_memory_bytes()
    start = time.perf_counter()
    outputs = translate(sources, *search)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "sentences": len(outputs),
        "tokens": sum(len(ids) for ids in outputs),
        "outputs": outputs,
        "peak_memory_bytes": provenance.peak_memory_bytes(),
        "memory_before_bytes": before,
        "threads": threads,
    }


def translator(name: str, model: Transformer, threads: int) -> Translate:
    """(sources, beam size, alpha, batch tokens) -> best outputs, ids without END; raises peers.Missing."""
    if name in peers.PEERS:
        return cast(Translate, peers.PEERS[name](model, threads).translate)
    decoder = FastDecoder(model) if name == "ours" else plain_mt.UncachedDecoder(model)

    @torch.no_grad()
    def search(sources: Ids, beam_size: int, alpha: float, batch_tokens: int) -> Ids:
        found = beam_over(decoder, sources, beam_size, alpha, batch_tokens, nbest=1)
        return [without_end(hypotheses[0].ids) for hypotheses in found]

    return search


def without_end(ids: list[int]) -> list[int]:
    """The pieces of an output; END is there unless the length limit cut it."""
    return ids[:-1] if ids and ids[-1] == END else ids


@torch.no_grad()
def check_peer(contender: str, trained: str, plan: dict[str, Any]) -> dict[str, Any]:
    """The largest difference in a reference's log-probability between our model and theirs, in nats."""
    model, pairs = read_pairs(trained, plan, CHECKED)
    try:
        peer = peers.PEERS[contender](model, machine.use_all_cores())
    except peers.Missing as error:
        return {"missing": str(error)}
    targets = [without_end(target) for _, target in pairs]
    theirs = peer.log_probabilities([source for source, _ in pairs], targets)
    mine = []
    for source, target in pairs:
        logits = model(torch.tensor([source]), torch.tensor([[START, *target[:-1]]]))[0]
        logs = torch.log_softmax(logits, dim=-1)
        mine.append(logs[torch.arange(len(target)), torch.tensor(target)].sum().item())
    return {
        "version": importlib.metadata.version(peer.package),
        "compared": len(pairs),
        "largest_difference": max(abs(a - b) for a, b in zip(mine, theirs, strict=True)),
    }


def training_pairs(data: TranslationSet, vocabulary: int) -> tuple[int, list[Pair]]:
    """The number of pieces learned from the training sentences, and the training pairs in those pieces."""
    tokenizer = train_tokenizer([line for side in data.splits["train"] for line in side], vocabulary)
    return len(tokenizer), encode_pairs(tokenizer, data.splits["train"])


def barely_validated(data: TranslationSet) -> TranslationSet:
    """The set with two validation pairs, which take little of the time of a measured training."""
    few = data.splits["val"][0][:2], data.splits["val"][1][:2]
    return dataclasses.replace(data, splits={**data.splits, "val": few})


def plain_training(plan: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """Target tokens per second of the plain loop, with the sizes of a recipe."""
    threads, settings = machine.use_all_cores(), Recipe(**recipe)
    vocabulary, pairs = training_pairs(of_plan(plan), settings.vocabulary)
    kept = [pair for pair in pairs if max(map(len, pair)) <= settings.max_length]
    sizes = sizes_of(settings, vocabulary)
    loop = plain_mt.Loop(kept, sizes, settings.batch_tokens, settings.label_smoothing, plan["seed"])
    updates, warm_up = settings.updates, max(1, settings.updates // (ours.PARTS - 1))
    rate = machine.training_rate(loop.updates(), updates, warm_up, torch.device("cpu"))
    return {"tokens_per_second": rate, "threads": threads, "peak_memory_bytes": provenance.peak_memory_bytes()}


def our_training(
    plan: dict[str, Any], recipe: dict[str, Any], precision: Precision, run: str, threads: int = 0
) -> dict[str, Any]:
    """Target tokens per second of our loop with this recipe, and the model's FLOPs per target token.

    ``threads``: 0 for one on each core.
    """
    data = of_plan(plan)
    ours.save_no_checkpoints()
    length = {"updates": ours.PARTS * max(1, round(recipe["updates"] / (ours.PARTS - 1))), "validations": ours.PARTS}
    settings = Recipe(**(recipe | length), threads=threads or provenance.cores(), precision=precision)
    keys = ("task", "set", "generated", "seed", "data_digest", "src", "tgt")
    identity = {key: plan[key] for key in keys} | {"profile": "bench", "device": "cpu"}
    identity |= {"precision": precision, "threads": settings.threads}
    train(settings, barely_validated(data), Path(run), identity)
    memory = provenance.peak_memory_bytes()
    vocabulary, encoded = training_pairs(data, settings.vocabulary)
    source_tokens, target_tokens = (sum(len(pair[side]) for pair in encoded) for side in (0, 1))
    return {
        "tokens_per_second": ours.rate(run, "target_tokens"),
        "threads": settings.threads,
        "peak_memory_bytes": memory,
        "forward_flops_a_token": forward_flops(sizes_of(settings, vocabulary), source_tokens, target_tokens)
        / target_tokens,
    }


def forward_flops(sizes: Sizes, source_tokens: int, target_tokens: int) -> float:
    """2 x multiply-adds of the linear layers, including the output layer; the products of attention count zero."""
    square, inner = sizes.d_model**2, 2 * sizes.d_model * sizes.d_ff
    source = sizes.encoder_layers * (4 * square + inner) + sizes.decoder_layers * 2 * square
    target = sizes.decoder_layers * (6 * square + inner) + sizes.d_model * sizes.vocabulary
    return 2.0 * (source * source_tokens + target * target_tokens)


# the benchmark


def run(plan: dict[str, Any], trained: Path, out: Path) -> dict[str, Any]:
    """Measure everything; returns the result to keep. On a UserError, nothing is kept.

    ``trained``: the run whose model translates, trained on the planned data.
    """
    if not (trained / "model.pt").is_file():
        raise UserError(f"there is no trained model in {trained}; run: make mt")
    about_model = read_json(trained / "run.json")
    if about_model.get("task") != "mt":
        raise UserError(f"{trained} is not a run of the Transformer; give one made by make mt")
    if any(about_model.get(key) != plan[key] for key in ("set", "src", "tgt", "data_digest")):
        raise UserError(f"{trained} was trained on other data; give its DATA, SRC and TGT, or leave out BENCH_RUN")
    data, precision = of_plan(plan), auto_precision("cpu")
    # generated sentences have fewer pieces than Transformer-Tiny's vocabulary
    recipe = RECIPE | ({"vocabulary": plan["recipe"]["vocabulary"]} if data.generated else {})
    result = results.about("cpu", data) | {
        "settings": SETTINGS | {"seed": plan["seed"]},
        "model": {key: about_model.get(key) for key in ("profile", "seed", "commit", "recipe_hash", "recipe")},
        "plain": plain_mt.ABOUT,
        "ours": {"precision": precision, "recipe": recipe},
        "peers": {},
    }
    where = {"trained": str(trained.resolve()), "plan": plan}
    training = {"plan": plan, "recipe": recipe}
    with process.session("mt", result, out) as (folder, say):
        for name in peers.PEERS:
            found = Measurement(check_peer, where | {"contender": name}).measure(folder / "check")
            result["peers"][name] = found | {"same_model": found.get("largest_difference", 1.0) < CLOSE}
            words = ", ".join(f"{key} {value}" for key, value in found.items())
            say(f"{name}: {found.get('missing', words)}")
        contenders = {"machine": Measurement(machine.measure, {"device": "cpu", "precision": precision})}
        for name in CONTENDERS:
            if "missing" not in result["peers"].get(name, {}):
                contenders[name] = Measurement(translation, where | {"contender": name, "settings": SETTINGS})
        contenders["plain-training"] = Measurement(plain_training, training)
        mine = training | {"precision": precision}
        contenders["our-training"] = Measurement(our_training, mine)
        for threads in machine.other_threads(provenance.cores()):
            contenders[f"threads-{threads}"] = Measurement(our_training, mine | {"threads": threads})
        contenders["busy"] = Measurement(our_training, mine, beside_busy=True)
        result["samples"] = process.take_turns(contenders, SETTINGS["repeats"], folder, say)
        result["agreement"] = agreement(result["samples"], trained, data.splits["val"])
    return result


def agreement(
    samples: dict[str, list[dict[str, Any]]], trained: Path, split: tuple[Sequence[str], Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """{contender: outputs that are the same as ours, BLEU against ours, BLEU}; removes the outputs from ``samples``."""
    _, tokenizer, _, _ = load(trained)
    found: dict[str, dict[str, Any]] = {}
    mine: list[str] = []
    for name in CONTENDERS:
        outputs = [sample.pop("outputs") for sample in samples.get(name, [])]
        if not outputs:
            continue
        texts = [tokenizer.decode(ids) for ids in outputs[0]]
        mine = mine or texts
        found[name] = {
            "same": sum(a == b for a, b in zip(texts, mine, strict=True)),
            "bleu_against_ours": scores.corpus_bleu(texts, mine),
            "bleu": scores.corpus_bleu(texts, split[1][: len(texts)]),
        }
    return found


def summarise(result: Mapping[str, Any]) -> dict[str, Any]:
    """Rates, memory and ratios of medians, from what was measured."""
    samples, peaks, median = result["samples"], machine.peaks(result), statistics.median
    found: dict[str, Any] = {"peaks": peaks, "translation": {}, "training": {}, "ratios": {}}
    for name in CONTENDERS:
        taken = samples.get(name, [])
        if taken:
            found["translation"][name] = {
                "sentences": [sample["sentences"] / sample["seconds"] for sample in taken],
                "tokens": [sample["tokens"] / sample["seconds"] for sample in taken],
                "memory": max(sample["peak_memory_bytes"] for sample in taken),
                "added": max(sample["peak_memory_bytes"] - sample["memory_before_bytes"] for sample in taken),
            }
    flops = samples["our-training"][0]["forward_flops_a_token"] * machine.TRAINING_PASSES
    for name, taken in samples.items():
        if "tokens_per_second" not in taken[0]:
            continue
        precision = "fp32" if name == "plain-training" else result["ours"]["precision"]
        rates = [sample["tokens_per_second"] for sample in taken]
        found["training"][name.removesuffix("-training")] = {
            "tokens": rates,
            "threads": taken[0]["threads"],
            "precision": precision,
            "share": median(rates) * flops / peaks[precision],
            "memory": max(sample["peak_memory_bytes"] for sample in taken),
        }
    for name, row in found["translation"].items():
        found["ratios"][name] = median(found["translation"]["ours"]["sentences"]) / median(row["sentences"])
    training = found["training"]
    found["ratios"]["training"] = median(training["our"]["tokens"]) / median(training["plain"]["tokens"])
    return found
