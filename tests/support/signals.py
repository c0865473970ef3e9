"""How tests start processes that they then interrupt."""

import os
import signal
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def heed_ctrl_c() -> None:
    """For ``preexec_fn``: a shell's background jobs, and what they start, ignore SIGINT; the new process does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(command, run, *arguments, **settings):
    """``onepage COMMAND --model RUN ...`` as a process of its own, which heeds Ctrl-C."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "code"), "OMP_WAIT_POLICY": "PASSIVE"}
    settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    words = [sys.executable, "-m", "onepage", command, "--model", str(run), *map(str, arguments)]
    return subprocess.Popen(words, env=environment, preexec_fn=heed_ctrl_c, **settings)
