"""``make bench-mt``: translation and training of the Transformer, ours beside others, on one machine.

One trained model translates the validation sentences by our search, by ours without a cache, by JoeyNMT's and by
CTranslate2. The contenders take turns, each time in a new process, so that slow minutes of the machine fall on all of
them and peak memory is one contender's own. So do two training loops, ours and a plain one (plain_mt.py). What is not
installed is reported as that.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onepage.benchmarks import machine, plain_mt, process, results, turns
from onepage.data.translation import load_translation
from onepage.errors import UserError
from onepage.files import read_json
from onepage.mt import scores
from onepage.mt.evaluate import load
from onepage.mt.recipe import Recipe
from onepage.planning import plan as plans
from onepage.training.locking import cpu_training_lock

WORKER = "onepage.benchmarks.mt_worker"
PEERS = ("joeynmt", "ctranslate2")
CONTENDERS = ("ours", "uncached", *PEERS)
CLOSE = 0.01  # nats of an output's log-probability: the same model but for the rounding of sums


@dataclasses.dataclass(frozen=True)
class Settings:
    """What of the benchmark a user may change."""

    repeats: int = 3
    """Turns that each contender has."""
    sentences: int = 0
    """Validation sentences translated; 0: all."""
    beam_size: int = 5
    length_penalty: float = 1.0
    """alpha of each program's own length penalty."""
    batch_tokens: int = 8000
    """Source positions, times the beam, of a batch of our searches and JoeyNMT's."""
    updates: int = 60
    """Training updates measured in a turn."""
    vocabulary: int = 8000
    """Pieces of the model that is trained; this and the next are those of Transformer-Tiny (Wu et al. 2021)."""
    d_model: int = 128
    d_ff: int = 256
    heads: int = 4
    layers: int = 4
    """Of the encoder, and of the decoder."""
    train_tokens: int = 1536
    """Target positions of an update."""

    def recipe(self) -> dict[str, Any]:
        """The keys of a recipe for the training that is measured."""
        sizes = {"vocabulary": self.vocabulary, "d_model": self.d_model, "d_ff": self.d_ff, "heads": self.heads}
        layers = {"encoder_layers": self.layers, "decoder_layers": self.layers}
        common = {"updates": self.updates, "batch_tokens": self.train_tokens, "learning_rate": 1e-3, "validations": 1}
        return sizes | layers | common | {"dropout": 0.3, "optimiser": "muon"}


def run(trained: Path, data_dir: Path, out: Path, settings: Settings, seed: int = 0) -> dict[str, Any]:
    """Measure everything; returns the result as it is kept. Raises UserError, and keeps nothing, when it cannot.

    trained: the run whose model translates.
    """
    if not (trained / "model.pt").is_file():
        raise UserError(f"there is no trained model in {trained}; run: make mt")
    block = read_json(trained / "run.json")
    if block.get("task") != "mt":
        raise UserError(f"{trained} is no run of the Transformer; give one of make mt")
    data = {"dir": str(data_dir.resolve()), "set": block["set"], "src": block["src"], "tgt": block["tgt"]}
    pairs = load_translation(data_dir, data["set"], data["src"], data["tgt"])
    if pairs.digest != block["data_digest"]:
        raise UserError(f"the data in {data_dir} is not what {trained} was trained on; put that back")
    problem = Recipe(**settings.recipe()).check()
    if problem:
        raise UserError(f"the model to train: {problem}")
    precision = plans.auto_precision("cpu")
    result = results.about("cpu") | {
        "task": "mt",
        "data": {key: data[key] for key in ("set", "src", "tgt")}
        | {"generated": pairs.generated, "digest": pairs.digest},
        "settings": dataclasses.asdict(settings) | {"seed": seed},
        "model": {"profile": block["profile"], "seed": block["seed"], "commit": block.get("commit")}
        | {"recipe_hash": block.get("recipe_hash"), "recipe": block["recipe"]},
        "plain": plain_mt.ABOUT,
        "ours": {"precision": precision, "recipe": settings.recipe()},
    }
    log, say = turns.opened_log(out, "mt", result, "sentences")
    where = {"run": str(trained.resolve()), "data": data}
    with cpu_training_lock("cpu", say), turns.scratch_folder() as scratch, process.stoppable():
        turns.say_where(result, settings.repeats, log, say)
        result["peers"] = {}
        for name in PEERS:
            found = process.call(WORKER, "check", where | {"contender": name}, scratch / "check")
            result["peers"][name] = found | {"same_model": found.get("largest_difference", 1.0) < CLOSE}
            say(f"{name}: {_check_words(result['peers'][name])}")
        contenders: dict[str, tuple[str, dict[str, Any]]] = {
            "machine": ("machine", {"precisions": sorted({"fp32", precision})})
        }
        search: dict[str, Any] = {"sentences": settings.sentences, "beam_size": settings.beam_size}
        search |= {"alpha": settings.length_penalty, "batch_tokens": settings.batch_tokens}
        for name in CONTENDERS:
            if "missing" not in result["peers"].get(name, {}):
                contenders[name] = ("translation", where | search | {"contender": name})
        training = {"data": data, "recipe": settings.recipe(), "seed": seed, "updates": settings.updates}
        contenders["plain-training"] = ("plain training", training)
        contenders["our-training"] = ("our training", training | {"precision": precision, "run": ""})
        result["samples"] = turns.take_turns(WORKER, contenders, settings.repeats, scratch, say, _sample_words)
        result["agreement"] = agreement(result["samples"], trained, pairs.splits["val"])
        result["finished"] = results.provenance.now()
    return result


