"""Finds runs and their tasks: the run evaluated last, or the run that the user named."""

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_json
from onepage.runs import exported
from onepage.runs.plan import path_of

NEEDED = ("device", "generated", "precision", "recipe", "seed")  # of run.json, besides the options of its task


def task_of(run: Path) -> str:
    """The task of a run, from metrics.json, run.json, the plan or the path ``runs/<task>/...``, in this order.

    Raises UserError for a folder that is not a run's.
    """
    for path in (run / "metrics.json", run / "run.json", path_of(run, "train")):
        with contextlib.suppress(UserError):  # missing or damaged: what reads it for its content says so
            content = read_json(path)
            task = content.get("task") if isinstance(content, dict) else None
            if isinstance(task, str) and task in tasks.TASKS:
                return task
    parts = run.resolve().parts
    for before, part in reversed(list(itertools.pairwise(parts))):
        if before == "runs" and part in tasks.TASKS:
            return part
    raise UserError(f"{run} is not a run folder of this program; give one below runs/<task>/")


def by_task(runs: Sequence[Path]) -> dict[str, Path]:
    """{task: run} in the order of the tasks; raises UserError when two runs are of the same task."""
    found: dict[str, Path] = {}
    for run in runs:
        task = task_of(run)
        if task in found:
            raise UserError(f"{found[task]} and {run} are both of {task}; give one run of each task")
        found[task] = run
    return {task: found[task] for task in tasks.TASKS if task in found}


def newest_run(out: Path, task: str) -> tuple[Path, int]:
    """(the run of ``task`` evaluated last, the number of its runs) below ``out``/runs.

    Raises UserError when there is none.
    """
    found = sorted(out.glob(f"runs/{task}/*/*/seed*/metrics.json"), key=lambda path: (path.stat().st_mtime, str(path)))
    found = [path for path in found if (path.parent / "model.pt").is_file()]
    if not found:
        where = out / "runs" / task
        raise UserError(f"no finished run of {tasks.get(task).model} in {where}; run make {task}, or give MODEL")
    return found[-1].parent, len(found)


def last_evaluated(out: Path) -> dict[str, Path]:
    """For each task, its run evaluated last below ``out``/runs; raises UserError if no task has one."""
    found = {}
    for task in tasks.TASKS:
        with contextlib.suppress(UserError):
            found[task], _ = newest_run(out, task)
    if not found:
        ways = " or ".join(f"make {task}" for task in tasks.TASKS)
        raise UserError(f"no finished run in {out / 'runs'}; run {ways}")
    return found


def chosen(model: Path | None, out: Path, task: str) -> tuple[Path, str]:
    """The given run or file, otherwise the newest run below ``out``; and a remark to print after its path."""
    if model is not None:
        return model, ""
    run, found = newest_run(out, task)
    return run, f" ({found} runs; the one evaluated last)" if found > 1 else ""


def told(model: Path, name: str) -> Any:
    """run.json or metrics.json of a run; for a file by ``make export``, its metrics, which repeat run.json."""
    return exported.read(model).metrics if model.is_file() else read_json(model / name)


def identity(model: Path, task: str) -> dict[str, Any]:
    """run.json of a run, or the same of a file; raises UserError if it is missing, or not of ``task``."""
    if not model.exists():
        raise UserError(f"{model} is missing; give a run folder, or a file from make export")
    record, values = tasks.get(task), told(model, "run.json")
    if not isinstance(values, dict) or values.get("task") != task:
        what = values.get("task") if isinstance(values, dict) else None
        raise UserError(
            f"{model} is a run of {what!r:.20}, not of {record.model} ({task}); give one made by make {task}"
        )
    lacking = {*NEEDED, *record.options} - values.keys()
    if lacking:
        raise UserError(f"{model / 'run.json'} lacks {min(lacking)!r}; train it again (make {task})")
    return values
