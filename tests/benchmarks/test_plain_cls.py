"""The plain loop trains the same network on the same data as ours, as a tutorial would."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from onepage.benchmarks import plain_cls
from onepage.cls import augment

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """260 images of 8 x 8 pixels; the brightness shows the class, 0 or 1."""
    generator = np.random.default_rng(0)
    labels = np.arange(260, dtype=np.int64) % 2
    images = generator.integers(20, 100, (260, 3, 8, 8)) + 150 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


def test_validation_inputs_are_those_of_ours(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    ours = augment.normalise(torch.from_numpy(pictures[0]))
    torch.testing.assert_close(plain_cls.to_input(pictures[0]), ours, rtol=1e-5, atol=1e-5)


def test_batches_are_augmented_normalised_and_complete(pictures: tuple[np.ndarray, np.ndarray]) -> None:
    torch.manual_seed(0)
    batches = list(plain_cls.train_loader(*pictures, workers=0))
    assert [len(images) for images, _ in batches] == [128, 128, 4]
    assert sorted(label for _, labels in batches for label in labels.tolist()) == sorted(pictures[1].tolist())
    images = torch.cat([images for images, _ in batches])
    assert images.shape == (260, 3, 8, 8) and images.dtype == torch.float32
    black = torch.tensor((0 - augment.MEAN[0]) / augment.STD[0])
    assert torch.isclose(images[:, 0], black, atol=1e-5).any(), "the rim that cropping moves in"
    assert images.min() >= -3 and images.max() <= 3


@pytest.mark.slow
def test_it_learns_and_is_read_when_due(
    pictures: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fake clock advances one second per look, so an update takes one second and a reading none."""
    ticks = itertools.count()
    monkeypatch.setattr(plain_cls, "perf_counter", lambda: float(next(ticks)))
    torch.manual_seed(0)
    loop = plain_cls.Loop(*pictures, 2, CPU, workers=0)
    before = [parameter.clone() for parameter in loop.model.parameters()]
    rows: list[dict[str, Any]] = []
    plain_cls.learning_curve(loop, pictures[0][:64], pictures[1][:64], 7.99, 4, 2.0, rows.append)
    assert [row["seconds"] for row in rows] == [1, 2, 4, 8]
    assert [row["images"] for row in rows] == [128, 256, 388, 776]  # an epoch is 128 + 128 + 4
    assert all(0 <= row["val_accuracy"] <= 1 for row in rows)
    assert all(not torch.equal(old, new) for old, new in zip(before, loop.model.parameters(), strict=True))
    rate = loop.optimiser.param_groups[0]["lr"]
    assert rate == pytest.approx(plain_cls.LEARNING_RATE * (1 + np.cos(np.pi * 2 / plain_cls.EPOCHS)) / 2)


@pytest.mark.slow
def test_it_stops_at_the_target(pictures: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_cls, "predict", lambda model, inputs, device: torch.from_numpy(pictures[1][:64]))
    rows: list[dict[str, Any]] = []
    loop = plain_cls.Loop(*pictures, 2, CPU, workers=0)
    plain_cls.learning_curve(loop, pictures[0][:64], pictures[1][:64], 1e-6, 4, 0.9, rows.append)
    assert len(rows) == 1 and rows[0]["val_accuracy"] == 1
