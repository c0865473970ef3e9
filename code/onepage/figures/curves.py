"""Drawing code of both tasks: the records of all seeds, and a panel of two directly labelled curves.

One seed is a line. Several seeds of the same recipe are the line of their mean, with a band of one sample standard
deviation on each side.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from onepage.errors import UserError
from onepage.figures import text as texts
from onepage.figures.sheet import HEADER, Sheet
from onepage.figures.style import MUTED, STEP
from onepage.files import read_json

TRAIN: dict[str, Any] = {"color": MUTED, "ls": (0, (3, 1.2)), "marker": "o", "mfc": "white", "clip_on": False}
VALIDATION: dict[str, Any] = {"ls": "-", "marker": "s", "clip_on": False}
MANY_POINTS = 12  # from this number on, markers would hide the line
End = tuple[float, str, list[str]]  # of a line: its last value, its colour, the lines of its label
Histories = list[list[dict[str, Any]]]  # the records of each seed


def read_seeds(run: Path, history: list[dict[str, Any]], digest: str) -> Histories:
    """The histories of all seeds of this run's recipe; [history] for one seed, or if the seeds cannot be compared.

    They come from seeds.json beside the run's folder, {"rows": [{"metrics_sha256", "history"}, ...]}. It is used if it
    lists this run, whose metrics.json has this ``digest``, and all seeds have records at the same updates. Raises
    UserError if it exists and cannot be read.
    """
    path = Path(run).parent / "seeds.json"
    if not path.is_file():
        return [history]
    try:
        rows = read_json(path)["rows"]
        histories = [row["history"] for row in rows]
        own = any(row["metrics_sha256"] == digest for row in rows)
        steps = {tuple(record["step"] for record in found) for found in histories}
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} lacks what the curves show ({error!r}); delete it and run make again") from None
    alike = own and len(histories) > 1 and steps == {tuple(record["step"] for record in history)}
    return histories if alike else [history]


def values(histories: Histories, key: str, factor: float = 1.0) -> np.ndarray:
    """One number of every record, (seeds, records); NaN, which a line skips, if a record lacks it."""
    found = [[record[key] for record in history] for history in histories]
    return factor * np.array([[np.nan if value is None else value for value in row] for row in found], dtype=float)


def draw_pair(
    axes: Axes, steps: Sequence[float], train: np.ndarray, validation: np.ndarray, hue: str, digits: int, unit: str = ""
) -> list[End]:
    """Plot the two curves, each (seeds, steps), that of validation in ``hue``.

    Returns their ends, labelled with name and last value.
    """
    plain: dict[str, Any] = {"marker": ""} if len(steps) >= MANY_POINTS else {}
    ends: list[End] = []
    of_validation = VALIDATION | {"color": hue, "mfc": hue}
    for name, seeds, look in (("train", train, TRAIN), ("validation", validation, of_validation)):
        mean = seeds.mean(axis=0)
        if len(seeds) > 1:
            half = seeds.std(axis=0, ddof=1)
            axes.fill_between(steps, mean - half, mean + half, color=look["color"], alpha=0.2, lw=0)
        axes.plot(steps, mean, **(look | plain))
        ends.append((float(mean[-1]), look["color"], [name, *last_value(seeds, digits, unit)]))
    return ends


def last_value(seeds: np.ndarray, digits: int, unit: str = "") -> list[str]:
    """The last value of a curve (seeds, steps) as lines of a label: ``87.1 %``; with several seeds also ``± 0.2``."""
    lines = [f"{seeds[:, -1].mean():.{digits}f}{unit}"]
    return lines if len(seeds) < 2 else [*lines, f"± {seeds[:, -1].std(ddof=1):.{digits}f}"]


def of_seeds(histories: Histories) -> str:
    """A note on the curves of several seeds, for the picture; "" for one seed."""
    return f"; {len(histories)} seeds, mean ± sd" if len(histories) > 1 else ""


def told(histories: Histories) -> str:
    """The sentence of a text alternative on curves of several seeds."""
    said = f" Lines are means of {len(histories)} seeds, bands one standard deviation either way."
    return said if len(histories) > 1 else ""


class Panel:
    """The place of axes on their sheet, in mm."""

    def __init__(self, sheet: Sheet, axes: Axes) -> None:
        box, self.limits = axes.get_position(), axes.get_ylim()
        self.top, self.bottom = (1 - box.y1) * sheet.height, (1 - box.y0) * sheet.height
        self.left, self.right = box.x0 * sheet.width, box.x1 * sheet.width

    def down(self, value: Any) -> Any:
        """The height of a value or of an array of values."""
        low, high = self.limits
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)


def label_ends(sheet: Sheet, axes: Axes, x: float, ends: list[End], below: float) -> None:
    """Write the labels of two lines at x mm, beside their last values, moved apart if they would touch.

    They may extend ``below`` mm under the foot of the panel.
    """
    panel = Panel(sheet, axes)
    (upper, colour, first), (lower, other, second) = sorted(
        ((panel.down(value), colour, label) for value, colour, label in ends), key=lambda end: end[0]
    )
    high, low = len(first) * STEP, len(second) * STEP
    missing = max(0.0, (high + low) / 2 + 0.6 - (lower - upper))
    upper, lower = upper - missing / 2, lower + missing / 2
    # Keep the labels between a little above the panel (under the header) and ``below`` its foot.
    shift = max(0.0, max(HEADER, panel.top - 0.7 * STEP) - (upper - high / 2))
    shift -= max(0.0, lower + low / 2 - (panel.bottom + below))
    for y, look, (name, *values) in ((upper - high / 2, colour, first), (lower - low / 2, other, second)):
        sheet.text(x, y + shift, name, colour=look, weight="bold")
        sheet.lines(x, y + shift + STEP, values, colour=look)


CLEAR = 0.5  # mm between a label and a curve that count as no contact


def label_level(
    sheet: Sheet, axes: Axes, level: float, labels: Sequence[str], steps: Sequence[float], lines: Sequence[np.ndarray]
) -> None:
    """Write the first of ``labels``, the shortest last, that touches no curve at an end of the level line.

    Its place is the one, at the left or right end, over or under the line, that is farthest from the curves ``lines``,
    each (seeds, steps); among equals, over the line at the left. If every label touches a curve, the one that is
    farthest from the curves is written.
    """
    panel, (start, end) = Panel(sheet, axes), axes.get_xlim()
    y = panel.down(level)
    best = []  # place of each label: clearance, x, y in mm
    for label in labels:
        wide, places = texts.widest([label]), []
        for x in (panel.left + 0.6, panel.right - wide - 0.3):
            across = start + (np.linspace(x, x + wide, 15) - panel.left) / (panel.right - panel.left) * (end - start)
            # A curve begins at its first record.
            inside = across[(across >= steps[0]) & (across <= steps[-1])]
            heights = np.array([panel.down(np.interp(inside, steps, line.mean(axis=0))) for line in lines])
            for up in (y - STEP, y + 0.2):
                gap = np.nanmin(np.maximum(up - heights, heights - up - STEP), initial=2.0)
                places.append((float(gap), x, up, label))
        inner = [place for place in places if panel.top - STEP / 2 <= place[2] <= panel.bottom - STEP]
        best.append(max(inner or places, key=lambda place: place[0]))  # the first of equals
    clear = (place for place in best if place[0] >= CLEAR)
    _, x, up, label = next(clear, max(best, key=lambda place: place[0]))
    sheet.text(x, up, label)
