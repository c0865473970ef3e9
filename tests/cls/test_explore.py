"""Data of a classifier to explore: every mistake by its cell, with its probabilities and maps."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onepage.cls import explore
from onepage.files import read_json
from synthetic_run import CIFAR_CLASSES, write_cls_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cls_run(tmp_path_factory.mktemp("cls") / "run")


@pytest.fixture(scope="module")
def parts(run: Path) -> dict[str, Any]:
    return {part["kind"]: part for part in explore.parts(run)}


def test_images_are_all_mistakes_and_fit_the_counts(run: Path, parts: dict[str, Any]) -> None:
    part, arrays = parts["confusion"], dict(np.load(run / "predictions.npz"))
    images, predicted = part["images"], arrays["logits"].argmax(1)
    assert part["counts"] == read_json(run / "metrics.json")["test"]["confusion"]
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (images["true"], images["predicted"]), 1)
    mistakes = np.array(part["counts"]) * ~np.eye(10, dtype=bool)
    assert (counts * ~np.eye(10, dtype=bool) == mistakes).all() and set(np.diag(counts)) == {20}
    assert images["true"] == arrays["labels"][images["index"]].tolist()
    assert images["predicted"] == predicted[images["index"]].tolist()
    shares = np.array(images["shares"]).reshape(-1, 10) / 10_000
    assert np.abs(shares.sum(1) - 1).max() < 0.001
    wrong = int(mistakes.sum())
    assert (np.diff(shares.max(1)[:wrong]) <= 0).all()  # the most confident first
    assert part["order"] == [CIFAR_CLASSES.index(name) for name in ("airplane", "ship", "automobile", "truck")] + [
        CIFAR_CLASSES.index(name) for name in ("bird", "frog", "deer", "horse", "cat", "dog")
    ]


def test_maps_belong_to_the_images_named(run: Path, parts: dict[str, Any]) -> None:
    maps, explained = parts["confusion"]["maps"], dict(np.load(run / "explain.npz"))
    assert maps["of"] == explained["explored_mapped"].tolist()
    assert [layer["name"] for layer in maps["layers"]] == ["layer3", "layer4"]
    for layer in maps["layers"]:
        for target in ("predicted", "true"):
            kept = explained[f"explored_cam_{layer['name']}_{target}"]
            assert kept.shape == (len(maps["of"]), layer["high"], layer["wide"])
            assert base64.b64decode(layer[target]) == kept.tobytes()


def test_curves_are_those_of_the_history(parts: dict[str, Any]) -> None:
    part = parts["curves"]
    titles = [panel["title"] for panel in part["panels"]]
    assert titles == ["Loss", "Accuracy", "Learning rate", "Image size"] and part["seeds"] == 1
    assert part["at"] == [1, 2, 3, 4, 5, 6] and len(part["seconds"]) == 6
    (rate,), (size,) = (part["panels"][k]["lines"] for k in (2, 3))
    assert len(rate["x"]) == len(rate["seeds"][0]) and size["seeds"] == [[16, 16, 32, 32]] and size["x"] == [0, 4, 4, 6]
