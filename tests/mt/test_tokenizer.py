"""Subwords: text becomes ids and text again, and training is deterministic."""

import pytest

from onepage.errors import UserError
from onepage.mt.tokenizer import END, PAD, START, Tokenizer, train_tokenizer
from translate_cases import LINES


def test_text_comes_back(tokenizer):
    for line in LINES[::17]:
        ids = tokenizer.encode(line)
        assert ids[-1] == END and tokenizer.decode(ids) == line


def test_decoding_stops_at_end_and_skips_padding(tokenizer):
    ids = tokenizer.encode("Zwei Hunde")
    assert tokenizer.decode([START, PAD, *ids, *ids]) == "Zwei Hunde"


def test_training_twice_gives_the_same_bytes(tokenizer):
    assert train_tokenizer(LINES, 120).model == tokenizer.model
    assert Tokenizer(tokenizer.model).encode(LINES[0]) == tokenizer.encode(LINES[0])


def test_too_large_a_vocabulary_is_refused():
    with pytest.raises(UserError, match="lower `vocabulary`"):
        train_tokenizer(LINES[:2], 5000)
