"""Fixtures of drawing, a run that translates, and a small vocabulary."""

from pathlib import Path

import pytest

from drawing import copy, draw, drawn, made, style  # noqa: F401
from onepage.mt.tokenizer import Tokenizer, train_tokenizer
from translate_cases import LINES, write_run


@pytest.fixture(scope="session")
def translating(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated run with random weights; tests must not change it."""
    return write_run(tmp_path_factory.mktemp("translate") / "runs/mt/multi30k-en-de/quick/seed0")


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """120 pieces learnt from LINES."""
    return train_tokenizer(LINES, 120)
