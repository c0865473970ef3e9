"""The plan of a run, in its folder: ``plan/train.json`` and ``plan/evaluate.json``. Standard library only.

Each holds everything that its stage reads except data files and the output of the stage before it. It is rewritten only
when that changes: make runs a stage again when the file is newer. Keys of plan/train.json and run.json:

===========================  ======================================================================================
task, set, generated         the task and its data set; ``src`` and ``tgt`` where the task has options
profile, seed, recipe        the recipe is resolved: every key has its value
device, precision, threads   "cpu" or "cuda"; "fp32" or "bf16"; CPU threads of a process
data_digest, libraries       SHA-256 of the data set; versions of the libraries that decide numbers
budget_minutes               where the recipe was scaled to a training time
program                      fingerprint of the code that trains
processes, nodes             if a training run has several processes
data_dir, torchrun           folder of the data, rendezvous of processes: these decide no number
===========================  ======================================================================================
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_json, where_supported
from onepage.runs.fingerprint import replace_text

FOLDER = "plan"  # with the inputs file of each stage, beside the stage's outputs
APART = ("data_dir", "torchrun")  # may change without the stage running again
# not part of run.json's first level: the recipe stands there under its own key, with the program
_BESIDE = ("recipe", "program", "processes", "nodes", *APART)


def path_of(folder: Path, stage: str) -> Path:
    """The file that records what a stage reads: ``folder``/plan/<stage>.json."""
    return folder / FOLDER / f"{stage}.json"


def read(run: Path, stage: str = "train") -> dict[str, Any]:
    """What a stage of ``run`` reads; raises UserError if the run was not planned, or the plan is damaged.

    Also if the plan belongs to another run than the folder's path says, because pictures and claims take their names
    from the folder.
    """
    path = path_of(Path(run), stage)
    if not path.is_file():
        raise UserError(f"{run} is not planned ({path} is missing); plan it with make, or: onepage plan TASK")
    values = read_json(path)
    if not isinstance(values, dict) or (stage == "train" and not {"task", "seed", "recipe"} <= values.keys()):
        raise UserError(f"{path} is not a plan; delete it and run make again")
    place = _place(values) if stage == "train" else ""
    parts = Path(run).absolute().parts
    if place and parts[-5:-4] in (("runs",), (".repro",)) and "/".join(parts[-4:]) != place:
        raise UserError(f"{run} holds the plan of {place}; delete {path} and run make again")
    return values


def _place(plan: Mapping[str, Any]) -> str:
    """The folder below runs/ of a plan's run; "" if the plan does not say."""
    try:
        folder = tasks.of(plan).folder(plan)
        return f"{plan['task']}/{folder}/{plan['profile']}/seed{plan['seed']}"
    except KeyError:
        return ""


def identity(plan: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a plan that run.json and metrics.json repeat at their first level."""
    return {key: value for key, value in plan.items() if key not in _BESIDE}


def write(folder: Path, stage: str, values: Mapping[str, Any]) -> bool:
    """Write what a stage reads, if it has changed; returns whether a key that decides a number has changed.

    If only other keys have changed, the file keeps its time, and the stage does not run again.
    """
    path = path_of(Path(folder), stage)
    change = changed(path, values)
    if change == "nothing":
        return False
    before = path.stat() if change == "apart" else None
    replace_text(path, json.dumps(values, indent=1, sort_keys=True) + "\n")
    if before is not None:
        with where_supported():  # without its time the stage runs again, and finds that it is finished
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return change == "all"


def changed(path: Path, values: Mapping[str, Any]) -> str:
    """What would change in a plan file: "nothing", "apart" (only keys that decide no number) or "all"."""
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "all"
    if there == values:
        return "nothing"
    same = isinstance(there, dict) and _counted(there) == _counted(values)
    return "apart" if same else "all"


def _counted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in APART}
