"""What one process of the Transformer's benchmark measures: the machine, a search, or a training loop.

Our training is timed by running ``onepage.mt.train.train`` itself, shortened: its history says how many target tokens
were trained on by when. So there is no second copy of the loop that could differ from it.
"""

import dataclasses
import importlib.metadata
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from onepage.benchmarks import machine, mt_peers, plain_mt
from onepage.benchmarks.process import Job, serve
from onepage.data.translation import TranslationSet, load_translation
from onepage.mt.batching import Pair, encode_pairs
from onepage.mt.evaluate import load
from onepage.mt.incremental import FastDecoder
from onepage.mt.recipe import Recipe
from onepage.mt.search import beam_over
from onepage.mt.tokenizer import END, START, train_tokenizer
from onepage.mt.train import sizes_of, train
from onepage.mt.transformer import Sizes, Transformer
from onepage.runs import history, provenance
from onepage.training import session

PARTS = 3  # readings of a shortened training; what comes before the first warms up
CHECKED = 32  # pairs whose log-probability two programs compute
Ids = list[list[int]]


def measure_machine(precisions: list[str]) -> dict[str, Any]:
    """Matrix-product peak in each precision, on all cores."""
    threads = machine.use_all_cores()
    return {
        "matmul": {name: machine.matmul_peak(name, torch.device("cpu")) for name in precisions},
        "threads": threads,
    }


def read_pairs(run: str, data: dict[str, Any], sentences: int) -> tuple[Transformer, list[Pair]]:
    """The trained model on the CPU, and the first validation pairs (all of them where ``sentences`` is 0)."""
    model, tokenizer, _, _ = load(Path(run))
    loaded = load_translation(Path(data["dir"]), data["set"], data["src"], data["tgt"])
    return model.cpu(), encode_pairs(tokenizer, loaded.splits["val"])[: sentences or None]


def translation(
    contender: str, run: str, data: dict[str, Any], sentences: int, beam_size: int, alpha: float, batch_tokens: int
) -> dict[str, Any]:
    """How long ``contender`` takes for the sentences on all cores, what it says, and its memory."""
    model, pairs = read_pairs(run, data, sentences)
    sources = [source for source, _ in pairs]
    threads = machine.use_all_cores()
    torch.set_deterministic_debug_mode("default")
    try:
        translate = contenders(contender, model, threads)
    except mt_peers.Missing as error:
        return {"missing": str(error)}
    translate(sources[:8], beam_size, alpha, batch_tokens)
    before = provenance.peak_memory_bytes()
    start = time.perf_counter()
    outputs = translate(sources, beam_size, alpha, batch_tokens)
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


def contenders(name: str, model: Transformer, threads: int) -> Callable[[Ids, int, float, int], Ids]:
    """(sources, beam size, alpha, batch tokens) -> best outputs, ids without END; raises mt_peers.Missing."""
    if name in mt_peers.PEERS:
        translate: Callable[[Ids, int, float, int], Ids] = mt_peers.PEERS[name](model, threads).translate
        return translate
    decoder = FastDecoder(model) if name == "ours" else plain_mt.UncachedDecoder(model)

    def ours(sources: Ids, beam_size: int, alpha: float, batch_tokens: int) -> Ids:
        with torch.no_grad():
            found = beam_over(decoder, sources, beam_size, alpha, batch_tokens, nbest=1)
        return [without_end(hypotheses[0].ids) for hypotheses in found]

    return ours


def without_end(ids: list[int]) -> list[int]:
    """The pieces of an output; END is there unless the length limit cut it."""
    return ids[:-1] if ids and ids[-1] == END else ids


@torch.no_grad()
def check_peer(contender: str, run: str, data: dict[str, Any]) -> dict[str, Any]:
    """Is it the same model? The greatest difference of a reference's log-probability between ours and theirs, nats."""
    model, pairs = read_pairs(run, data, CHECKED)
    try:
        peer = mt_peers.PEERS[contender](model, machine.use_all_cores())
    except mt_peers.Missing as error:
        return {"missing": str(error)}
    targets = [without_end(target) for _, target in pairs]
    theirs = peer.log_probabilities([source for source, _ in pairs], targets)
    ours = []
    for source, target in pairs:
        logits = model(torch.tensor([source]), torch.tensor([[START, *target[:-1]]]))[0]
        logs = torch.log_softmax(logits, dim=-1)
        ours.append(logs[torch.arange(len(target)), torch.tensor(target)].sum().item())
    return {
        "version": importlib.metadata.version(peer.package),
        "compared": len(pairs),
        "largest_difference": max(abs(a - b) for a, b in zip(ours, theirs, strict=True)),
    }


