"""Decides which stages run again, by the content of what they read, not by file times. Standard library only.

A fresh clone scrambles file times. Therefore make first runs this code, which rewrites ``plan/<stage>.json`` only if
something that the stage reads has changed; the stage's target depends on that file. Code counts by its fingerprint: the
modules that a stage starts with and all that they import, without those that cannot change a number.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from onepage.files import HOME, sha256_file
from onepage.runs import plan as run_plan
from onepage.runs.fingerprint import PACKAGE, Fingerprints
from onepage.tasks import TASKS, Task

# Imported by training or evaluation without deciding any number: messages, records, checkpoints.
NO_NUMBERS: tuple[str, ...] = ("errors.py", "files.py", "tasks.py", "terminal/*", "runs/*", "training/energy.py")
NO_NUMBERS += ("training/checkpoint.py", "training/launch.py", "training/locking.py", "training/session.py")
NO_NUMBERS += ("data/ready.py", "data/sources.py")  # the data digest in the plan identifies the data
NO_PICTURE = ("errors.py", "files.py")
SKEW_NS = 60 * 10**9  # the clock of a file server may be ahead by up to this
BEFORE_NS = 2 * 10**9  # the coarsest file times are multiples of two seconds
# What `make ablate` writes, below the folder of a task's data set: runs/<task>/<set>/
ABLATION = Path("ablation/ablation.json")


class Stage(NamedTuple):
    """The code and files that a stage reads; ``{task}`` is the task's folder."""

    entries: tuple[str, ...]
    """Modules that it starts with, below the package."""
    without: tuple[str, ...]
    """Modules that do not count."""
    files: tuple[str, ...] = ()
    """Other files that it reads, as patterns below the repository."""


STAGES = {
    "train": Stage(("{task}/train.py",), NO_NUMBERS),
    "evaluate": Stage(("{task}/evaluate.py",), NO_NUMBERS, ("env/requirements.txt",)),
    "seeds": Stage(("runs/seeds.py", "{task}/task.py"), NO_PICTURE),
    "draw": Stage(
        ("{task}/draw.py", "{task}/explore.py"),
        NO_PICTURE,
        ("figures/onepage.mplstyle", "figures/fonts/*.ttf", "env/requirements.txt"),
    ),
    "render": Stage(
        ("report/render.py", *(f"{task}/facts.py" for task in TASKS), *(f"{task}/task.py" for task in TASKS)),
        NO_PICTURE,
        (
            "report/templates/*",
            "report/*.toml",
            "figures/fonts/*.ttf",
            "figures/fonts/onepage*",
            "env/requirements.txt",
        ),
    ),
    # a plan is made again after a change to recipes or code
    "plan": Stage(
        ("{task}/recipe.py", "planning/decide.py"),
        ("terminal/*", "training/*", "runs/*", *NO_PICTURE),
        ("code/onepage/{task}/recipes/*.toml", "code/onepage/{task}/budget.py", "code/onepage/data/toy_*.py"),
    ),
}


def files_of(stage: str, task: str, fingerprints: Fingerprints) -> set[Path]:
    """The files that a stage of a task reads; for evaluation without those of training, which the weights represent."""
    found = STAGES[stage]
    entries = [PACKAGE / entry.format(task=task) for entry in found.entries]
    code = fingerprints.closure([entry for entry in entries if entry.is_file()], found.without)
    if stage == "evaluate":
        code -= files_of("train", task, fingerprints)
    more = [path for pattern in found.files for path in HOME.glob(pattern.format(task=task))]
    return code | {path for path in more if path.is_file()}


def program(stage: str, task: str, fingerprints: Fingerprints | None = None) -> str:
    """The fingerprint of the code and files that a stage of a task reads."""
    known = fingerprints or Fingerprints()
    return known.digest(files_of(stage, task, known))


def of_run(plan: Mapping[str, Any], task: Task, fingerprints: Fingerprints) -> dict[str, dict[str, Any]]:
    """{stage: what it reads} of a run with this ``plan``, as planning made it, with its seed."""
    train = {key: value for key, value in plan.items() if key != "evaluation"}
    nodes = re.search(r"--nnodes[= ]([\d:]+)", str(plan.get("torchrun", "")))
    if nodes:
        train["nodes"] = nodes[1]
    train["program"] = program("train", task.name, fingerprints)
    evaluate = {"program": program("evaluate", task.name, fingerprints), "data_dir": plan.get("data_dir", "data")}
    return {"train": train, "evaluate": evaluate | dict(plan.get("evaluation", {}))}


def of_seeds(runs: Sequence[Path], task: Task, fingerprints: Fingerprints) -> dict[str, Any]:
    """What gathering seeds reads: the names of existing seeds, and of the planned ``runs``; the first is shown."""
    run = runs[0]
    there = {path.parent.name for path in run.parent.glob("seed*/metrics.json")} | {other.name for other in runs}
    return {"program": program("seeds", task.name, fingerprints), "shown": run.name, "there": sorted(there)}


def of_drawing(run: Path, task: Task, fingerprints: Fingerprints) -> dict[str, Any]:
    """What drawing ``run`` reads."""
    return {"program": program("draw", task.name, fingerprints), "run": str(run)}


def of_page(runs: Sequence[Path], engine: str, paper: str, fingerprints: Fingerprints) -> dict[str, Any]:
    """What rendering the page of ``runs`` reads besides their metrics and pictures."""
    ablations = {str(run): sha256_file(path) for run in runs if (path := ablation_of(run)).is_file()}
    page = {"program": program("render", "", fingerprints), "runs": [str(run) for run in runs]}
    return page | {"engine": engine, "paper": paper, "ablations": ablations}


def ablation_of(run: Path) -> Path:
    """The ablation of a run's task and data set, if there is one."""
    return run.resolve().parents[1] / ABLATION


def date_back(paths: Iterable[Path]) -> list[Path]:
    """Set the time of files dated in the future to just before now, in their order; returns these files.

    make would consider such a file newer than everything made from it, and would make that again each time. Files
    written afterwards are newer than all of these.
    """
    now, late = time.time_ns(), {}
    for path in paths:
        with contextlib.suppress(OSError):
            if (when := path.stat().st_mtime_ns) > now:
                late[path] = when
    order = sorted({*late.values()})
    if not order or order[-1] < now + SKEW_NS:
        return []
    for path, when in late.items():
        with contextlib.suppress(OSError):  # not our file, or no settable times: make continues
            present = now - BEFORE_NS + order.index(when) * 1000
            os.utime(path, ns=(present, present))
    return list(late)


def next_stage(run: Path) -> str:
    """The stage that a run needs next, by make's own rule: "train", "evaluate", or "" if it is finished."""

    def older(path: Path, *sources: Path) -> bool:
        if not path.exists():
            return True
        return any(not source.exists() or source.stat().st_mtime_ns > path.stat().st_mtime_ns for source in sources)

    if older(run / "model.pt", run_plan.path_of(run, "train")):
        return "train"
    return "evaluate" if older(run / "metrics.json", run / "model.pt", run_plan.path_of(run, "evaluate")) else ""


def unfinished(runs: Iterable[Path]) -> list[Path]:
    """Runs that are not evaluated, or whose results are older than their prerequisites."""
    return [run for run in runs if next_stage(run)]
