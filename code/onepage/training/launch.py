"""Start the processes of a training run with PyTorch's launcher, torchrun, and report in one line how they ended.

``torchrun -m onepage train ...`` does the same without this module; then each process prints its own messages, and
torchrun adds its report. torch is imported only to launch, because the command line also uses this module for errors.
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

from onepage.errors import Interrupted, UserError

LAUNCHED = "ONEPAGE_LAUNCHED"  # set in processes that this module starts
SHUTDOWN_SECONDS = "60"  # for the processes to finish an update and save, before SIGKILL
LOOPBACK = "127.0.0.1"


def told(line: str) -> bool:
    """Leave ``line`` for the launcher to print; returns whether there is a launcher."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if LAUNCHED not in os.environ or not path:
        return False
    # the form that torch.distributed.elastic.multiprocessing.errors reads
    Path(path).write_text(json.dumps({"message": line, "timestamp": int(time.time())}), encoding="utf-8")
    return True


def launched() -> bool:
    """Whether torchrun started this process, even as the only one of its job."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def leave_other_jobs() -> bool:
    """Remove the variables of the caller's own job; returns whether they made this process one of several.

    Variables that begin with ``PET_`` are options of torchrun.
    """
    ours = launched()
    several = not ours and os.environ.get("WORLD_SIZE", "1") != "1"
    for name in list(os.environ):
        if name.startswith("PET_") or (not ours and name in ("RANK", "WORLD_SIZE")):
            del os.environ[name]
    return several


def parse(processes: int, options: str, command: Sequence[str] = ()) -> Any:
    """The options as torchrun parses them, with ``onepage COMMAND`` to run; raises UserError for bad options."""
    from torch.distributed import run as torchrun

    given = ["--nproc-per-node", str(processes), "--shutdown-timeout", SHUTDOWN_SECONDS]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            words = [*given, *shlex.split(options), "-m", "onepage"]
            arguments = torchrun.get_args_parser().parse_args(words)
        if arguments.training_script != "onepage":
            raise ValueError(f"{arguments.training_script} is not an option of torchrun")
        # not through the parser, which would read --run as --run-path
        arguments.training_script_args = list(command)
        return _by_loopback(arguments) if str(arguments.nnodes) in ("1", "1:1") else arguments
    except SystemExit:
        why = (said.getvalue().splitlines() or ["refused"])[-1].rpartition("error: ")[2]
    except ValueError as error:
        why = str(error)
    raise UserError(f"TORCHRUN={options!r}: {why:.200}; see: torchrun --help")


def _by_loopback(arguments: Any) -> Any:
    """Set the loopback address for processes of one machine: torchrun would look up the host name, which may fail."""
    arguments.local_addr = arguments.local_addr or LOOPBACK
    own = arguments.rdzv_endpoint or arguments.rdzv_backend != "static" or arguments.master_port
    if arguments.standalone or not own:
        arguments.standalone, arguments.rdzv_backend = False, "c10d"
        arguments.rdzv_endpoint, arguments.rdzv_id = f"{LOOPBACK}:0", str(uuid.uuid4())
    return arguments


def world(processes: int, options: str) -> int:
    """Processes of the training over all nodes; if torchrun is given a range, over the largest number of nodes."""
    nodes = str(parse(processes, options).nnodes).rpartition(":")[2]
    try:
        return processes * int(nodes)
    except ValueError:
        raise UserError(f"TORCHRUN={options!r}: --nnodes must be a number or a range such as 1:4") from None


def launch(run: Path, processes: int, options: str, threads: int, command: Sequence[str]) -> None:
    """Run ``onepage COMMAND`` in ``processes`` processes on this machine, with torchrun's ``options``.

    If one fails, raises UserError with the cause and the last saved update; after a signal, raises Interrupted.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    arguments = parse(processes, options, command)
    if arguments.local_addr == LOOPBACK:  # the caller's variable may name an interface that this machine lacks
        for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.pop(name, None)
    os.environ[LAUNCHED] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    # a new store for each restart: the shared one (torch 2.13) holds the addresses of dead processes
    os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    logging.disable(logging.CRITICAL)  # torchrun's report of many lines; ours is below
    sys.stdout.flush()
    try:
        torchrun.run(arguments)
    except SignalException as error:
        raise Interrupted(int(error.sigval), f"stopped, {where(run)}") from None
    except ChildFailedError as error:
        raise UserError(reason(error.failures, run)) from None
    except (RuntimeError, OSError, ValueError, AssertionError) as error:  # from the rendezvous
        line = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"torchrun could not start the processes ({line:.200}); check TORCHRUN") from error
    finally:
        logging.disable(logging.NOTSET)
        os.environ.pop(LAUNCHED, None)


def reason(failures: dict[int, Any], run: Path) -> str:
    """One line on the process that failed first, from torchrun's ``failures`` by rank."""

    def order(item: tuple[int, Any]) -> tuple[bool, int, int]:
        return item[1].exitcode == -signal.SIGTERM, item[1].timestamp, item[0]  # torchrun ends the rest by SIGTERM

    rank, first = min(failures.items(), key=order)
    if first.exitcode < 0:
        name = signal.Signals(-first.exitcode).name
        return f"process {rank} of the training was killed ({name}); {where(run)}"
    if first.error_file_data["message"] != "<NONE>":  # the line that it left with ``told``
        return str(first.message)
    return f"process {rank} of the training failed (its error is above); {where(run)}"


def where(run: Path) -> str:
    """The last saved update of a training run that has ended, and how to resume it."""
    updates = sorted(int(path.stem.rpartition("-")[2]) for path in run.glob("checkpoint-[0-9]*[0-9].json"))
    saved = f"saved after update {updates[-1]}" if updates else "nothing is saved yet"
    return f"{saved}; run the same command to go on"
