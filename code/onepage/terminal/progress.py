"""What a person sees: a heading per stage; while a run trains a bar with rate and time left, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from onepage.errors import UserError

LINE_SECONDS = 20.0  # between lines where there is no terminal
RATE_SECONDS = 10.0  # over which the rate shown is counted
console = Console(highlight=False, soft_wrap=True)


def heading(stage: str) -> None:
    """Say that a stage begins: on a rule on a terminal, on a plain line elsewhere."""
    if sys.stdout.isatty() and console.is_terminal:
        console.print()
        console.rule(Text(stage, style="bold"), align="left", style="dim")
    else:
        console.print(f"== {stage}", markup=False)


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss from one hour."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


class Reporter:
    """Progress of one long stage; use as a context manager.

    ``total`` and ``advance`` count in updates; ``unit`` names what the rate counts (images, target tokens). ``work`` is
    the work of the first so many updates, for the time left, where updates differ in it. Lines go to ``log`` as well,
    appended, so that an interrupted run's log tells the whole story. ``quiet``: another process reports, this one does
    not.
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
        self.done = done
        self.first = done
        self.work = work
        self.units = 0  # since the rate was last counted
        self.rate = 0.0
        self.started = self.spoken = self.counted = time.monotonic()
        self.quiet = quiet
        self.live = sys.stdout.isatty() and console.is_terminal and not quiet
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}  {task.fields[note]}"),
            TextColumn("{task.fields[left]} left"),
            console=console,
            disable=not self.live,
            transient=True,
        )
        self.task = self.bar.add_task(name, total=total, completed=done, note="", left="-:--")

    def __enter__(self) -> "Reporter":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def advance(self, units: int, note: str) -> None:
        """One update over ``units`` images or tokens is done; ``note`` is a short state such as the loss."""
        self.done += 1
        self.units += units
        now = time.monotonic()
        if not self.rate or now - self.counted >= RATE_SECONDS:
            self.rate = self.units / max(now - self.counted, 1e-9)
            self.counted, self.units = now, 0
        left = clock(self.seconds_left(now))
        self.bar.update(self.task, completed=self.done, note=f"{note}  {self.rate:,.0f} {self.unit}/s", left=left)
        if not self.live and now - self.spoken >= LINE_SECONDS:
            self.spoken = now
            self.line(f"update {self.done}/{self.total}  {note}  {self.rate:,.0f} {self.unit}/s  {left} left")

    def seconds_left(self, now: float) -> float:
        """Time that the work left takes at the pace of this session so far."""
        before, done, whole = self.work(self.first), self.work(self.done), self.work(self.total)
        return (now - self.started) / max(done - before, 1e-9) * (whole - done)

    def line(self, text: str) -> None:
        """One line to the console and to the log."""
        if self.quiet:
            return
        stamped = f"{self.name}  {text}"
        (self.bar.console if self.live else console).print(stamped, markup=False)
        try:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {stamped}\n")
        except OSError as error:
            why = error.strerror or error
            raise UserError(f"cannot write {self.log}: {why}; free space and run the same command to go on") from error
