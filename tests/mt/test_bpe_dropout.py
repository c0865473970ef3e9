"""BPE-dropout: at rate 0 it equals sentencepiece; otherwise it depends only on (seed, epoch), in any process."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from onepage.mt.bpe_dropout import WAYS, BpeDropout
from onepage.mt.tokenizer import END, UNKNOWN, train_tokenizer
from translate_cases import LINES

ODD = ["", "  two   spaces ", "ﬁrst ② x²", "a▁b", "grünen" * 9]


def samples(tokenizer, rate, seed=0, epoch=0):
    dropout = BpeDropout(tokenizer, rate)
    dropout.start(seed, epoch)
    return [dropout.sample(dropout.words(line)) for line in LINES]


@pytest.mark.parametrize("lines", [LINES, ODD])
def test_without_dropping_it_is_the_coder_itself(tokenizer, lines):
    dropout = BpeDropout(tokenizer, 0.0)
    for line in lines:  # the coder merges neighbouring unknowns into one
        ids = dropout.sample(dropout.words(line))
        known = [number for number in ids if number != UNKNOWN]
        assert known == [number for number in tokenizer.encode(line) if number != UNKNOWN]


def test_of_equal_merges_the_first_is_made():
    """In "ooo" the first two letters are merged, as by the coder."""
    coder = train_tokenizer([*LINES, *["oo zoo"] * 60], 120)
    dropout = BpeDropout(coder, 0.0)
    assert coder.pieces(coder.encode("hooo")[-3:-1]) == ["oo", "o"]
    assert dropout.sample(dropout.words("hooo")) == coder.encode("hooo")


def test_dropping_all_leaves_characters(tokenizer):
    dropout = BpeDropout(tokenizer, 1.0)
    assert dropout.sample(dropout.words("a man")) == [*map(tokenizer.processor.piece_to_id, "▁a▁man"), END]


def test_more_dropping_makes_more_pieces_of_the_same_text(tokenizer):
    lengths = []
    for rate in (0.0, 0.1, 0.5):
        found = samples(tokenizer, rate)
        assert [tokenizer.decode(ids) for ids in found] == LINES
        lengths.append(sum(map(len, found)))
    assert lengths == sorted(set(lengths))


def test_pieces_are_keyed_by_seed_and_epoch(tokenizer):
    assert samples(tokenizer, 0.3, 1, 2) == samples(tokenizer, 0.3, 1, 2)
    assert samples(tokenizer, 0.3, 1, 2) != samples(tokenizer, 0.3, 1, 3)
    assert samples(tokenizer, 0.3, 1, 2) != samples(tokenizer, 0.3, 2, 2)


def test_a_merge_is_dropped_at_its_rate(tokenizer):
    """A word with one merge keeps it with probability 1 - rate, independent of earlier draws."""
    pair = next(piece for piece in tokenizer.pieces(range(4, 120)) if len(piece) == 2 and piece[0] == "▁")
    dropout = BpeDropout(tokenizer, 0.3)
    dropout.start(0, 0)
    lengths = Counter(len(dropout.split(pair)) for _ in range(20_000))
    assert lengths[1] / 20_000 == pytest.approx(0.7, abs=0.015)  # more than four standard deviations


def test_splits_of_a_word_are_limited_per_epoch(tokenizer):
    dropout = BpeDropout(tokenizer, 0.5)
    dropout.start(0, 0)
    (word,) = dropout.words("standing")
    assert 1 < len({tuple(dropout.sample([word])) for _ in range(500)}) <= WAYS


@pytest.mark.slow
def test_another_process_draws_the_same(tokenizer):
    program = (
        "import sys; sys.path[:0] = sys.argv[1:]; import test_bpe_dropout as t; "
        "from onepage.mt.tokenizer import train_tokenizer as learn; print(t.samples(learn(t.LINES, 120), 0.3, 5, 1))"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent), *sys.path]
    for salt in ("1", "2"):
        done = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": salt}, capture_output=True, text=True)
        assert done.stdout.strip() == str(samples(tokenizer, 0.3, 5, 1)), done.stderr
