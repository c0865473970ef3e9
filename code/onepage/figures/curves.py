"""What both tasks share: reading a run's records and arrays, and a panel of two directly labelled curves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from onepage.errors import UserError
from onepage.figures.sheet import HEADER, Sheet
from onepage.figures.style import BLUE, LINE_PT, PT_PER_MM, RED

TRAIN: dict[str, Any] = {"color": RED, "ls": (0, (3, 1.2)), "marker": "o", "mfc": "white", "clip_on": False}
VALIDATION: dict[str, Any] = {"color": BLUE, "ls": "-", "marker": "s", "mfc": BLUE, "clip_on": False}
MANY_POINTS = 25  # beyond this the markers would touch and hide the line


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of history.jsonl, oldest first. Raises UserError when there is none or it cannot be read."""
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); train again: make train") from None
    if not rows:
        raise UserError(f"{path} is empty; train again: make train")
    return rows


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file (nothing pickled). Raises UserError when it is missing or cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} is missing; evaluate the run first (see: make help)") from None
    except Exception as error:  # zipfile, zlib and numpy each raise their own on a damaged file
        raise UserError(f"{path} cannot be read ({error}); delete it and run make again") from None


def draw_pair(axes: Axes, steps: Sequence[float], train: np.ndarray, validation: np.ndarray) -> list[tuple[float, str]]:
    """Plot the two lines; gives back (last value, colour) for train and validation."""
    plain: dict[str, Any] = {"marker": ""} if len(steps) > MANY_POINTS else {}
    axes.plot(steps, train, **(TRAIN | plain))
    axes.plot(steps, validation, **(VALIDATION | plain))
    return [(float(train[-1]), RED), (float(validation[-1]), BLUE)]


def label_ends(sheet: Sheet, axes: Axes, x: float, ends: list[tuple[float, str]], labels: list[list[str]]) -> None:
    """Write each line's label (a list of short lines) at x mm, beside its last value, moved apart where they meet."""
    box, (low, high) = axes.get_position(), axes.get_ylim()
    top, bottom = (1 - box.y1) * sheet.height, (1 - box.y0) * sheet.height
    step = LINE_PT / PT_PER_MM
    heights = [len(label) * step for label in labels]
    wanted = [bottom - (value - low) / (high - low) * (bottom - top) for value, _ in ends]
    order = sorted(range(len(ends)), key=lambda i: wanted[i])
    upper, lower = order[0], order[-1]
    centres = dict(zip(range(len(ends)), wanted, strict=True))
    if len(order) == 2:
        gap = (heights[upper] + heights[lower]) / 2 + 0.6
        missing = gap - (centres[lower] - centres[upper])
        if missing > 0:
            centres[upper], centres[lower] = centres[upper] - missing / 2, centres[lower] + missing / 2
    # Keep the block of labels between a little above the panel (under the header) and a little below its foot.
    over = max(0.0, max(HEADER, top - 0.7 * step) - (centres[upper] - heights[upper] / 2))
    under = max(0.0, centres[lower] + heights[lower] / 2 - (bottom + step))
    centres = {i: y + over - under for i, y in centres.items()}
    for i, (_, colour) in enumerate(ends):
        for k, line in enumerate(labels[i]):
            weight = "bold" if k == 0 else "normal"
            sheet.text(x, centres[i] - heights[i] / 2 + k * step, line, colour=colour, weight=weight)


def finite(values: Sequence[float]) -> np.ndarray:
    """Values as an array with anything that is not a number left out of the line (drawn as a gap)."""
    return np.array([np.nan if value is None else value for value in values], dtype=float)
