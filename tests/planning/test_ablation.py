"""make ablate on made-up data: what is trained, what is scored, and that the test sets are not read."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import small_training
from onepage.commands.main import main
from onepage.files import read_json
from onepage.mt.decoding import Decoding
from onepage.planning import ablation, budget, plan
from onepage.report import ablations
from onepage.training import locking, recipe

RECIPES: dict[str, Any] = {"cls": small_training.CLS, "mt": small_training.MT}


def without_tests(task: str) -> Any:
    """Made-up data whose test set cannot be read."""
    if task == "cls":
        return dataclasses.replace(small_training.image_set(), test_images=None, test_labels=None)  # type: ignore[arg-type]
    pairs = small_training.sentences()
    return dataclasses.replace(pairs, splits={name: pairs.splits[name] for name in ("train", "val")}, tests=())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Small data and recipes, no lock to wait for, and torch's global settings as they were."""
    monkeypatch.setattr(plan, "settings_of", lambda made, seed: (RECIPES[made["task"]], block(made, seed)))
    monkeypatch.setattr(plan, "decoding", lambda made: Decoding(beam_size=2))
    monkeypatch.setattr(locking, "cpu_training_lock", lambda device, say: contextlib.nullcontext())
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("default")


def block(made: dict[str, Any], seed: int) -> dict[str, Any]:
    known = {key: made[key] for key in ("task", "set", "generated", "profile", "data_digest", "device")}
    return known | {"libraries": {}, "seed": seed, "threads": 1, "precision": "fp32"}


def made_for(task: str) -> dict[str, Any]:
    folder = {"cls": "toy-images", "mt": "toy-translation-en-de"}[task]
    values = {"task": task, "set": folder, "folder": folder, "generated": True, "profile": "ablation", "device": "cpu"}
    return values | {"data_digest": "d" * 64, "src": "en", "tgt": "de"}


@pytest.mark.parametrize("task", ["cls", "mt"])
def test_each_variant_differs_in_its_part_alone_and_is_scored_on_validation(task: str, tmp_path: Path) -> None:
    said: list[str] = []
    path = ablation.measure(task, made_for(task), without_tests(task), tmp_path, 3, said.append)
    assert path == tmp_path / "runs" / task / made_for(task)["folder"] / "ablation" / "ablation.json"
    found = read_json(path)
    assert [row["name"] for row in found["variants"]] == [variant.name for variant in ablation.VARIANTS[task]]
    assert len({(row["updates"], row["n"]) for row in found["variants"]}) == 1
    whole = read_json(path.parent / "whole/seed3/run.json")["recipe"]
    weights = set()
    for row, variant in zip(found["variants"], ablation.VARIANTS[task], strict=True):
        trained = read_json(path.parent / variant.name / "seed3/run.json")["recipe"]
        assert {key: value for key, value in trained.items() if value != whole[key]} == dict(variant.changes)
        low, high = row["interval"]
        assert low <= row["score"] <= high and row["n"] == {"cls": 16, "mt": 9}[task]
        weights.add((path.parent / variant.name / "seed3/model.pt").read_bytes())
        assert any(line.startswith(f"{task:<4} {variant.name}: ") and f"n={row['n']}" in line for line in said)
    assert len(weights) == len(found["variants"])
    assert not list(tmp_path.glob("**/metrics.json"))  # no run that the page, or a search for the newest, would take


def test_what_is_trained_is_not_trained_again_and_gives_the_same_file(tmp_path: Path) -> None:
    path = ablation.measure("mt", made_for("mt"), without_tests("mt"), tmp_path, 0, str)
    before, logs = path.read_bytes(), {log: log.read_bytes() for log in path.parent.glob("*/seed0/train.log")}
    path.unlink()
    assert ablation.measure("mt", made_for("mt"), without_tests("mt"), tmp_path, 0, str).read_bytes() == before
    assert len(logs) == 3 and all(log.read_bytes() == text for log, text in logs.items())


@pytest.mark.fault("make ablate with data other than planned", "one line; nothing is trained")
def test_other_data_than_planned_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "load_data", lambda task, *rest: without_tests(task))
    (tmp_path / "plan.json").write_text(json.dumps(made_for("cls") | {"data_digest": "e" * 64}), encoding="utf-8")
    done = CliRunner().invoke(main, ["ablate", "cls", "--plan", f"{tmp_path}/plan.mk", "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "is not what was planned" in done.output.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("generated", [False, True])
@pytest.mark.parametrize("task", ["cls", "mt"])
def test_the_built_in_recipes_take_every_change(task: str, generated: bool) -> None:
    path = recipe.built_in(task, "ablation", generated)
    basis: Any = recipe.load(plan.RECIPES[task], path, plan.TABLES.get(task))
    for variant in ablation.VARIANTS[task]:
        changed = dataclasses.replace(basis, **variant.changes)
        assert changed.check() is None and (changed == basis) == (not variant.changes)


def test_the_page_knows_the_variants_that_are_measured() -> None:
    assert {
        task: tuple(variant.name for variant in variants) for task, variants in ablation.VARIANTS.items()
    } == ablations.KINDS
