"""Where runs lie and what task each is of: the run evaluated last, the run that a person named."""

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
from onepage.runs.stamps import ABLATION

NEEDED = ("device", "generated", "precision", "recipe", "seed")  # of run.json, besides the options of its task


def task_of(run: Path) -> str:
    """The task of a run: as its metrics.json, run.json or plan says or, without them, its path ``runs/<task>/...``.

    Raises UserError for a folder that is no run's.
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
    """(the run of ``task`` that was evaluated last, of how many) below ``out``/runs.

    Raises UserError when there is none.
    """
    found = sorted(out.glob(f"runs/{task}/*/*/seed*/metrics.json"), key=lambda path: (path.stat().st_mtime, str(path)))
    found = [path for path in found if (path.parent / "model.pt").is_file()]
    if not found:
        where = out / "runs" / task
        raise UserError(f"no finished run of {tasks.get(task).model} in {where}; make one (make {task}) or give MODEL")
    return found[-1].parent, len(found)


def last_evaluated(out: Path) -> dict[str, Path]:
    """The run of each task that was evaluated last below ``out``/runs; raises UserError when there is none at all."""
    found = {}
    for task in tasks.TASKS:
        with contextlib.suppress(UserError):
            found[task], _ = newest_run(out, task)
    if not found:
        ways = ", ".join(f"make {task}" for task in tasks.TASKS)
        raise UserError(f"no finished run in {out / 'runs'}; make one ({ways}) or give --run")
    return found


def chosen(model: Path | None, out: Path, task: str) -> tuple[Path, str]:
    """The run or file given, else the newest run below ``out``; and what to say of the choice beside its path."""
    if model is not None:
        return model, ""
    run, found = newest_run(out, task)
    return run, f" ({found} runs; the one evaluated last)" if found > 1 else ""


def told(model: Path, name: str) -> Any:
    """run.json or metrics.json of a run; of a file by ``make export`` its metrics, which repeat run.json."""
    return exported.read(model).metrics if model.is_file() else read_json(model / name)


def identity(model: Path, task: str) -> dict[str, Any]:
    """What a run or file says of itself; raises UserError when it is missing, or not of ``task``."""
    if not model.exists():
        raise UserError(f"{model} is missing; give a run folder, or a file by make export")
    record, values = tasks.get(task), told(model, "run.json")
    if not isinstance(values, dict) or values.get("task") != task:
        what = values.get("task") if isinstance(values, dict) else None
        raise UserError(f"{model} is a run of {what!r:.20}, not of {record.model} ({task}); give one of make {task}")
    lacking = {*NEEDED, *record.options} - values.keys()
    if lacking:
        raise UserError(f"{model / 'run.json'} lacks {min(lacking)!r}; train it again (make {task})")
    return values


def ablation_of(run: Path) -> Path:
    """Where the ablation of a run's task and data set lies, if there is one."""
    return run.resolve().parents[1] / ABLATION
