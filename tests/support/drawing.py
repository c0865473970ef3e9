"""Runs to draw and to change, and fixtures that collect the pictures without writing them."""

import contextlib
import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import edits
from layout import Drawn
from onepage.cls.figures import gradcam
from onepage.figures.sheet import Book
from onepage.figures.style import onepage_style
from onepage.files import read_json, sha256_file
from onepage.mt.figures import attention
from synthetic_run import write_cls_run, write_mt_run


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Runs of both tasks, for tests to copy: usual, on generated data, without mistakes, without hostile text."""
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


@contextlib.contextmanager
def collected():
    """Collect the pictures that are drawn in the block, instead of writing them."""
    drawn = Drawn()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Book, "add", lambda book, *picture: drawn.add(book, *picture))
        patch.setattr(Book, "close", lambda book: None)
        for module in (gradcam, attention):  # the slowest pictures have their own tests
            patch.setattr(module, "draw_all", lambda book, explain: None)
        yield drawn


@pytest.fixture
def draw():
    with collected() as drawn:
        yield drawn


@pytest.fixture(scope="session")
def drawn(made, tmp_path_factory):
    """A function that draws a run of ``made``, once for the same arguments; tests must not change its pictures."""

    @functools.cache
    def pictures(name, *parts, change=None):
        run = made / name
        if change:
            run = Path(shutil.copytree(run, tmp_path_factory.mktemp("changed") / "runs" / "seed0"))
            change(run)
        with collected() as draw:
            return draw(run, *parts)

    return pictures


@pytest.fixture
def style():
    with onepage_style():
        yield


def metrics_of(run):
    return read_json(run / "metrics.json")


def edit(run, change):
    """Change metrics.json and return the changed metrics."""
    return edits.edit(run / "metrics.json", change)


def rows_of(run):
    return [json.loads(line) for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines()]


def write_rows(run, rows):
    (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def alt_of(out):
    """{picture: its alternative text} of the pictures in a folder."""
    return {entry["name"]: entry["alt"] for entry in read_json(out / "figures.json")["figures"]}


def crowd(run):
    """Turn a run into one of 100 epochs in four stages, one of them short; its records lie on its schedule."""
    stages = [{"epochs": epochs, "image_size": size} for epochs, size in ((30, 16), (40, 24), (3, 28), (27, 32))]
    recipe = {"stages": stages, "schedule": "cosine", "warmup": 0.1, "optimiser": "muon", "muon_learning_rate": 0.12}
    edit(run, lambda metrics: metrics["recipe"].update(recipe))
    first = rows_of(run)[0]
    rows = []
    for k in range(1, 21):
        progress = k / 20
        rate = 0.12 * (progress / 0.1 if progress < 0.1 else 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9)))
        row = first | {"epoch": 5 * k, "step": 440 * k, "learning_rate": rate, "seconds": 95 * progress**1.7}
        rows.append(row | {"train_accuracy": 1 - 0.6 * 0.8**k, "val_accuracy": 0.97 - 0.6 * 0.75**k})
    write_rows(run, rows)


def write_seeds(run, count, change=lambda rows: None):
    """Write seeds.json beside the run: the run itself, and other seeds with slightly different losses."""
    history = rows_of(run)
    rows = []
    for seed in range(count):
        factor = 1 + 0.04 * seed
        shifted = [
            {key: value * factor if "loss" in key or "perp" in key else value for key, value in row.items()}
            for row in history
        ]
        digest = sha256_file(run / "metrics.json") if seed == 0 else f"of seed {seed}"
        rows.append({"seed": seed, "metrics_sha256": digest, "measures": {}, "history": shifted})
    change(rows)
    (run.parent / "seeds.json").write_text(json.dumps({"seeds": list(range(count)), "rows": rows, "summary": {}}))
    return rows
