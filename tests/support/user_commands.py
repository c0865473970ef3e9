"""Helpers for the tests of the commands for users: damaged copies, make's arguments, a full disk, Ctrl-C."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from checkout import REPOSITORY, environment, run_make


def damaged(run: Path, tmp_path: Path, change: Callable[[Path], object]) -> Path:
    """A copy of ``run`` with a change made to it."""
    copy = Path(shutil.copytree(run, tmp_path / "damaged"))
    change(copy)
    return copy


def one_of_two(run: Path, out: Path) -> Path:
    """A copy of ``run`` below ``out``, beside a run of the same task that was evaluated earlier."""
    place = out / "runs" / run.parents[2].name
    earlier = place / "b" / "full" / "seed3"
    earlier.mkdir(parents=True)
    for name in ("model.pt", "metrics.json"):
        (earlier / name).touch()
    os.utime(earlier / "metrics.json", (1_000_000, 1_000_000))
    return Path(shutil.copytree(run, place / "a" / "quick" / "seed0"))


def made(tmp_path: Path, target: str, by_environment: bool, given: str = "", **values: str) -> tuple[Any, list[str]]:
    """Run ``make TARGET`` with a stand-in for the program: (make's result, the stand-in's arguments and input)."""
    program, seen = tmp_path / "onepage", tmp_path / "seen"
    program.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" >{seen}\ncat >>{seen}\n', encoding="utf-8")
    program.chmod(0o755)
    (tmp_path / "ready").touch()
    words = [target, f"OUT={tmp_path}", f"ONEPAGE={program}", f"READY={tmp_path / 'ready'}"]
    words += [f"PYTHON={sys.executable}", *(f"{key}={value}" for key, value in values.items() if not by_environment)]
    done = run_make(REPOSITORY, *words, given=given, **(values if by_environment else {}))
    return done, seen.read_text(encoding="utf-8").splitlines() if seen.exists() else []


def redirected(command: str, run: Path, redirection: str, *arguments: object) -> tuple[int, list[str]]:
    """Run ``onepage COMMAND --model RUN ...`` in a shell: (exit status, standard error after its first line)."""
    words = ["bash", "-c", f'"$0" -m onepage {command} --model "$@" {redirection}', sys.executable, str(run)]
    done = subprocess.run(
        [*words, *map(str, arguments)], env=environment(), input=b"a man\n", capture_output=True, timeout=120
    )
    return done.returncode, done.stderr.decode().splitlines()[1:]


def heed_ctrl_c() -> None:
    """For ``preexec_fn``: the new process reacts to SIGINT, which children of a background job otherwise ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(command: str, run: Path, *arguments: object, **settings: Any) -> subprocess.Popen[bytes]:
    """Start ``onepage COMMAND --model RUN ...`` in a separate process that reacts to Ctrl-C."""
    settings = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | settings
    words = [sys.executable, "-m", "onepage", command, "--model", str(run), *map(str, arguments)]
    return subprocess.Popen(words, env=environment(), preexec_fn=heed_ctrl_c, **settings)


def assert_ends_quietly(process: subprocess.Popen[bytes], by: str) -> None:
    """Close the pipe after the first line (``by`` "pipe") or send Ctrl-C ("interrupt"): the process ends quietly."""
    assert process.stdout and process.stderr and process.stdout.readline()
    if by == "pipe":
        process.stdout.close()
        if process.stdin and not process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # the process may end before it has read everything
                process.stdin.write(b"a man\n" * 20_000)  # more than a pipe holds
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
    else:
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == (141 if by == "pipe" else 130)
    assert process.stderr.read().count(b"\n") == 1
