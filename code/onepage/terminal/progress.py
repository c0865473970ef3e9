"""Progress: a heading per stage and, during training, a bar with rate and time left; without a terminal, lines."""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from onepage.errors import UserError

LINE_SECONDS = 20.0  # between lines without a terminal
RATE_SECONDS = 10.0  # over which the rate is measured
CROWDED = 0.15  # share of their running time that threads wait for a core
CROWDED_NOTE = "  (other programs use the cores)"
console = Console(highlight=False, soft_wrap=True)


def on_terminal() -> bool:
    """Whether bars and rules can be shown."""
    return sys.stdout.isatty() and console.is_terminal


def heading(stage: str) -> None:
    """Print the heading of a stage: in a rule on a terminal, otherwise on a plain line."""
    if on_terminal():
        console.print()
        console.rule(Text(stage, style="bold"), align="left", style="dim")
    else:
        console.print(f"== {stage}", markup=False)


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from one hour."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class Cores:
    """Whether other programs use this process's cores, from the time that each thread waits for a core (Linux only).

    Load and CPU time do not show this, because threads that wait for each other may spin.
    """

    def __init__(self) -> None:
        self.there = cores()
        self.before = used_and_waited()

    def crowded(self, seconds: float) -> bool:
        """Whether it was so since the last call, ``seconds`` ago; always False if the system does not count.

        If the process's own threads use all cores and keep each other waiting, the answer is False.
        """
        now = used_and_waited()
        used, waited = (after - before for after, before in zip(now, self.before, strict=True))
        self.before = now
        waits = waited > CROWDED * (used + waited) and waited > CROWDED * seconds
        return waits and used < (1 - CROWDED) * self.there * seconds


def cores() -> float:
    """Cores that this process may use: those of the system, or of the container if it has fewer."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return min(count, int(quota) / int(period))
    except (OSError, ValueError):  # not Linux; or "max", no limit
        return count


def used_and_waited() -> tuple[float, float]:
    """Seconds that the threads of this process have run on a core, and have waited for one."""
    used = waited = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError, ValueError):  # a thread that has ended
            on_core, for_core, _ = path.read_text(encoding="ascii").split()
            used, waited = used + int(on_core), waited + int(for_core)
    return used / 1e9, waited / 1e9


class Reporter:
    """Progress of one long stage; use as a context manager.

    ``total`` and ``advance`` count in updates; ``unit`` names what the rate counts (images, target tokens). If updates
    differ in cost, ``work(n)`` is the cost of the first n, for the time left. Lines are also appended to ``log``, which
    covers all sessions of an interrupted run. ``quiet``: another process reports, this one does not.
    """

    def __init__(
        self,
        name: str,
        total: int,
        unit: str,
        log: Path,
        done: int = 0,
        work: Callable[[int], float] = float,
        quiet: bool = False,
    ):
        self.name, self.total, self.unit, self.log = name, total, unit, log
        self.done = self.first = done
        self.work, self.quiet = work, quiet
        self.units = 0  # since the rate was last counted
        self.rate = 0.0
        self.cores = Cores()
        self.crowded = ""
        self.started = self.spoken = self.counted = time.monotonic()
        self.live = on_terminal() and not quiet
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}  {task.fields[note]}"),
            TextColumn("{task.fields[left]}"),
            console=console,
            disable=not self.live,
            transient=True,
        )
        self.task = self.bar.add_task(name, total=total, completed=done, note="", left="-:-- left")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def advance(self, units: int, note: str) -> None:
        """One update over ``units`` images or tokens is done; ``note`` is a short state such as the loss."""
        self.done += 1
        self.units += units
        now = time.monotonic()
        if not self.rate or now - self.counted >= RATE_SECONDS:
            self.rate = self.units / max(now - self.counted, 1e-9)
            self.crowded = CROWDED_NOTE if self.cores.crowded(now - self.counted) else ""
            self.counted, self.units = now, 0
        left = clock(self.seconds_left(now))
        note = f"{note}  {self.rate:,.0f} {self.unit}/s"
        self.bar.update(self.task, completed=self.done, note=note, left=f"{left} left{self.crowded}")
        if not self.live and now - self.spoken >= LINE_SECONDS:
            self.spoken = now
            self.line(f"update {self.done}/{self.total}  {note}  {left} left{self.crowded}")

    def seconds_left(self, now: float) -> float:
        """Time for the rest of the work at the average rate of this session."""
        before, done, whole = self.work(self.first), self.work(self.done), self.work(self.total)
        return (now - self.started) / max(done - before, 1e-9) * (whole - done)

    def line(self, text: str) -> None:
        """One line to the console and to the log."""
        if self.quiet:
            return
        stamped = f"{self.name}  {text}"
        console.print(stamped, markup=False)
        try:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {stamped}\n")
        except OSError as error:
            why = error.strerror or error
            raise UserError(f"cannot write {self.log}: {why}; free space and run the same command to go on") from error
