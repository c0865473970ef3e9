"""Runs to draw, and a way to look at what is drawn without writing it."""

import shutil
from pathlib import Path

import pytest

from layout import Drawn
from onepage.cls.figures import gradcam
from onepage.figures.sheet import Book
from onepage.mt.figures import attention
from synthetic_run import write_cls_run, write_mt_run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of each task, and one on generated data and one without mistakes; to be copied."""
    folder = tmp_path_factory.mktemp("made")
    write_cls_run(folder / "cls")
    write_cls_run(folder / "generated", generated=True)
    write_cls_run(folder / "no mistakes", error_rate=0.0)
    write_mt_run(folder / "mt", layers=1, heads=1)
    write_mt_run(folder / "mt generated", layers=1, heads=1, generated=True)
    write_mt_run(folder / "mt tame", layers=1, heads=1, hostile=False)
    return folder


@pytest.fixture
def copy(made, tmp_path):
    def copied(name):
        return Path(shutil.copytree(made / name, tmp_path / "runs" / "seed0"))

    return copied


@pytest.fixture
def draw(monkeypatch):
    drawn = Drawn()
    monkeypatch.setattr(Book, "add", lambda book, name, sheet, alt: drawn.add(book, name, sheet, alt))
    monkeypatch.setattr(Book, "close", lambda book: None)
    for module in (gradcam, attention):  # the dearest pictures have their own tests
        monkeypatch.setattr(module, "draw_all", lambda book, explain: None)
    return drawn