def _check_words(found: Mapping[str, Any]) -> str:
    if "missing" in found:
        return str(found["missing"])
    return (
        f"version {found['version']}, log-probabilities of {found['compared']} references differ from ours by at most "
        f"{found['largest_difference']:.1e} nats"
    )


def _sample_words(found: Mapping[str, Any]) -> str:
    if "tokens_per_second" in found:
        return f"{found['tokens_per_second']:,.0f} target tokens/s in training"
    return f"{found['sentences']} sentences in {found['seconds']:.1f} s"


def agreement(
    samples: dict[str, list[dict[str, Any]]], trained: Path, split: tuple[Sequence[str], Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """How alike the outputs are, which go from ``samples``: {contender: same as ours, BLEU against ours, BLEU}.

    Also whether a contender says the same in each of its turns.
    """
    _, tokenizer, _, _ = load(trained)
    found: dict[str, dict[str, Any]] = {}
    ours: list[str] = []
    for name in CONTENDERS:
        said = [sample.pop("outputs") for sample in samples.get(name, [])]
        if not said:
            continue
        texts = [tokenizer.decode(ids) for ids in said[0]]
        ours = ours or texts
        found[name] = {
            "same": sum(a == b for a, b in zip(texts, ours, strict=True)),
            "bleu_against_ours": scores.corpus_bleu(texts, ours),
            "bleu": scores.corpus_bleu(texts, split[1][: len(texts)]),
            "repeats_itself": all(one == said[0] for one in said),
        }
    return found


def summarise(result: Mapping[str, Any]) -> dict[str, Any]:
    """Rates, memory and ratios of medians, from what was measured."""
    samples = result["samples"]
    peaks = {
        precision: max(sample["matmul"][precision]["flops"] for sample in samples["machine"])
        for precision in samples["machine"][0]["matmul"]
    }
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
    for name, precision in (("plain", "fp32"), ("our", result["ours"]["precision"])):
        taken = samples[f"{name}-training"]
        rates = [sample["tokens_per_second"] for sample in taken]
        found["training"][name] = {
            "tokens": rates,
            "precision": precision,
            "share": statistics.median(rates) * flops / peaks[precision],
            "memory": max(sample["peak_memory_bytes"] for sample in taken),
        }
    median = statistics.median
    for name, row in found["translation"].items():
        found["ratios"][name] = median(found["translation"]["ours"]["sentences"]) / median(row["sentences"])
    training = found["training"]
    found["ratios"]["training"] = median(training["our"]["tokens"]) / median(training["plain"]["tokens"])
    return found
