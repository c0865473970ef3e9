"""A measurement in a process of its own, so that peak memory, threads and kernels are those of one contender alone.

The child runs ``serve(JOBS)``: it reads its job from a JSON file and writes its result beside it. What it prints goes
to a log; when it fails, the last line of that log is the message.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from onepage.errors import UserError
from onepage.files import read_json, write_json

PATIENCE = 60.0  # seconds that a child has to stop when told to
Job = Callable[..., dict[str, Any]]


class Stopped(UserError):
    """SIGINT or SIGTERM (``number``) ended a benchmark; half of one says nothing, so nothing is kept."""

    def __init__(self, number: int):
        self.number = number
        super().__init__(f"{signal.Signals(number).name}: stopped, nothing is written; run the same command again")


class stoppable:
    """A block that SIGINT and SIGTERM leave by ``Stopped``, so that children end and temporary files go."""

    def __enter__(self) -> None:
        self._handlers = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @staticmethod
    def _stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)


def call(
    module: str,
    job: str,
    arguments: Mapping[str, Any],
    scratch: Path,
    watch: Callable[[], bool] = lambda: False,
    processes: int = 0,
) -> dict[str, Any]:
    """Run ``JOBS[job](**arguments)`` of ``module`` in a new process; returns its result, {} if stopped early.

    ``watch`` is asked four times a second; once it is true, the child is told to stop (SIGTERM). Files go to
    ``scratch``. ``processes``, if not 0: so many do the job together, started by torchrun; the result is that of rank
    0. Raises UserError when the child fails.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    order, result, log = scratch / "job.json", scratch / "result.json", scratch / "out.log"
    write_json(order, {"job": job, "arguments": dict(arguments), "result": str(result)})
    result.unlink(missing_ok=True)
    # a session of its own: Ctrl-C is for the parent, which ends the child and says so once
    with open(log, "wb") as out:
        together = ["torch.distributed.run", "--nproc-per-node", str(processes), "-m"] if processes else []
        command = [sys.executable, "-m", *together, module, str(order)]
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    told = False
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
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    why = lines[-1].removeprefix("onepage: ") if lines else "it said nothing"
    if child.returncode == -signal.SIGKILL:
        why = "it was killed, as the system does when memory runs out"
    raise UserError(f"measuring ({job}) failed: {why}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a child that still runs, with the processes that it started."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)  # its own session: the group is the child and what it started
            child.wait()


def serve(jobs: Mapping[str, Job]) -> None:
    """The child's side: do the job named in the file that is the only argument."""
    order = read_json(Path(sys.argv[1]))
    try:
        result = jobs[order["job"]](**order["arguments"])
        if os.environ.get("RANK", "0") == "0":
            write_json(Path(order["result"]), result)
    except UserError as error:
        print(f"onepage: {error}", file=sys.stderr)
        sys.exit(1)
