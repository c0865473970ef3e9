"""Batches of sentence pairs: each pair once per epoch, little padding, BPE-dropout keyed by (seed, epoch)."""

import itertools

import pytest
import torch

from onepage.errors import UserError
from onepage.mt.batching import Material, encode_pairs, make_batch, pad, plan_epoch, validation_batches
from onepage.mt.tokenizer import END, PAD, START
from onepage.training.seeding import keyed_generator
from translate_cases import LINES


def test_targets_are_shifted_by_one():
    batch = make_batch([([5, 6, END], [7, 8, END]), ([5, END], [9, END])])
    assert batch.target_input.tolist() == [[START, 7, 8], [START, 9, PAD]]
    assert batch.target_output.tolist() == [[7, 8, END], [9, END, PAD]]
    assert batch.tokens == 5


def test_epoch_holds_each_pair_once():
    generator = torch.Generator().manual_seed(0)
    lengths = [tuple(pair) for pair in torch.randint(2, 40, (500, 2), generator=generator).tolist()]
    plan = plan_epoch(lengths, 200, seed=0, epoch=0)
    assert sorted(i for batch in plan for i in batch) == list(range(500))
    assert all(len(batch) * max(lengths[i][1] for i in batch) <= 200 for batch in plan)
    positions = sum(len(batch) * max(lengths[i][1] for i in batch) for batch in plan)
    assert sum(target for _, target in lengths) / positions > 0.9  # little padding
    assert plan != plan_epoch(lengths, 200, seed=0, epoch=1)
    assert plan == plan_epoch(lengths, 200, seed=0, epoch=0)


@pytest.mark.parametrize(("tokens", "pool_size"), [(50, 200), (30, 100), (10, 100)])
def test_batches_are_full_and_of_like_length_within_pools(tokens, pool_size):
    """Each batch comes from one pool: 100 pairs per 20 positions, sorted by target length, then source length."""
    lengths = [tuple(pair) for pair in torch.randint(2, 30, (450, 2), generator=keyed_generator("lengths")).tolist()]
    order = torch.randperm(450, generator=keyed_generator(3, "batches", 1)).tolist()
    place = {pair: number for number, pair in enumerate(order)}
    plan = plan_epoch(lengths, tokens, seed=3, epoch=1, multiple=4)
    pools = {number: [] for number in range(-(-450 // pool_size))}
    for batch in plan:
        (pool,) = {place[pair] // pool_size for pair in batch}
        pools[pool].append([lengths[pair][::-1] for pair in batch])
        width = -(-max(lengths[pair][1] for pair in batch) // 4) * 4
        assert width * len(batch) <= tokens or len(batch) == 1
    for batches in pools.values():
        assert batches != sorted(batches)  # shuffled
        batches.sort(key=lambda batch: (batch[0], batch[-1], -len(batch)))
        joined = list(itertools.chain(*batches))
        assert joined == sorted(joined)
        for batch, following in itertools.pairwise(batches):  # one more pair would not fit
            assert (len(batch) + 1) * -(-following[0][0] // 4) * 4 > tokens


def test_rows_are_padded_to_the_longest_or_a_multiple():
    rows = [[5], [6, 7, 8, 9, 10]]
    assert pad(rows).tolist() == [[5, PAD, PAD, PAD, PAD], [6, 7, 8, 9, 10]]
    assert pad(rows, 4).tolist() == [[5, *[PAD] * 7], [6, 7, 8, 9, 10, PAD, PAD, PAD]]
    batch = make_batch([([5, END], [7, 8, 9, 10, END])], 4)
    assert [tensor.shape[1] for tensor in (batch.source, batch.target_input, batch.target_output)] == [4, 8, 8]


def test_validation_reads_each_pair_once_in_the_same_batches(tokenizer):
    split = LINES, LINES[::-1]
    batches = validation_batches(tokenizer, split, 100)
    rows = [row for batch in batches for row in zip(batch.source.tolist(), batch.target_output.tolist(), strict=True)]
    found = [tuple([token for token in side if token != PAD] for side in row) for row in rows]
    assert sorted(found) == sorted(encode_pairs(tokenizer, split)) and len(batches) > 1
    assert all(batch.source.shape[1] % 4 == 0 == batch.target_input.shape[1] % 4 for batch in batches)
    again = validation_batches(tokenizer, split, 100)
    assert [batch.source.tolist() for batch in batches] == [batch.source.tolist() for batch in again]


SIDE = LINES[:10] + LINES[-10:]


def material(tokenizer, rate, max_length=100):
    return Material(tokenizer, (SIDE, SIDE), 64, max_length, rate, seed=3)


def test_bpe_dropout_is_drawn_again_each_epoch(tokenizer):
    usual, _ = material(tokenizer, 0.0).epoch(0)
    first, _ = material(tokenizer, 0.3).epoch(1)
    material(tokenizer, 0.3).epoch(2)  # draws in between must not matter
    again, order = material(tokenizer, 0.3).epoch(1)
    assert first == again
    assert first != material(tokenizer, 0.3).epoch(2)[0]
    assert first != usual
    assert sum(len(source) for source, _ in first) > sum(len(source) for source, _ in usual)
    assert [tokenizer.decode(source) for source, _ in first] == SIDE
    assert sorted(i for batch in order for i in batch) == list(range(len(SIDE)))


def test_pair_made_too_long_keeps_its_pieces(tokenizer):
    usual, _ = material(tokenizer, 0.0).epoch(0)
    sampled, _ = material(tokenizer, 0.1).epoch(0)
    limit = sorted(len(source) for source, _ in sampled)[len(sampled) // 2]
    limit = max(limit, *(len(source) for source, _ in usual))
    pairs, _ = material(tokenizer, 0.1, max_length=limit).epoch(0)
    fits = [max(map(len, pair)) <= limit for pair in sampled]
    assert any(fits) and not all(fits)
    assert pairs == [new if fit else old for new, old, fit in zip(sampled, usual, fits, strict=True)]


def test_pairs_too_long_are_left_out_and_counted(tokenizer):
    lengths = [len(tokenizer.encode(line)) for line in SIDE]
    some = material(tokenizer, 0.0, max_length=min(lengths))
    assert some.left_out == sum(length > min(lengths) for length in lengths) > 0
    with pytest.raises(UserError, match="max_length"):
        material(tokenizer, 0.0, max_length=1)


def test_pair_longer_than_a_batch_is_alone():
    assert sorted(plan_epoch([(3, 50), (3, 4)], 20, 0, 0)) == [[0], [1]]
