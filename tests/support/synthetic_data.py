"""Made-up data sets for made-up runs: loaders that return the labels and references of the runs."""

import json
from pathlib import Path

import numpy as np
import pytest

from onepage.data import images, translation


def pretend(monkeypatch: pytest.MonkeyPatch, cls_run: Path, mt_run: Path) -> None:
    """Make the loaders return the test data that these two runs hold, under the digests that they name."""
    none = np.zeros((0, 3, 32, 32), np.uint8)
    with np.load(cls_run / "predictions.npz") as arrays:
        labels = arrays["labels"]
    about = json.loads((cls_run / "metrics.json").read_text(encoding="utf-8"))
    image_set = images.ImageSet(
        name=about["set"], generated=about["generated"], digest=about["data_digest"],
        class_names=tuple(about["class_names"]), train_images=none, train_labels=labels[:0],
        test_images=none, test_labels=labels,
    )  # fmt: skip
    about = json.loads((mt_run / "metrics.json").read_text(encoding="utf-8"))
    tests = tuple(about["tests"])
    with np.load(mt_run / "predictions.npz") as arrays:
        splits = {
            name: ([str(x) for x in arrays[f"{name}_source"]], [str(x) for x in arrays[f"{name}_reference"]])
            for name in tests
        }
    translation_set = translation.TranslationSet(
        name=about["set"], generated=about["generated"], digest=about["data_digest"], src="en", tgt="de",
        splits=splits, tests=tests, headline=tests[0], tok_references={},
    )  # fmt: skip
    monkeypatch.setattr(images, "load_images", lambda data_dir, name: image_set)
    monkeypatch.setattr(translation, "load_translation", lambda data_dir, name, src, tgt: translation_set)
