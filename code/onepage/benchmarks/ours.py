"""Our own training runs in benchmarks: with the plan of a run, shortened, without checkpoints.

They call the same ``train`` as ``make cls`` and ``make mt``, whose history records amounts and times. So there is no
second copy of the loop that could differ.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.runs import history, provenance
from onepage.runs import plan as run_plan
from onepage.training import session
from onepage.training.recipe import from_values

PARTS = 3  # validations of a shortened training; updates before the first are warm-up


def plan(run: Path, task: str) -> dict[str, Any]:
    """The plan of a run, as plain values; raises UserError when it is not planned, or of another task."""
    found = run_plan.read(run)
    if found["task"] != task:
        raise UserError(f"{run} is not a run of {tasks.get(task).model}; give one made by make {task}")
    return found | {"data_dir": str(Path(found["data_dir"]).resolve())}


def recipe(plan: Mapping[str, Any]) -> Any:
    """The planned recipe, as its task's Recipe."""
    return from_values(tasks.of(plan).module("recipe").Recipe, plan["recipe"], "the plan")


def save_no_checkpoints() -> None:
    """Switch checkpoints off for the rest of this process, because the loops in comparison save nothing either."""
    session.SAVE_EVERY_SECONDS = session.EPOCH_SECONDS = math.inf


def rate(run: str | Path, unit: str) -> float:
    """The rate of a finished training after its warm-up, in ``unit`` of its history per second."""
    first, *_, last = history.read(Path(run) / "history.jsonl")
    return float((last[unit] - first[unit]) / max(last["seconds"] - first["seconds"], 1e-9))


def memory() -> dict[str, int | None]:
    """Peak memory of this process; worker processes of a DataLoader are not counted."""
    return {
        "peak_memory_bytes": provenance.peak_memory_bytes(),
        "peak_gpu_memory_bytes": provenance.peak_gpu_memory_bytes(),
    }
