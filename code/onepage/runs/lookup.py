"""The trained runs that the commands for people, ``translate`` and ``classify``, work with."""

import contextlib
from pathlib import Path
from typing import Any

from onepage.errors import UserError
from onepage.files import read_json

MODELS = {"cls": "ResNet-18", "mt": "the Transformer"}
NEEDED = {
    "cls": frozenset({"task", "device", "generated", "precision", "recipe", "seed"}),
    "mt": frozenset({"task", "device", "generated", "src", "tgt", "recipe", "seed"}),
}


def newest_run(out: Path, task: str) -> tuple[Path, int]:
    """(the run of ``task`` that was evaluated last, of how many) below ``out``/runs.

    Raises UserError when there is none.
    """
    found = sorted(out.glob(f"runs/{task}/*/*/seed*/metrics.json"), key=lambda path: (path.stat().st_mtime, str(path)))
    found = [path for path in found if (path.parent / "model.pt").is_file()]
    if not found:
        where = out / "runs" / task
        raise UserError(f"no finished run of {MODELS[task]} in {where}; make one (make {task}) or give --run")
    return found[-1].parent, len(found)


def last_evaluated(out: Path) -> dict[str, Path]:
    """The run of each task that was evaluated last below ``out``/runs; raises UserError when there is none at all."""
    found = {}
    for task in MODELS:
        with contextlib.suppress(UserError):
            found[task], _ = newest_run(out, task)
    if not found:
        raise UserError(f"no finished run in {out / 'runs'}; make one (make cls, make mt) or give --run")
    return found


def chosen(run: Path | None, out: Path, task: str) -> tuple[Path, str]:
    """The run given, else the newest below ``out``; and what to say of the choice beside its path."""
    if run is not None:
        return run, ""
    run, found = newest_run(out, task)
    return run, f" ({found} runs; the one evaluated last)" if found > 1 else ""


def identity(run: Path, task: str) -> dict[str, Any]:
    """What run.json says; raises UserError when it is missing, or not that of a run of ``task``."""
    block = read_json(run / "run.json")
    if not isinstance(block, dict) or block.get("task") != task:
        what = block.get("task") if isinstance(block, dict) else None
        raise UserError(
            f"{run} is a run of {what!r:.20}, not of {MODELS[task]} ({task}); give --run one of runs/{task}"
        )
    lacking = NEEDED[task] - block.keys()
    if lacking:
        raise UserError(f"{run / 'run.json'} lacks {min(lacking)!r}; train anew (make {task})")
    return block
