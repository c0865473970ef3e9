"""Batches of sentence pairs of similar length, to keep padding small.

Pairs are shuffled, sorted by length within large pools, cut into batches of a given number of target tokens, and the
batches shuffled. Every draw is keyed by (seed, epoch).
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from onepage.errors import UserError
from onepage.mt.bpe_dropout import BpeDropout
from onepage.mt.tokenizer import PAD, START, Tokenizer
from onepage.training.seeding import keyed_generator

SHAPES = 4  # sentence lengths are padded to multiples of this

Split = tuple[list[str], list[str]]  # source and target lines
Pair = tuple[list[int], list[int]]  # source and target ids, each ended by END


@dataclasses.dataclass(frozen=True)
class Batch:
    """Sentence pairs as padded ids."""

    source: Tensor
    """(B, S), each ended by END, padded with PAD."""
    target_input: Tensor
    """(B, T), START then the target without its END."""
    target_output: Tensor
    """(B, T), the target ended by END: the labels."""
    tokens: int
    """Target tokens in the batch, padding not counted."""


def pad(rows: Sequence[Sequence[int]], multiple: int = 1) -> Tensor:
    """Ids of unequal length as one (B, longest) tensor, padded at the end to a multiple of ``multiple``."""
    longest = -(-max(len(row) for row in rows) // multiple) * multiple
    return torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows], dtype=torch.long)


def make_batch(pairs: Sequence[tuple[list[int], list[int]]], multiple: int = 1) -> Batch:
    """A batch of (source ids, target ids), both ended by END, padded to a multiple of ``multiple``.

    With few distinct shapes the CPU library reuses its kernels, which saves more than the padding costs.
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
    """The batches of one epoch as lists of pair numbers; each pair is in exactly one.

    ``lengths``: (source, target) of each pair. ``tokens``: most target positions per batch, padding included (a longer
    pair is a batch of its own).
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


class Material:
    """The training pairs of each epoch."""

    def __init__(
        self, tokenizer: Tokenizer, split: Split, batch_tokens: int, max_length: int, bpe_dropout: float, seed: int
    ):
        """Raises UserError if every pair has more than ``max_length`` pieces on a side."""
        self.batch_tokens, self.max_length, self.seed = batch_tokens, max_length, seed
        kept = [
            (lines, ids)
            for lines, ids in zip(zip(*split, strict=True), encode_pairs(tokenizer, split), strict=True)
            if max(map(len, ids)) <= max_length
        ]
        if not kept:
            raise UserError(f"no training pair has at most max_length = {max_length} pieces on both sides; raise it")
        self.dropout = BpeDropout(tokenizer, bpe_dropout) if bpe_dropout else None
        self.words: list[tuple[list[str], list[str]]] = []
        if self.dropout is not None:
            self.words = [(self.dropout.words(source), self.dropout.words(target)) for (source, target), _ in kept]
        self.pairs = [ids for _, ids in kept]
        self.left_out = len(split[0]) - len(kept)

    def epoch(self, epoch: int) -> tuple[list[Pair], list[list[int]]]:
        """Pairs of piece ids, and batches of their numbers; a function of (seed, epoch) alone."""
        pairs = self.pairs
        if self.dropout is not None:
            self.dropout.start(self.seed, epoch)
            sampled = [(self.dropout.sample(source), self.dropout.sample(target)) for source, target in self.words]
            # a sentence that became too long keeps its usual pieces
            pairs = [
                new if max(map(len, new)) <= self.max_length else usual
                for new, usual in zip(sampled, self.pairs, strict=True)
            ]
        lengths = [(len(source), len(target)) for source, target in pairs]
        return pairs, plan_epoch(lengths, self.batch_tokens, self.seed, epoch, SHAPES)


def encode_pairs(tokenizer: Tokenizer, split: Split) -> list[Pair]:
    """Sentence pairs as piece ids, each side ended by END."""
    return [(tokenizer.encode(source), tokenizer.encode(target)) for source, target in zip(*split, strict=True)]


def validation_batches(tokenizer: Tokenizer, split: Split, tokens: int) -> list[Batch]:
    """All pairs of a split in batches, always the same."""
    pairs = encode_pairs(tokenizer, split)
    plan = plan_epoch([(len(source), len(target)) for source, target in pairs], tokens, seed=0, epoch=0)
    return [make_batch([pairs[i] for i in numbers], SHAPES) for numbers in plan]
