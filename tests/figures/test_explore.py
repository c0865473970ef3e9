"""Data for the page to explore: bytes, a sprite, short numbers, and the digest of the run's metrics."""

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edits import edited
from onepage import tasks
from onepage.figures import explore
from onepage.files import sha256_file
from synthetic_run import write_cls_run


def test_sprite_holds_images_row_by_row() -> None:
    images = np.zeros((5, 32, 32, 3), np.uint8)
    images[:] = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [128, 128, 128]])[:, None, None]
    address = explore.sprite(images, 2)
    head, data = address.split(",")
    assert head == "data:image/webp;base64"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")).astype(int)
    assert shown.shape == (96, 64, 3)
    for k, image in enumerate(images):
        middle = shown[32 * (k // 2) + 16, 32 * (k % 2) + 16]
        assert np.abs(middle - image[0, 0]).max() < 12, k
    assert not shown[80, 48].any() and explore.sprite(images[:0], 2) == ""


def test_numbers_are_short_and_nan_is_null() -> None:
    panel = explore.panel("Loss", "nats", [("train", [1, 2], np.array([[0.123456789, np.nan], [3, 4]]))])
    assert panel["lines"] == [{"name": "train", "x": [1, 2], "seeds": [[0.12346, None], [3, 4]]}]
    assert panel["small"] is False
    assert base64.b64decode(explore.encoded(np.array([[0, 255]]))) == b"\x00\xff"


def test_data_names_its_metrics(tmp_path: Path) -> None:
    run = write_cls_run(tmp_path / "run")
    explore.write(run, tmp_path / "figures", [{"kind": "curves", "text": "ü"}])
    text = (tmp_path / "figures" / "explore.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "metrics_sha256": sha256_file(run / "metrics.json"),
        "parts": [{"kind": "curves", "text": "ü"}],
    }
    assert ": " not in text and text.endswith("\n")
    with pytest.raises(ValueError, match="JSON"):
        explore.write(run, tmp_path / "figures", [{"value": float("nan")}])


PARTS = {
    "cls": [("curves", "curves_cls"), ("confusion", "confusion_matrix"), ("reliability", "reliability_cls")],
    "mt": [("curves", "curves_mt"), ("attention", "attention_heads"), ("sentences", "decodes_table")],
}


@pytest.mark.parametrize("task", PARTS)
def test_parts_stand_in_the_order_of_the_page(task: str, made: Path) -> None:
    parts = tasks.get(task).module("explore").parts(made / task)
    assert [(part["kind"], part["picture"]) for part in parts] == PARTS[task]


def test_without_explored_sentences_there_is_no_attention(copy: Callable[[str], Path]) -> None:
    run = copy("mt")
    with edited(run / "explain.npz") as arrays:
        arrays["explored_index"] = arrays["explored_index"][:0]
    assert [part["kind"] for part in tasks.get("mt").module("explore").parts(run)] == ["curves", "sentences"]
