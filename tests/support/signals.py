"""Starts processes that tests then interrupt."""

import os
import signal
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def heed_ctrl_c() -> None:
    """For ``preexec_fn``: the new process reacts to SIGINT, which children of a background job otherwise ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def started(command, run, *arguments, **settings):
    """Start ``onepage COMMAND --model RUN ...`` in a separate process that reacts to Ctrl-C."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "code"), "OMP_WAIT_POLICY": "PASSIVE"}
    settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    words = [sys.executable, "-m", "onepage", command, "--model", str(run), *map(str, arguments)]
    return subprocess.Popen(words, env=environment, preexec_fn=heed_ctrl_c, **settings)
