"""Batches of sentence pairs: each pair once per epoch, little padding, BPE-dropout drawn by (seed, epoch)."""

import pytest
import torch

from onepage.errors import UserError
from onepage.mt.batching import Material, make_batch, plan_epoch
from onepage.mt.tokenizer import END, PAD, START
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
