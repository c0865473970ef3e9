"""Greedy and beam search over the Transformer with a key-value cache.

Beam search keeps the ``beam_size`` best partial outputs of each sentence by summed log-probability; finished ones are
ranked by the sum divided by the length penalty of Wu et al. 2016 (equation 14): ((5 + length) / 6) ** alpha. Cross-
attention keys and values are computed once a sentence. A sentence stops when no partial output can overtake its best
finished one, and then leaves the batch. What a sentence is
batched with does not change its result, up to the rounding of float sums.
"""

import dataclasses

import torch
from torch import Tensor

from onepage.mt.batching import pad
from onepage.mt.tokenizer import END, PAD, START
from onepage.mt.transformer import KeysValues, Transformer


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """A finished output."""

    ids: list[int]
    """Piece ids, ended by END unless the length limit cut it."""
    score: float
    """Log-probability (nats) over the length penalty."""


def length_limit(source_length: int) -> int:
    """The most target pieces searched for a source of this many: ample for related languages, and always an end."""
    return 2 * source_length + 10


def penalty(length: int, alpha: float) -> float:
    """Length penalty of Wu et al. 2016; alpha 0 is none, 1 close to the mean log-probability."""
    return ((5 + length) / 6) ** alpha


@torch.no_grad()
def greedy(model: Transformer, sources: list[list[int]], batch_tokens: int = 4000) -> list[list[int]]:
    """The most probable piece at each step, for each source (ids ended by END)."""
    return [found[0].ids for found in beam(model, sources, beam_size=1, alpha=0.0, batch_tokens=batch_tokens)]


@torch.no_grad()
def beam(
    model: Transformer,
    sources: list[list[int]],
    beam_size: int,
    alpha: float,
    batch_tokens: int = 4000,
) -> list[list[Hypothesis]]:
    """Up to ``beam_size`` hypotheses of each source, best first, in the order of ``sources``."""
    model.eval()
    results: list[list[Hypothesis]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda i: -len(sources[i]))  # like lengths together, longest first
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // (len(sources[order[start]]) * beam_size))
        chunk = order[start : start + size]
        found = _search([sources[i] for i in chunk], model, beam_size, alpha)
        for number, hypotheses in zip(chunk, found, strict=True):
            results[number] = hypotheses
        start += size
    return results


def _search(sources: list[list[int]], model: Transformer, beam_size: int, alpha: float) -> list[list[Hypothesis]]:
    device = next(model.parameters()).device
    batch, k = len(sources), beam_size
    finished: list[list[Hypothesis]] = [[] for _ in sources]
    limits = [min(length_limit(len(source)), len(model.positions) - 1) for source in sources]

    memory, mask = model.encode(pad(sources).to(device))
    source_kv = [_repeat(pair, k) for pair in model.source_keys_values(memory)]  # (batch * k, H, S, D/H)
    mask = mask.repeat_interleave(k, 0)
    cache: list[KeysValues] = []
    active = list(range(batch))  # sentence number of each row group of k
    ids = torch.full((batch * k, 1), START, device=device)
    # only the first row of a group lives at the start: k equal rows would give k equal beams
    sums = torch.full((batch, k), float("-inf"), device=device)
    sums[:, 0] = 0.0

    length = 0
    while active:
        length += 1
        logits, cache = model.step(ids[:, -1], length - 1, cache, source_kv, mask)
        log_probability = torch.log_softmax(logits.float(), dim=-1).view(len(active), k, -1)
        log_probability[:, :, PAD] = float("-inf")
        log_probability[:, :, START] = float("-inf")
        vocabulary = log_probability.shape[-1]
        # 2k candidates: at most k of them end, so k that go on always remain
        totals = (sums[:, :, None] + log_probability).view(len(active), -1)
        best, flat = totals.topk(min(2 * k, totals.shape[1]), dim=1)
        rows, pieces = flat // vocabulary, flat % vocabulary

        ends = pieces == END
        kept_rows, kept_pieces, kept_sums, still = [], [], [], []
        best_list, rows_list, pieces_list, ends_list = best.tolist(), rows.tolist(), pieces.tolist(), ends.tolist()
        for place, sentence in enumerate(active):
            going: list[tuple[int, int, float]] = []
            for rank, value in enumerate(best_list[place]):
                if value == float("-inf") or len(going) == k:
                    break
                row, piece = place * k + rows_list[place][rank], pieces_list[place][rank]
                if ends_list[place][rank]:
                    if rank < k:  # an end outside the beam would not have been reached
                        tokens = [*ids[row, 1:].tolist(), END]
                        finished[sentence].append(Hypothesis(tokens, value / penalty(length, alpha)))
                else:
                    going.append((row, piece, value))
            if length >= limits[sentence]:
                for row, piece, value in going:
                    tokens = [*ids[row, 1:].tolist(), piece]
                    finished[sentence].append(Hypothesis(tokens, value / penalty(length, alpha)))
                continue
            if not going or _settled(finished[sentence], going[0][2], length, limits[sentence], k, alpha):
                continue
            still.append(place)
            going += [(going[0][0], PAD, float("-inf"))] * (k - len(going))  # dead rows keep the shape
            kept_rows += [row for row, _, _ in going]
            kept_pieces += [piece for _, piece, _ in going]
            kept_sums += [value for _, _, value in going]
        if not still:
            break
        index = torch.tensor(kept_rows, device=device)
        if len(still) < len(active):  # sentences that are done leave the batch
            groups = torch.tensor([place * k + i for place in still for i in range(k)], device=device)
            source_kv = [(keys[groups], values[groups]) for keys, values in source_kv]
            mask = mask[groups]
        cache = [(keys[index], values[index]) for keys, values in cache]
        ids = torch.cat([ids[index], torch.tensor(kept_pieces, device=device)[:, None]], dim=1)
        sums = torch.tensor(kept_sums, device=device).view(len(still), k)
        active = [active[place] for place in still]
    return [sorted(found, key=lambda h: -h.score)[:k] for found in finished]


def _settled(finished: list[Hypothesis], best_sum: float, length: int, limit: int, k: int, alpha: float) -> bool:
    """Whether no partial output can still enter the k best: sums only fall, so bound by the kindest penalty."""
    if len(finished) < k:
        return False
    bound = best_sum / penalty(limit if alpha > 0 else length, alpha)
    return bound <= sorted((h.score for h in finished), reverse=True)[k - 1]


def _repeat(pair: KeysValues, times: int) -> tuple[Tensor, Tensor]:
    return pair[0].repeat_interleave(times, 0), pair[1].repeat_interleave(times, 0)
