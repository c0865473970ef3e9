"""Batches of sentence pairs of like length, so that little of a batch is padding.

Pairs are shuffled, sorted by length within large pools, cut into batches of a given number of target tokens, and the
batches shuffled. Every draw is keyed by (seed, epoch).
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from onepage.mt.tokenizer import PAD, START
from onepage.training.seeding import keyed_generator


@dataclasses.dataclass(frozen=True)
class Batch:
    """Sentence pairs as padded ids."""

    source: Tensor
    """(B, S), each ended by END, padded with PAD."""
    target_input: Tensor
    """(B, T), START then the target without its END."""
    target_output: Tensor
    """(B, T), the target ended by END: what the model is to say at each position."""
    tokens: int
    """Target tokens in the batch, padding not counted."""


def pad(rows: Sequence[Sequence[int]], multiple: int = 1) -> Tensor:
    """Ids of unequal length as one (B, longest) tensor, padded at the end, its length a multiple of ``multiple``."""
    longest = -(-max(len(row) for row in rows) // multiple) * multiple
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], dtype=torch.long)


def make_batch(pairs: Sequence[tuple[list[int], list[int]]], multiple: int = 1) -> Batch:
    """A batch of (source ids, target ids), both ended by END.

    ``multiple``: lengths are padded to a multiple of it. Few distinct shapes spare the CPU library from preparing its
    kernels anew for every batch, which costs more than the padding.
    """
    return Batch(
        source=pad([source for source, _ in pairs], multiple),
        target_input=pad([[START, *target[:-1]] for _, target in pairs], multiple),
        target_output=pad([target for _, target in pairs], multiple),
        tokens=sum(len(target) for _, target in pairs),
    )


def plan_epoch(
    lengths: Sequence[tuple[int, int]], tokens: int, seed: int, epoch: int, multiple: int = 1
) -> list[list[int]]:
    """The batches of one epoch as lists of pair numbers; each pair stands in exactly one.

    ``lengths``: (source, target) length of each pair. ``tokens``: the most target positions, padding included, of a
    batch (a single longer pair makes its own).
    """
    generator = keyed_generator(seed, "batches", epoch)
    order = torch.randperm(len(lengths), generator=generator).tolist()
    pool_size = 100 * max(1, tokens // 20)
    batches: list[list[int]] = []
    for start in range(0, len(order), pool_size):
        pool = sorted(order[start : start + pool_size], key=lambda i: (lengths[i][1], lengths[i][0]))
        current: list[int] = []
        for number in pool:
            if current and (len(current) + 1) * (-(-lengths[number][1] // multiple) * multiple) > tokens:
                batches.append(current)
                current = []
            current.append(number)
        batches.append(current)
    shuffled = torch.randperm(len(batches), generator=generator).tolist()
    return [batches[i] for i in shuffled]
