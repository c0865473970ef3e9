"""``onepage repeat``: train and evaluate a run a second time in another folder, and compare the bits."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click

from onepage.errors import UserError
from onepage.terminal.options import runs_argument

COMPARED = ".compared"  # marks a second run that was compared, and can go


def second(run: Path) -> Path:
    """The folder of the second run, runs/.repro/... beside runs/...; raises UserError for a run in another place."""
    parts = run.parts
    if "runs" not in parts:
        raise UserError(f"{run} is not in a folder named runs; give one that is")
    place = len(parts) - 1 - parts[::-1].index("runs")
    return Path(*parts[: place + 1], ".repro", *parts[place + 1 :])


@click.command()
@runs_argument
def repeat(runs: tuple[Path, ...]) -> None:
    """Train and evaluate each RUN again in another folder, with another hash seed and locale; compare every bit.

    Exits 1 if anything differs. After an interruption the same command resumes.
    """
    from onepage.runs import plan
    from onepage.verification import bitwise

    environment = os.environ | {"PYTHONHASHSEED": "1", "LC_ALL": "C"}
    for run in runs:
        again = second(run)
        planned = {stage: plan.read(run, stage) for stage in ("train", "evaluate")}
        there = plan.path_of(again, "train")
        if (again / COMPARED).exists() or (there.exists() and plan.changed(there, planned["train"]) == "all"):
            shutil.rmtree(again)
        for stage, values in planned.items():
            plan.write(again, stage, values)
        for stage in planned:
            command = [sys.executable, "-m", "onepage", stage, str(again)]
            status = subprocess.run(command, env=environment).returncode
            if status:
                sys.exit(status)
    failed = 0
    for run in runs:
        failed |= bitwise.show(run, second(run), click.echo)
        (second(run) / COMPARED).touch()
    sys.exit(failed)


COMMANDS = (repeat,)
