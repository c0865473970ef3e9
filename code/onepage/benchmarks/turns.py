"""Contenders take turns, so that slow minutes of a machine fall on all of them; each time in a process of its own."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from onepage.benchmarks import process, results
from onepage.terminal.progress import Reporter, clock

BUSY = 0.5  # load average from which a machine is not idle
Say = Callable[[str], None]
Turns = Mapping[str, tuple[str, dict[str, Any]]]
"""{contender: (job, its arguments)}; an argument "run" that is empty becomes a folder of the turn's own."""


def opened_log(out: Path, kind: str, result: Mapping[str, Any], unit: str) -> tuple[Path, Say]:
    """The log of a benchmark, and what to say lines with: to the console and to it."""
    log = out / "runs" / "bench" / f"{results.name_of(kind, result)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log, Reporter(f"bench {kind}", 1, unit, log).line


def say_where(result: Mapping[str, Any], repeats: int, log: Path, say: Say) -> None:
    """The hardware, the number of turns, and a warning where the machine is not idle."""
    say(f"{results.hardware(result)}; {repeats} turns each, log in {log}")
    if busy(result):
        say(f"the machine is busy (load {result['load_before']}): its figures will be low, and the ratios unsafe")


def busy(result: Mapping[str, Any]) -> bool:
    """Whether other work ran on the machine when the benchmark began; False where the system does not tell."""
    return (result["load_before"] or 0) > BUSY


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder; what a run leaves there goes with it."""
    with tempfile.TemporaryDirectory(prefix="onepage-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def take_turns(
    worker: str,
    turns: Turns,
    repeats: int,
    scratch: Path,
    say: Say,
    words: Callable[[Mapping[str, Any]], str],
    after: str = "",
) -> dict[str, list[dict[str, Any]]]:
    """{contender: its samples}, the contenders one after another and all of them again, each in a new process.

    ``worker``: module whose jobs these are; ``words`` tells a sample in a line, which ends with ``after``.
    """
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in turns}
    started = time.monotonic()
    for turn in range(repeats):
        for place, (name, (job, arguments)) in enumerate(turns.items()):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                given = arguments | ({"run": f"{folder}/run"} if arguments.get("run") == "" else {})
                found = process.call(worker, job, given, Path(folder))
            samples[name].append(found)
            done = turn * len(turns) + place + 1
            left = (time.monotonic() - started) / done * (repeats * len(turns) - done)
            say(f"turn {turn + 1}/{repeats}  {name}: {_peaks(found) or words(found)}  {clock(left)} left{after}")
    return samples


def _peaks(found: Mapping[str, Any]) -> str:
    """The machine's own sample, in words."""
    peaks = (f"{name} {best['flops'] / 1e9:,.0f} GFLOP/s" for name, best in found.get("matmul", {}).items())
    return f"matrix products {', '.join(peaks)}" if "matmul" in found else ""