def training_pairs(data: dict[str, Any], vocabulary: int) -> tuple[TranslationSet, int, list[Pair]]:
    """The set, the pieces that are learnt from it, and its training pairs in them."""
    pairs = load_translation(Path(data["dir"]), data["set"], data["src"], data["tgt"])
    tokenizer = train_tokenizer([line for side in pairs.splits["train"] for line in side], vocabulary)
    return pairs, len(tokenizer), encode_pairs(tokenizer, pairs.splits["train"])


def plain_training(data: dict[str, Any], recipe: dict[str, Any], seed: int, updates: int) -> dict[str, Any]:
    """Target tokens a second of the plain loop, with the sizes of a recipe."""
    threads, settings = machine.use_all_cores(), Recipe(**recipe)
    _, vocabulary, pairs = training_pairs(data, settings.vocabulary)
    kept = [pair for pair in pairs if max(map(len, pair)) <= settings.max_length]
    loop = plain_mt.Loop(kept, sizes_of(settings, vocabulary), settings.batch_tokens, settings.label_smoothing, seed)
    rate = plain_mt.training_rate(loop, updates, warm_up=max(1, updates // (PARTS - 1)))
    return {"tokens_per_second": rate, "threads": threads, "peak_memory_bytes": provenance.peak_memory_bytes()}


def our_training(
    data: dict[str, Any], recipe: dict[str, Any], seed: int, updates: int, precision: str, run: str
) -> dict[str, Any]:
    """Target tokens a second of our loop with this recipe; and what an average target token asks of the model."""
    pairs = load_translation(Path(data["dir"]), data["set"], data["src"], data["tgt"])
    few = {**pairs.splits, "val": (pairs.splits["val"][0][:2], pairs.splits["val"][1][:2])}
    pairs = dataclasses.replace(pairs, splits=few)
    session.SAVE_EVERY_SECONDS = session.EPOCH_SECONDS = math.inf  # the plain loop saves nothing either
    whole = PARTS * max(1, round(updates / (PARTS - 1)))
    settings = dataclasses.replace(
        Recipe(**recipe), updates=whole, validations=PARTS, threads=provenance.cores(), precision=precision
    )
    block = {"task": "mt", "set": pairs.name, "generated": pairs.generated, "profile": "bench", "seed": seed}
    block |= {"data_digest": pairs.digest, "device": "cpu", "precision": precision, "threads": settings.threads}
    train(settings, pairs, Path(run), block | {"src": pairs.src, "tgt": pairs.tgt})
    first, *_, last = history.read(Path(run) / "history.jsonl")
    rate = (last["target_tokens"] - first["target_tokens"]) / max(last["seconds"] - first["seconds"], 1e-9)
    memory = provenance.peak_memory_bytes()
    _, vocabulary, encoded = training_pairs(data, settings.vocabulary)
    source_tokens, target_tokens = (sum(len(pair[side]) for pair in encoded) for side in (0, 1))
    flops = forward_flops(sizes_of(settings, vocabulary), source_tokens, target_tokens) / target_tokens
    return {
        "tokens_per_second": rate,
        "threads": settings.threads,
        "peak_memory_bytes": memory,
        "forward_flops_a_token": flops,
    }


def forward_flops(sizes: Sizes, source_tokens: int, target_tokens: int) -> float:
    """2 x multiply-adds of the linear layers, output layer included; attention's own products count nothing."""
    square, inner = sizes.d_model**2, 2 * sizes.d_model * sizes.d_ff
    source = sizes.encoder_layers * (4 * square + inner) + sizes.decoder_layers * 2 * square
    target = sizes.decoder_layers * (6 * square + inner) + sizes.d_model * sizes.vocabulary
    return 2.0 * (source * source_tokens + target * target_tokens)


JOBS: dict[str, Job] = {
    "machine": measure_machine,
    "translation": translation,
    "check": check_peer,
    "plain training": plain_training,
    "our training": our_training,
}

if __name__ == "__main__":
    serve(JOBS)
