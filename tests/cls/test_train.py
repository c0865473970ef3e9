"""The training loop on a few made-up images: which settings change its numbers, and which do not."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from onepage import tasks
from onepage.cls import train as loop
from onepage.cls.recipe import Recipe, Stage
from onepage.data.images import ImageSet
from onepage.errors import UserError
from onepage.planning.recipes import resolve
from onepage.runs import history
from onepage.training import checkpoint, state
from onepage.training.schedules import validation_updates
from onepage.training.weights import digest_tensors
from small_training import narrow

SMOKE = dataclasses.replace(
    resolve(tasks.get("cls"), "smoke", hardware="fp32", generated=True)[0],
    batch_size=16, validation_size=20, train_images=0, threads=1, stages=(Stage(1.0, 8), Stage(0.6, 12)),
)  # fmt: skip


SHORT = dataclasses.replace(SMOKE, stages=(Stage(0.5, 8), Stage(0.3, 12)), validations=2)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    rng = np.random.default_rng(0)
    return ImageSet(
        name="toy-images", generated=True, digest="d", class_names=tuple("abcdefghij"),
        train_images=rng.integers(0, 256, (180, 3, 32, 32), dtype=np.uint8), train_labels=np.arange(180) % 10,
        test_images=np.zeros((0, 3, 32, 32), np.uint8), test_labels=np.zeros(0, np.int64),
    )  # fmt: skip


def trained(recipe: Recipe, images: ImageSet, run: Path) -> tuple[str, list[dict]]:
    """The digest of the weights, and the history without times."""
    plan = {"task": "cls", "seed": 0, "device": "cpu", "precision": "fp32", "threads": 1}
    with narrow():
        loop.train(recipe, images, run, plan)
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.read(run / "history.jsonl")]
    return digest_tensors(checkpoint.load_model(run / "model.pt")[0]), rows


@pytest.fixture(scope="module")
def plain(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[dict]]:
    """The result of a training with SHORT."""
    return trained(SHORT, images, tmp_path_factory.mktemp("plain"))


def test_reading_the_loss_less_changes_no_number(
    images: ImageSet, plain: tuple[str, list[dict]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "READ_EVERY", {"cpu": 3})  # as on a GPU, where each reading waits
    assert trained(SHORT, images, tmp_path / "third") == plain
    assert len(plain[1]) == SHORT.validations and plain[1][-1]["step"] == 8


@pytest.mark.parametrize("extra", [{"cutout": 12}, {"cutmix": 1.0}, {"cutout": 8, "cutmix": 0.5}])
def test_cutout_and_cutmix_change_training_and_repeat(
    images: ImageSet, plain: tuple[str, list[dict]], tmp_path: Path, extra: dict
) -> None:
    recipe = dataclasses.replace(SHORT, **extra)
    first = trained(recipe, images, tmp_path / "first")
    assert first[0] != plain[0]
    if len(extra) == 2:
        assert trained(recipe, images, tmp_path / "second") == first


def test_a_cpu_trains_without_graphs(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, a recipe with CUDA graphs has the same result, bit by bit."""
    plain = trained(SMOKE, images, tmp_path / "plain")
    monkeypatch.setattr(loop, "Replayed", lambda network: pytest.fail("a CUDA graph on a CPU"))
    assert trained(dataclasses.replace(SMOKE, cuda_graph=True), images, tmp_path / "asked") == plain


def test_loss_not_finite_ends_training(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "READ_EVERY", {"cpu": 4})
    wild = dataclasses.replace(SMOKE, optimiser="sgd", sgd_learning_rate=99.0, warmup=0.0)
    with pytest.raises(UserError, match="infinite or undefined at or before update"):
        trained(dataclasses.replace(wild, stages=(Stage(30.0, 8),)), images, tmp_path / "wild")
    assert not (tmp_path / "wild" / "model.pt").exists()


def test_a_timetable_covers_its_updates() -> None:
    recipe = resolve(tasks.get("cls"), "quick", hardware="bf16", generated=False)[0]
    times = loop.timetable(recipe, 45_000)
    assert times.updates_per_epoch == 45_000 // recipe.batch_size
    assert times.size_at(0) == recipe.stages[0].image_size
    assert times.size_at(times.updates - 1) == recipe.stages[-1].image_size
    marks = validation_updates(times.updates, recipe.validations)
    assert times.updates in marks and len(marks) == recipe.validations
