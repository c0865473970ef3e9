"""make ablate on made-up data: what is trained, what is scored, and that the test sets are not read."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import small_training
from onepage import data, tasks
from onepage.commands.main import main
from onepage.files import HOME, read_json
from onepage.mt.decoding import Decoding
from onepage.planning import ablation, recipes
from onepage.report import ablations
from onepage.report.inputs import load_page
from onepage.runs import plan as run_plan
from onepage.training import locking
from onepage.training.recipe import as_dict, from_values

RECIPES: dict[str, Any] = {"cls": small_training.CLS, "mt": small_training.MT}


def without_tests(task: str) -> Any:
    """Made-up data whose test set cannot be read."""
    if task == "cls":
        return dataclasses.replace(small_training.image_set(), test_images=None, test_labels=None)  # type: ignore[arg-type]
    pairs = small_training.sentences()
    return dataclasses.replace(pairs, splits={name: pairs.splits[name] for name in ("train", "val")}, tests=())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the training lock, so that no test waits for it."""
    monkeypatch.setattr(locking, "cpu_training_lock", lambda device, say: contextlib.nullcontext())


def plan_of(task: str, seed: int = 0) -> dict[str, Any]:
    values = {"task": task, "set": tasks.get(task).generated_set, "generated": True, "profile": "ablation"}
    values |= {"device": "cpu", "data_digest": "d" * 64, "libraries": {}, "seed": seed, "threads": 1}
    values |= {"precision": "fp32", "recipe": as_dict(RECIPES[task]), "program": "p" * 64}
    return values | ({"src": "en", "tgt": "de"} if task == "mt" else {})


def measure(task: str, seed: int, out: Path, say: Any) -> Path:
    settings = {"decoding": as_dict(Decoding(beam_size=2))}
    return ablation.measure(plan_of(task, seed), without_tests(task), out, settings, say)


def variants(task: str) -> dict[str, Any]:
    return tasks.get(task).module("ablation").VARIANTS


@pytest.mark.slow
@pytest.mark.parametrize("task", ["cls", "mt"])
def test_variants_differ_in_their_part_alone(task: str, tmp_path: Path) -> None:
    """They are scored on the validation split."""
    said: list[str] = []
    path = measure(task, 3, tmp_path, said.append)
    assert path == tmp_path / "runs" / task / tasks.get(task).folder(plan_of(task)) / "ablation" / "ablation.json"
    found = read_json(path)
    assert [row["name"] for row in found["variants"]] == list(variants(task))
    assert len({(row["updates"], row["n"]) for row in found["variants"]}) == 1
    whole = read_json(path.parent / "whole/seed3/run.json")["recipe"]
    weights = set()
    for row, (variant, changes) in zip(found["variants"], variants(task).items(), strict=True):
        trained = read_json(path.parent / variant / "seed3/run.json")["recipe"]
        assert {key: value for key, value in trained.items() if value != whole[key]} == changes
        low, high = row["interval"]
        assert low <= row["score"] <= high and row["n"] == {"cls": 16, "mt": 9}[task]
        weights.add((path.parent / variant / "seed3/model.pt").read_bytes())
        assert any(line.startswith(f"{task:<4} {variant}: ") and f"n={row['n']}" in line for line in said)
    assert len(weights) == len(found["variants"])
    # the page reads what was written
    assert f"ablation_{row['name'].replace('-', '_')}" in ablations.facts(found, tasks.get(task))
    table = ablations.table(found, tasks.get(task), load_page(HOME / "report" / "page.toml"))
    assert len(table.rows) == len(found["variants"])
    assert not list(tmp_path.glob("**/metrics.json"))  # nothing that the page or a search for the newest run would use


def test_finished_variants_are_not_trained_again(tmp_path: Path) -> None:
    path = measure("mt", 0, tmp_path, str)
    before, logs = path.read_bytes(), {log: log.read_bytes() for log in path.parent.glob("*/seed0/train.log")}
    path.unlink()
    assert measure("mt", 0, tmp_path, str).read_bytes() == before
    assert len(logs) == 3 and all(log.read_bytes() == text for log, text in logs.items())


@pytest.mark.fault("make ablate with data other than planned", "one line; nothing is trained")
def test_other_data_than_planned_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "load", lambda *named: without_tests("cls"))
    run = tmp_path / "seed0"
    run_plan.write(run, "train", plan_of("cls") | {"data_digest": "e" * 64, "data_dir": "data"})
    done = CliRunner().invoke(main, ["ablate", str(run), "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "is not the data of the plan" in done.output.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("generated", [False, True])
@pytest.mark.parametrize("task", ["cls", "mt"])
def test_built_in_recipes_take_every_change(task: str, generated: bool) -> None:
    whole = recipes.resolve(tasks.get(task), "ablation", hardware="fp32", generated=generated)[0]
    for name, changes in variants(task).items():
        changed = from_values(type(whole), {**as_dict(whole), **changes}, name)
        assert (changed == whole) == (not changes)


def test_page_knows_the_variants() -> None:
    for task in tasks.every():
        assert tuple(variants(task.name)) == task.module("facts").ABLATED
