"""Start the processes of a training by PyTorch's own launcher, torchrun, and say in one line how they ended.

``torchrun -m onepage train ...`` does the same without this module; then each process speaks for itself, and torchrun
adds its own report. Imports torch only to launch: the command line asks here how an error is told.
"""

import contextlib
import io
import json
import logging
import os
import shlex
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onepage.errors import UserError

LAUNCHED = "ONEPAGE_LAUNCHED"  # set for processes started here
SHUTDOWN_SECONDS = "60"  # that they have to reach the end of an update and save, before SIGKILL
LOOPBACK = "127.0.0.1"


class Ended(UserError):
    """A signal (``number``) reached the launcher, and it ended the training."""

    def __init__(self, number: int, where: str):
        self.number = number
        super().__init__(f"{signal.Signals(number).name}: stopped, {where}")


def told(line: str) -> bool:
    """Leave ``line`` for the launcher to print, where there is one; whether there is."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if LAUNCHED not in os.environ or not path:
        return False
    # the form that torch.distributed.elastic.multiprocessing.errors reads
    Path(path).write_text(json.dumps({"message": line, "timestamp": int(time.time())}), encoding="utf-8")
    return True


def leave_other_jobs() -> bool:
    """Forget the variables of a job that the caller is part of; whether they made this process one of several.

    torchrun itself sets ``TORCHELASTIC_RUN_ID`` beside the rank. What begins with ``PET_`` is an option of torchrun.
    """
    ours = "TORCHELASTIC_RUN_ID" in os.environ
    several = not ours and os.environ.get("WORLD_SIZE", "1") != "1"
    for name in list(os.environ):
        if name.startswith("PET_") or (not ours and name in ("RANK", "WORLD_SIZE")):
            del os.environ[name]
    return several


def parse(processes: int, options: str, command: Sequence[str] = ()) -> Any:
    """torchrun's own reading of its options, with ``onepage COMMAND`` to run; raises UserError for what it refuses."""
    from torch.distributed import run as torchrun

    given = ["--nproc-per-node", str(processes), "--shutdown-timeout", SHUTDOWN_SECONDS]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            words = [*given, *shlex.split(options), "-m", "onepage"]
            arguments = torchrun.get_args_parser().parse_args(words)
        if arguments.training_script != "onepage":
            raise ValueError(f"{arguments.training_script} is no option of torchrun")
        # not through its parser: there --run would be short for --run-path
        arguments.training_script_args = list(command)
        return _by_loopback(arguments) if str(arguments.nnodes) in ("1", "1:1") else arguments
    except SystemExit:
        why = (said.getvalue().splitlines() or ["refused"])[-1].rpartition("error: ")[2]
    except ValueError as error:
        why = str(error)
    raise UserError(f"TORCHRUN={options!r}: {why:.200}; see: torchrun --help")


def _by_loopback(arguments: Any) -> Any:
    """Let processes of one machine meet without its name, which need not resolve: torchrun itself would look it up."""
    arguments.local_addr = arguments.local_addr or LOOPBACK
    own = arguments.rdzv_endpoint or arguments.rdzv_backend != "static" or arguments.master_port
    if arguments.standalone or not own:
        arguments.standalone, arguments.rdzv_backend = False, "c10d"
        arguments.rdzv_endpoint, arguments.rdzv_id = f"{LOOPBACK}:0", str(uuid.uuid4())
    return arguments


def world(processes: int, options: str) -> int:
    """Processes of the training over all nodes; of the most nodes where torchrun is given a range."""
    nodes = str(parse(processes, options).nnodes).rpartition(":")[2]
    try:
        return processes * int(nodes)
    except ValueError:
        raise UserError(f"TORCHRUN={options!r}: --nnodes must be a number, or two with a colon") from None


def launch(run: Path, processes: int, options: str, threads: int, command: Sequence[str]) -> None:
    """Run ``onepage COMMAND`` in ``processes`` processes on this machine, joined as ``options`` of torchrun say.

    Raises UserError, with one line on why and where the training stands, when any of them fails; Ended after a signal.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = parse(processes, options, command)
    if arguments.local_addr == LOOPBACK:  # the caller's are for several machines, and may name no interface of this one
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.pop(name, None)
    os.environ[LAUNCHED] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # a store for each restart: in the shared one (torch 2.13) restarted processes find the addresses of those that died
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    logging.disable(logging.CRITICAL)  # of torchrun, in many lines; ours stands below
    sys.stdout.flush()
    try:
        torchrun.run(arguments)
    except SignalException as error:
        raise Ended(int(error.sigval), where(run)) from None
    except ChildFailedError as error:
        raise UserError(reason(error.failures, run)) from None
    except (RuntimeError, OSError, ValueError, AssertionError) as error:  # of the rendezvous
        line = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"torchrun could not start the processes ({line:.200}); see TORCHRUN and docs") from error
    finally:
        logging.disable(logging.NOTSET)
        os.environ.pop(LAUNCHED, None)


def reason(failures: dict[int, Any], run: Path) -> str:
    """One line on the process that failed first, of torchrun's ``failures`` by rank."""

    def order(item: tuple[int, Any]) -> tuple[bool, int, int]:
        return item[1].exitcode == -signal.SIGTERM, item[1].timestamp, item[0]  # torchrun ends the rest by SIGTERM

    rank, first = min(failures.items(), key=order)
    if first.exitcode < 0:
        name = signal.Signals(-first.exitcode).name
        return f"process {rank} of the training was killed ({name}); {where(run)}"
    if first.error_file_data["message"] != "<NONE>":  # what it left by ``told``
        return str(first.message)
    return f"process {rank} of the training failed (its error stands above); {where(run)}"


def where(run: Path) -> str:
    """Where a training that has ended stands, and how it goes on."""
    updates = sorted(int(path.stem.rpartition("-")[2]) for path in run.glob("checkpoint-[0-9]*[0-9].json"))
    saved = f"saved after update {updates[-1]}" if updates else "nothing is saved yet"
    return f"{saved}; run the same command to go on"
