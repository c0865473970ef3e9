"""Event files for TensorBoard, with LOG=tensorboard: the history of a run, in its folder."""

import datetime
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onepage.errors import UserError


def asked() -> bool:
    """Whether LOG requests event files; raises UserError if the package is missing."""
    if os.environ.get("LOG") != "tensorboard":
        return False
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        pip = f"{sys.executable} -m pip"
        raise UserError(f"LOG=tensorboard needs its package ({error}); run: {pip} install tensorboard") from None
    return True


def write(run: Path, started: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write all rows as one event file in place of the one before, so that a resumed run has each step once.

    ``started``: when the run began; the time of each row is that plus its ``seconds`` of training.
    """
    from torch.utils.tensorboard import SummaryWriter

    begun = datetime.datetime.fromisoformat(started).timestamp()
    for before in run.glob("events.out.tfevents.*"):
        before.unlink()
    with SummaryWriter(run, purge_step=0) as writer:  # a running TensorBoard discards the old file
        for row in rows:
            for name in row.keys() - {"step", "seconds"}:
                writer.add_scalar(name, row[name], row["step"], begun + row["seconds"])
