"""Greedy and beam search over the Transformer with a key-value cache.

Beam search keeps the ``beam_size`` best partial outputs of each sentence by summed log-probability; finished ones are
ranked by the sum divided by the length penalty of Wu et al. 2016 (equation 14): ((5 + length) / 6) ** alpha.

Early stopping is exact. Sums only fall, so a partial output can at best keep its sum and end at the length with the
smallest penalty. If it still would not be among the ``nbest``, it is dropped; its replacement in the beam has an even
smaller sum. A sentence without partial outputs leaves the batch. Batching changes no result, up to rounding.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch
from torch import Tensor

from onepage.mt.batching import pad
from onepage.mt.incremental import FastDecoder
from onepage.mt.tokenizer import END, PAD, START
from onepage.mt.transformer import Transformer

NEVER = float("-inf")
BATCH_TOKENS = 8000
WIDEST = 32  # pieces in a group, which its maximum represents in the search for the best
VECTOR = 32  # of a row of maxima, for speed alone
FULL = 0.75  # ended sentences are removed (by a copy) once the share of the others is at most this


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """A finished output."""

    ids: list[int]
    """Piece ids, ended by END unless the length limit cut it."""
    score: float
    """Log-probability (nats) over the length penalty."""


class Rows(Protocol):
    """The partial outputs of a batch; see incremental.py for shapes and meaning."""

    def step(self, token: Tensor, cell: Tensor) -> Tensor: ...
    def reorder(self, parents: Tensor, cell: Tensor) -> None: ...
    def keep(self, sentences: Tensor) -> None: ...


class Decoder(Protocol):
    """The model that is searched."""

    model: Transformer

    def begin(self, source: Tensor, k: int) -> Rows: ...


def length_limit(source_length: int) -> int:
    """The largest number of target pieces for a source of this length: ample for related languages."""
    return 2 * source_length + 10


def penalty(length: int, alpha: float) -> float:
    """Length penalty of Wu et al. 2016; alpha 0 is none, 1 close to the mean log-probability."""
    return ((5 + length) / 6) ** alpha


def greedy(model: Transformer, sources: list[list[int]], batch_tokens: int = BATCH_TOKENS) -> list[list[int]]:
    """The most probable piece at each step, for each source (ids ended by END)."""
    return [found[0].ids for found in beam(model, sources, beam_size=1, alpha=0.0, batch_tokens=batch_tokens)]


@torch.no_grad()
def beam(
    model: Transformer,
    sources: list[list[int]],
    beam_size: int,
    alpha: float,
    batch_tokens: int = BATCH_TOKENS,
    nbest: int | None = None,
) -> list[list[Hypothesis]]:
    """Up to ``nbest`` hypotheses of each source, best first, in the order of ``sources``.

    ``nbest``: at most ``beam_size``, the default; fewer are found sooner, and are the same. ``batch_tokens``: source
    positions of a batch, times ``beam_size``.
    """
    model.eval()
    return beam_over(FastDecoder(model), sources, beam_size, alpha, batch_tokens, nbest)


def beam_over(
    decoder: Decoder,
    sources: list[list[int]],
    beam_size: int,
    alpha: float,
    batch_tokens: int = BATCH_TOKENS,
    nbest: int | None = None,
) -> list[list[Hypothesis]]:
    """``beam`` with an existing decoder."""
    results: list[list[Hypothesis]] = [[] for _ in sources]
    on_cpu = decoder.model.positions.device.type == "cpu"
    threads = torch.get_num_threads() if on_cpu else 1
    share = max(map(len, sources), default=0) * -(-len(sources) // threads)  # so that every thread has a batch
    chunks = list(batches(sources, min(batch_tokens // beam_size, share)))

    def search(chunk: list[int]) -> list[list[Hypothesis]]:
        return _search([sources[i] for i in chunk], decoder, beam_size, alpha, nbest or beam_size)

    if min(threads, len(chunks)) > 1:
        # one thread per batch: single products are too small to share
        try:
            with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                found = list(pool.map(search, chunks))
        finally:
            torch.set_num_threads(threads)
    else:
        found = [search(chunk) for chunk in chunks]
    for chunk, lists in zip(chunks, found, strict=True):
        for number, hypotheses in zip(chunk, lists, strict=True):
            results[number] = hypotheses
    return results


def batches(sources: Sequence[Sequence[int]], tokens: int) -> Iterator[list[int]]:
    """Batches of sentence numbers, by length, longest first; each has at most ``tokens`` positions or one sentence."""
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))
    start = 0
    while start < len(order):
        size = max(1, tokens // len(sources[order[start]]))
        yield order[start : start + size]
        start += size


@torch.no_grad()
def _search(sources: list[list[int]], decoder: Decoder, k: int, alpha: float, nbest: int) -> list[list[Hypothesis]]:
    """Search for one batch: B sentences, each with up to k rows (partial outputs), R rows in all."""
    device = decoder.model.positions.device
    finished: list[list[Hypothesis]] = [[] for _ in sources]
    sentences = list(range(len(sources)))  # which sentence of ``sources`` each of the B is
    longest = [min(length_limit(len(source)), len(decoder.model.positions) - 1) for source in sources]
    limits = torch.tensor(longest, device=device)[:, None]  # (B, 1)
    kindest = torch.tensor([penalty(limit, alpha) for limit in longest], dtype=torch.float64, device=device)[:, None]
    # scores of the nbest best finished outputs, best first: (B, nbest)
    best = torch.full((len(sources), nbest), NEVER, dtype=torch.float64, device=device)

    partial = decoder.begin(pad(sources).to(device), k)
    ids = torch.full((len(sources), 1), START, device=device)  # (R, length + 1)
    sums = torch.zeros(len(sources), device=device)  # (R,) log-probability so far
    cell = torch.arange(len(sources), device=device) * k  # (R,) sentence * k + number in it
    length = 0
    while len(ids):
        length += 1
        log_probability = torch.log_softmax(partial.step(ids[:, -1], cell).float(), dim=-1)
        log_probability[:, PAD] = NEVER
        log_probability[:, START] = NEVER
        # 2k candidates: at most k of them end, so k others always remain
        totals, rows, pieces = _best_candidates(log_probability, sums, cell, len(sentences), k)

        now = penalty(length, alpha)
        scores = totals.double() / now
        possible, ends, cut = totals > NEVER, pieces == END, limits <= length
        going = possible & ~ends
        going &= going.cumsum(1) <= k
        ended = possible & ends
        ended[:, k:] = False  # an end outside the beam would not be reached
        new = (ended | (going & cut)) & (scores > best[:, -1:])
        best = torch.cat([best, scores.masked_fill(~new, NEVER)], dim=1).topk(nbest, dim=1).values
        places, ranks = new.nonzero(as_tuple=True)
        if len(places):
            outputs = torch.cat([ids[rows[places, ranks], 1:], pieces[places, ranks, None]], dim=1).tolist()
            for place, output, score in zip(places.tolist(), outputs, scores[places, ranks].tolist(), strict=True):
                finished[sentences[place]].append(Hypothesis(output, score))

        bound = totals.double() / (kindest if alpha > 0 else now)
        places, ranks = (going & ~cut & (bound > best[:, -1:])).nonzero(as_tuple=True)
        parents, parent_cells = rows[places, ranks], cell[rows[places, ranks]]
        sums = totals[places, ranks]
        ids = torch.cat([ids.index_select(0, parents), pieces[places, ranks, None]], dim=1)
        kept, position, counts = torch.unique_consecutive(places, return_inverse=True, return_counts=True)
        number = torch.arange(len(places), device=device) - (counts.cumsum(0) - counts).repeat_interleave(counts)
        cell = places * k + number
        partial.reorder(parent_cells, cell)
        if len(kept) <= FULL * len(sentences):
            sentences = [sentences[place] for place in kept.tolist()]
            limits, kindest, best = limits[kept], kindest[kept], best[kept]
            partial.keep(kept)
            cell = position * k + number
    return [sorted(found, key=lambda h: -h.score)[:nbest] for found in finished]


def group_width(vocabulary: int) -> int:
    """The number of pieces in a group: a divisor of the vocabulary, if possible one that gives whole vectors."""
    divisors = [width for width in range(1, WIDEST + 1) if vocabulary % width == 0]
    return max(divisors, key=lambda width: (vocabulary // width % VECTOR == 0, width))


def _best_candidates(
    log_probability: Tensor, sums: Tensor, cell: Tensor, batch: int, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The 2k best continuations of each sentence, best first, or all, if these are fewer.

    log_probability (R, V), sums (R,) and cells (R,) -> totals, rows and pieces, (B, 2k) each; a total of -inf is none.

    The 2k best lie in the 2k groups of pieces whose maxima are greatest: groups are sorted, then the pieces of those
    few. Group g holds the pieces g, g + G, g + 2 G and so on: maxima over whole columns are the fastest.
    """
    n_rows, vocabulary = log_probability.shape
    width = group_width(vocabulary)
    groups = vocabulary // width  # G
    grouped = log_probability.view(n_rows, width, groups)
    maxima = log_probability.new_full((batch * k, groups), NEVER)
    maxima.index_copy_(0, cell, grouped.amax(1) + sums[:, None])
    row_of = cell.new_zeros(batch * k).index_copy_(0, cell, torch.arange(n_rows, device=cell.device))

    best, flat = maxima.view(batch, k * groups).topk(min(2 * k, k * groups), dim=1)
    rows = row_of.view(batch, k).gather(1, flat // groups)  # (B, groups kept)
    group = flat % groups
    totals = grouped[rows, :, group] + sums[rows][:, :, None]  # (B, groups kept, width)
    totals.masked_fill_((best == NEVER)[:, :, None], NEVER)  # cells without a row
    totals, place = totals.flatten(1).topk(min(2 * k, totals[0].numel()), dim=1)
    chosen = place // width
    return totals, rows.gather(1, chosen), place % width * groups + group.gather(1, chosen)
