"""The made-up runs, which many tests read, have the form of real ones."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

import synthetic_run
from onepage.files import read_json

WRITE = {"cls": synthetic_run.write_cls_run, "mt": synthetic_run.write_mt_run}
# keys that not every run has: of a budget, of several processes
OPTIONAL = {"budget_minutes", "processes", "nodes"}


def keys(value: Any, above: str = "") -> set[str]:
    """The keys of nested dicts, with the keys above them; a list counts as its first item, test sets as one."""
    if isinstance(value, list):
        return keys(value[0], above) if value else set()
    if not isinstance(value, dict) or above.endswith("energy_joules."):
        return set()
    below = {key: "test." if above == "tests." else f"{above}{key}." for key in value.keys() - OPTIONAL}
    return {*below.values()}.union(*(keys(value[key], name) for key, name in below.items()))


def form(run: Path) -> dict[str, set[str]]:
    """{file: its keys or arrays}."""
    found = {name: keys(read_json(run / name)) for name in ("run.json", "metrics.json", "provenance.json")}
    found["history.jsonl"] = keys(json.loads((run / "history.jsonl").read_text(encoding="utf-8").splitlines()[0]))
    for name in ("predictions.npz", "explain.npz"):
        with zipfile.ZipFile(run / name) as arrays:
            found[name] = set(arrays.namelist())
    return found


@pytest.mark.claims
@pytest.mark.parametrize("task", WRITE)
def test_a_made_up_run_has_the_form_of_a_real_one(task: str, tmp_path: Path) -> None:
    """Otherwise tests could pass with code that fails on a real run."""
    for run in map(Path, os.environ.get("CLAIMED_RUNS", "").split()):
        metrics = read_json(run / "metrics.json")
        if metrics["task"] == task and {metrics.get("src", "en"), metrics.get("tgt", "de")} == {"en", "de"}:
            assert form(WRITE[task](tmp_path / "run", generated=metrics["generated"])) == form(run)
            return
    pytest.skip(f"no run of {task}, or one of other languages")
