"""A training-time budget: the recipe that fits it, from rates that are measured once."""

import contextlib
import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from onepage import tasks
from onepage.cls import budget as cls_budget
from onepage.cls.recipe import Recipe as ClsRecipe
from onepage.cls.recipe import Stage
from onepage.cls.train import timetable
from onepage.data.images import ImageSet
from onepage.mt import budget as mt_budget
from onepage.mt.recipe import Recipe as MtRecipe
from onepage.planning import decide
from onepage.planning.recipes import resolve
from onepage.runs import history
from onepage.training.recipe import as_dict

CLS, MT = tasks.every()
RATES = {"16": 700.0, "24": 350.0, "32": 190.0}
CIFAR = SimpleNamespace(train_images=range(50_000))
FULL = resolve(CLS, "full", hardware="bf16", generated=False)[0]


@pytest.fixture(autouse=True)
def no_wait_for_another_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "cpu_training_lock", lambda device, say: contextlib.nullcontext())


def minutes_of(recipe: ClsRecipe) -> float:
    """Training minutes at RATES, validations (forward only) included."""
    n = 50_000 - recipe.validation_size
    training = sum(stage.epochs * n / RATES[str(stage.image_size)] for stage in recipe.stages)
    validating = recipe.validations * recipe.validation_size / (3 * RATES[str(recipe.stages[-1].image_size)])
    return (training + validating) / 60


@pytest.mark.parametrize("minutes", [30, 60, 240])
def test_a_budget_is_used_at_the_measured_rates(minutes: int) -> None:
    fitted = cls_budget.fit(FULL, CIFAR, RATES, minutes)
    assert 0.96 * minutes < minutes_of(fitted) <= minutes
    shares = [stage.epochs / before.epochs for stage, before in zip(fitted.stages, FULL.stages, strict=True)]
    assert max(shares) - min(shares) < 0.01 * max(shares)  # the same factor for all stages
    assert dataclasses.replace(fitted, stages=FULL.stages) == FULL  # only the epochs change


def test_a_short_budget_leaves_out_the_largest_size() -> None:
    """Otherwise it would train at that size for less than an epoch."""
    sizes = {m: [s.image_size for s in cls_budget.fit(FULL, CIFAR, RATES, m).stages] for m in (60, 5, 1)}
    assert sizes == {60: [16, 24, 32], 5: [16, 24], 1: [16]}
    assert 4.5 < minutes_of(cls_budget.fit(FULL, CIFAR, RATES, 5)) <= 5


def test_no_budget_is_too_short_for_an_update() -> None:
    fitted = cls_budget.fit(FULL, CIFAR, RATES, 0.001)
    assert timetable(fitted, 49_000).updates == 1
    translation = resolve(MT, "quick", hardware="bf16", generated=False)[0]
    assert mt_budget.fit(translation, None, {"update": 0.3, "validation": 1.0}, 0.001).updates == 10


def test_the_transformer_gets_updates_left_after_validation() -> None:
    translation = resolve(MT, "quick", hardware="bf16", generated=False)[0]
    fitted = mt_budget.fit(translation, None, {"update": 0.25, "validation": 2.0}, 10)
    seconds = fitted.updates * 0.25 + translation.validations * 2.0
    assert 575 < seconds <= 600 and dataclasses.replace(fitted, updates=translation.updates) == translation


@pytest.mark.slow
def test_the_training_loop_measures_rates_at_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = ImageSet(
        name="toy-images", generated=True, digest="d", class_names=tuple("abcdefghij"),
        train_images=rng.integers(0, 256, (200, 3, 32, 32), dtype=np.uint8), train_labels=np.arange(200) % 10,
        test_images=np.zeros((0, 3, 32, 32), np.uint8), test_labels=np.zeros(0, np.int64),
    )  # fmt: skip
    smoke = resolve(CLS, "smoke", hardware="bf16", generated=True)[0]
    smoke = dataclasses.replace(
        smoke, batch_size=16, validation_size=20, train_images=0, threads=1, stages=(Stage(1.0, 8), Stage(1.0, 12))
    )
    run = {"task": "cls", "profile": "smoke", "device": "cpu", "precision": "fp32", "threads": 1}
    run |= {"recipe": as_dict(smoke)}  # as in decide
    monkeypatch.setattr(cls_budget, "UPDATES", {"cpu": 5})
    lines: list[str] = []
    made = decide._scale(CLS, run, images, smoke, 0.5, {}, lines.append)
    rates = made["rates"]
    assert sorted(rates) == ["12", "8"] and all(rate > 0 for rate in rates.values())
    assert run["recipe"] == as_dict(cls_budget.fit(smoke, images, rates, 0.5))
    assert len(lines) >= 2 and "plan for 0.5 minutes" in lines[-1]  # without output of the short trainings


@pytest.mark.parametrize(("r_drop", "third"), [(0.0, 3), (1.0, 6)])
def test_updates_and_validations_are_told_apart_by_work(
    monkeypatch: pytest.MonkeyPatch, r_drop: float, third: int
) -> None:
    lines = (["a"] * 29_000, ["b"] * 29_000)
    data = SimpleNamespace(splits={"train": lines, "val": (["a"] * 2_900, ["b"] * 2_900)})
    an_epoch, update = 300, 0.25
    validation = an_epoch / 10 / third * update

    def train(recipe: MtRecipe, data: object, run: Path, plan: dict) -> None:
        assert (recipe.updates, recipe.validations) == (120, 3)
        steps = (40, 80, 120)  # warming up took 7 s
        rows = [(n, 7 + n * update + (k + 1) * validation) for k, n in enumerate(steps)]
        history.write(run / "history.jsonl", [{"step": n, "epoch": n / an_epoch, "seconds": s} for n, s in rows])

    monkeypatch.setattr(mt_budget, "train", train)
    recipe = dataclasses.replace(resolve(MT, "smoke", hardware="bf16", generated=True)[0], r_drop=r_drop)
    rates = mt_budget.measure(recipe, data, {"device": "cpu"})  # type: ignore[arg-type]
    assert rates == pytest.approx({"update": update, "validation": validation})
