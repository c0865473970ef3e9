"""Several seeds: train and evaluate each, and gather their scores."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from onepage.errors import Interrupted, UserError
from onepage.runs import plan, stamps
from onepage.terminal.options import PATH, run_argument, runs_argument

POLL_SECONDS = 0.05
PROGRAM = (sys.executable, "-m", "onepage")


class Queue:
    """Runs to train and evaluate, ``jobs`` at once, each stage in its own process."""

    def __init__(self, runs: Sequence[Path], jobs: int):
        self.waiting, self.jobs = list(runs), jobs
        self.active: dict[Path, tuple[str, subprocess.Popen[bytes]]] = {}
        self.signal: int | None = None

    def work(self) -> None:
        """Train and evaluate all runs; if one fails, the others continue. Raises Interrupted after a signal."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while self.active or (self.waiting and self.signal is None):
                while self.waiting and len(self.active) < self.jobs and self.signal is None:
                    run = self.waiting.pop(0)
                    self._start(run, stamps.next_stage(run))
                for run, (stage, process) in list(self.active.items()):
                    if process.poll() is not None:
                        del self.active[run]
                        if process.returncode == 0 and stage == "train":
                            self._start(run, "evaluate")
                time.sleep(POLL_SECONDS)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.signal is not None:
            raise Interrupted(self.signal, "stopped; run the same command to resume")

    def _start(self, run: Path, stage: str) -> None:
        if not stage or self.signal is not None:
            return
        own = ["--own-gpu"] if self.jobs > 1 else []
        process = subprocess.Popen([*PROGRAM, stage, str(run), *own])
        self.active[run] = stage, process
        if self.signal is not None:  # it arrived while the process started
            process.send_signal(signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for _, process in self.active.values():
            process.send_signal(signal.SIGTERM)


@click.command("train-all")
@runs_argument
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Runs at once, each on a GPU.")
@click.option("--shown", type=PATH, multiple=True, help="Runs that must not fail.")
@click.option("--check", is_flag=True, help="Train nothing; fail if a run is not finished.")
def train_all(runs: tuple[Path, ...], jobs: int, shown: tuple[Path, ...], check: bool) -> None:
    """Train and evaluate each RUN that is not finished. If one fails, the others continue.

    On a CPU they run in turn, because two training runs on the same cores slow each other down.
    """
    if not check:
        on_gpu = any(plan.read(run).get("device") == "cuda" for run in runs)
        Queue(stamps.unfinished(runs), jobs if on_gpu else 1).work()
    if stamps.unfinished(runs if check else shown):
        names = " ".join("/".join(run.parts[-4:]) for run in stamps.unfinished(runs))
        raise UserError(f"not done: {names}; fix the problems reported above, then run the same command")


@click.command()
@run_argument
def seeds(run: Path) -> None:
    """Write seeds.json beside RUN: scores and curves of each comparable seed, mean, sd and n.

    Seeds with another recipe, data, code or machine settings are left out; a message names them.
    """
    from onepage.files import read_json
    from onepage.runs import seeds as gathered

    content, left_out = gathered.write(run)
    metrics = read_json(run / "metrics.json")
    if len(content["seeds"]) > 1:
        click.echo(f"{metrics['task']:<4} {gathered.words(content, metrics)}")
    if left_out:
        click.echo(f"{metrics['task']:<4} not among the seeds: {', '.join(left_out)}")


COMMANDS = (train_all, seeds)
