"""Measurements in separate processes, in turn.

Each runs in a new process, so that peak memory, threads and kernels are those of one contender. Contenders take turns,
so that slow minutes of the machine affect all of them.
"""

import contextlib
import importlib
import inspect
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from onepage.benchmarks import results
from onepage.errors import Interrupted, UserError
from onepage.files import read_json, write_json
from onepage.runs import provenance
from onepage.terminal.progress import Reporter, clock
from onepage.training.launch import LOOPBACK
from onepage.training.locking import cpu_training_lock

PATIENCE = 60.0  # seconds for a child to stop when told to
SETTLE = 120.0  # seconds for the load average to fall, which it does slowly after a program has ended
RATES = {  # {rate of a sample: its text}
    "training": "images/s in training",
    "forward": "images/s forward",
    "together": "images/s",
    "tokens_per_second": "target tokens/s in training",
    "seconds": "s",
    "updates": "updates/s",
}
Say = Callable[[str], None]


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A temporary folder, removed at the end; SIGINT and SIGTERM raise ``Interrupted`` in the block."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number, "stopped, nothing is written; run the same command again")

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with tempfile.TemporaryDirectory(prefix="onepage-bench-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def session(kind: str, result: dict[str, Any], out: Path) -> Iterator[tuple[Path, Say]]:
    """A benchmark from start to end: a temporary folder, and a function that prints lines to console and log.

    Waits until no training runs on this CPU, and up to two minutes for its load to fall. Adds the load average before
    the start and, at the end, the time to ``result``.
    """
    log = out / "runs" / "bench" / f"{results.name_of(kind, result)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    say = Reporter(f"bench {kind}", 1, "", log).line
    with cpu_training_lock(result["device"], say), scratch() as folder:
        result["load_before"] = _load_before(say)
        say(f"{results.hardware(result)}; {result['settings']['repeats']} turns each, log in {log}")
        if results.busy(result):
            say(f"the machine is busy (load {result['load_before']}): rates will be low, ratios unreliable")
        yield folder, say
    result["finished"] = provenance.now()


def _load_before(say: Say) -> float:
    """The load average of the last minute, once it is low or ``SETTLE`` has passed."""
    begun, told = time.monotonic(), False
    while (load := os.getloadavg()[0]) > results.BUSY and time.monotonic() < begun + SETTLE:
        if not told:
            say(f"the load average is {load:.2f}; waiting up to {SETTLE / 60:g} minutes for it to fall")
            told = True
        time.sleep(1.0)
    return round(load, 2)


@dataclass(frozen=True)
class Measurement:
    """A function of plain values that returns plain values, to be run in a new process."""

    function: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]
    processes: int = 0
    """If not 0, torchrun starts this many processes, which work together; the result is that of rank 0."""
    beside_busy: bool = False
    """Whether another process keeps one core busy meanwhile."""

    def given(self, folder: Path) -> dict[str, Any]:
        """The arguments; a function with a parameter ``run`` also gets a run folder, in ``folder``."""
        run = {"run": str(folder / "run")} if "run" in inspect.signature(self.function).parameters else {}
        return {**self.arguments, **run}

    def measure(self, folder: Path, watch: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """The function's result, {} if it was stopped early; its files go to ``folder``.

        ``watch`` is called four times per second; once it is true, the child is told to stop (SIGTERM). Raises
        UserError if the child fails, with the last line of its output as message.
        """
        folder.mkdir(parents=True, exist_ok=True)
        order, result, log = folder / "order.json", folder / "result.json", folder / "out.log"
        name = self.function.__name__
        asked = {"module": self.function.__module__, "function": name, "arguments": self.given(folder)}
        write_json(order, asked | {"result": str(result)})
        result.unlink(missing_ok=True)
        launcher = ["torch.distributed.run", "--local-addr", LOOPBACK, "--nproc-per-node", str(self.processes), "-m"]
        command = [sys.executable, "-m", *(launcher if self.processes else []), __name__, str(order)]
        told = False
        with _busy_process() if self.beside_busy else contextlib.nullcontext():
            with open(log, "wb") as out:  # its own session: the parent gets Ctrl-C, and ends the child
                child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                while child.poll() is None:
                    if not told and watch():
                        told = True
                        child.terminate()
                    time.sleep(0.25)
            finally:
                _end(child)
        if result.is_file():
            return dict(read_json(result))
        if told:
            return {}
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        why = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        if child.returncode == -signal.SIGKILL:
            why = "it was killed, probably because memory ran out"
        raise UserError(f"measuring ({name.replace('_', ' ')}) failed: {why.removeprefix('onepage: ')}")


@contextlib.contextmanager
def _busy_process() -> Iterator[None]:
    """A process that computes without end, in a session of its own: Linux shares the cores out by session."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        yield
    finally:
        other.kill()
        other.wait()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a running child, with the processes that it started."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # its own session: the group is the child and what it started
            child.wait()


def take_turns(
    contenders: Mapping[str, Measurement], repeats: int, folder: Path, say: Say
) -> dict[str, list[dict[str, Any]]]:
    """{contender: its samples}: all contenders in turn, several times."""
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    started, done = time.monotonic(), 0
    for turn in range(repeats):
        for name, measurement in contenders.items():
            with tempfile.TemporaryDirectory(dir=folder) as own:
                found = measurement.measure(Path(own))
            samples[name].append(found)
            done += 1
            left = (time.monotonic() - started) / done * (repeats * len(contenders) - done)
            rates = (f"{results.digits(found[key])} {unit}" for key, unit in RATES.items() if key in found)
            say(f"turn {turn + 1}/{repeats}  {name}: {', '.join(rates)}  {clock(left)} left")
    return samples


def main() -> None:
    """The child's side: call the function named in the file that is the only argument."""
    order = read_json(Path(sys.argv[1]))
    try:
        result = getattr(importlib.import_module(order["module"]), order["function"])(**order["arguments"])
    except UserError as error:
        print(f"onepage: {error}", file=sys.stderr)
        sys.exit(1)
    if os.environ.get("RANK", "0") == "0":
        write_json(Path(order["result"]), result)


if __name__ == "__main__":
    main()
