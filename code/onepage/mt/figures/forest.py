"""A forest plot: one row per score, with a dot on its 95 % interval, and its numbers in columns at the right.

Every place is in mm from the top left corner of the sheet, every score in the units of the scale.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import MaxNLocator

from onepage.figures import text as texts
from onepage.figures.sheet import Sheet
from onepage.figures.style import INK, MUTED, PT_PER_MM, STEP

MIDDLE = 1.1  # mm from the top of a line to the middle of its small letters
GAP = 1.2  # mm between labels, plot and columns
TICKS = 3.3  # mm that the numbers under the axis take
BAND = "#9fbdb8"
GUIDE = "#e4e4e4"
Look = dict[str, Any]
Span = tuple[float, float]
Place = tuple[float, float, float, float, float]  # mm: x, left, end, top, height
DOT: Look = {"marker": "o", "ms": 2.3, "mfc": INK, "mec": INK, "mew": 0.7, "ls": ""}
RING: Look = DOT | {"mfc": "white", "ms": 2.7}
TICK: Look = {"marker": "|", "ms": 5.4, "mec": "#777777", "mew": 1.6, "ls": ""}


@dataclass(frozen=True)
class Row:
    """A row: a score and its texts."""

    label: str
    score: float
    interval: Sequence[float]  # low and high end of the band
    cells: Sequence[str]  # texts of the columns at the right, as many in each row
    colour: str = INK  # of the mark
    text: str = INK  # colour of label and numbers
    strong: bool = False  # label and numbers bold and in ``colour``
    hollow: bool = False  # measured differently from its neighbours: a ring on a thin line, not a dot on a band
    published: float | None = None  # a published result: a vertical tick
    floor: float | None = None  # the floor of a claim: a dashed line

    @property
    def weight(self) -> str:
        """The font weight of label and numbers."""
        return "bold" if self.strong else "normal"


def common_scale(rows: Sequence[Row]) -> Span:
    """A scale that contains every score, interval and mark of the rows; from 0 if that is near."""
    values: list[float] = []
    for row in rows:
        values += [row.score, *row.interval]
        values += [value for value in (row.published, row.floor) if value is not None]
    low, high = min(values), max(values)
    start = 0.0 if low < max(10.0, 0.25 * high) else 5.0 * math.floor((low - 2) / 5)
    return start, max(start + 10.0, high + 0.04 * (high - start))


class Forest:
    """The axis and columns of some rows, at x, left and end mm; the labels end at left, where the axis begins."""

    def __init__(
        self, sheet: Sheet, rows: Sequence[Row], scale: Span, place: Place, ticks: int, heads: Sequence[str] = ()
    ) -> None:
        """``heads``: the heads of the columns, one for each, or none."""
        (self.x, self.left, end, self.top, height), self.sheet, self.heads = place, sheet, heads
        self.columns: list[float] = []  # right edges, the first column first
        for number in reversed(range(len(rows[0].cells))):
            self.columns.insert(0, end)
            widths = [texts.width(row.cells[number], row.weight) for row in rows]
            widths += [texts.width(head) for head in heads[number : number + 1]]
            end -= max(widths) / PT_PER_MM + GAP
        self.per_unit = (end - self.left) / (scale[1] - scale[0])  # mm
        self.scale = scale
        self.axes = sheet.axes(self.left, self.top, end - self.left, height)
        self.axes.set(xlim=scale, ylim=(height, 0), yticks=[])
        self.axes.spines["left"].set_visible(False)
        self.axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=True))

    def name(self, axis: str, y: float) -> None:
        """Write the axis title before the numbers of the axis, and the heads of the columns in the line at y mm."""
        for right, head in zip(self.columns, self.heads, strict=True):
            self.sheet.text(right, y, head, colour=MUTED, ha="right")
        line = self.top + self.axes.get_ylim()[0] + TICKS - STEP + 1.17
        self.sheet.text(self.left - GAP - 0.6, line, axis, colour=MUTED, ha="right")

    def draw_rows(self, rows: Sequence[Row], y: float, pitch: float, *, guides: bool = False) -> float:
        """Draw rows ``pitch`` mm high from y mm on, over upright lines at the ticks; returns where they end."""
        low, high = self.scale
        for tick in self.axes.xaxis.get_majorticklocs():
            if guides and low <= tick <= high:
                place = [y - self.top, y - self.top + len(rows) * pitch]
                self.axes.plot([tick] * 2, place, color=GUIDE, lw=0.5, zorder=-2, clip_on=False, gid="guide")
        for row in rows:
            self._draw(row, y, pitch)
            y += pitch
        return y

    def _draw(self, row: Row, y: float, height: float) -> None:
        """Draw a row whose top is at y mm and that is ``height`` mm high."""
        weight, colour = row.weight, row.colour if row.strong else row.text
        line = y + (height - STEP) / 2
        label = texts.fit(row.label, (self.left - self.x - GAP) * PT_PER_MM, weight)
        self.sheet.text(self.left - GAP, line, label, colour=colour, weight=weight, ha="right")
        for right, cell in zip(self.columns, row.cells, strict=True):
            self.sheet.text(right, line, cell, colour=colour, weight=weight, ha="right")
        middle = line + MIDDLE - self.top
        if row.floor is not None:
            self._floor(row, row.floor, line, y - self.top, height)
        # With few sentences, a bootstrap interval can exceed the scale of possible scores.
        ends = [max(row.interval[0], self.scale[0]), row.interval[1]]
        band: Look = {"color": row.colour, "lw": 0.9} if row.hollow else {"color": BAND, "lw": 3.4}
        self.axes.plot(ends, [middle] * 2, clip_on=False, solid_capstyle="butt", gid="interval", **band)
        if row.published is not None:
            self.axes.plot([row.published], [middle], clip_on=False, **TICK)
        look = (RING if row.hollow else DOT | {"mfc": row.colour}) | {"mec": row.colour}
        self.axes.plot([row.score], [middle], clip_on=False, **look)

    def _floor(self, row: Row, floor: float, line: float, y: float, height: float) -> None:
        """The dashed line of a claim, named on the side that has room."""
        dash = (height - 0.2) * PT_PER_MM / 4  # three dashes, two gaps half as long: whole at both ends
        look: Look = {"color": INK, "lw": 0.8, "ls": (0, (dash, dash / 2)), "dash_capstyle": "butt", "zorder": 1}
        self.axes.plot([floor] * 2, [y + 0.1, y + height - 0.1], gid="floor", **look)
        reach = [row.score, *row.interval]
        for word in (f"floor {floor:g}", f"≥ {floor:g}"):
            room = (texts.width(word) / PT_PER_MM + 1.4) / self.per_unit
            if min(reach) > floor + room or max(reach) < floor:
                side, align = 1, "left"
                break
            if floor - self.scale[0] > room:
                side, align = -1, "right"
                break
        else:
            return
        # No line may cross the word.
        ends, middle = [floor + side * 0.4 / self.per_unit, floor + side * room], line + MIDDLE - self.top
        self.axes.plot(ends, [middle] * 2, color="white", lw=6, solid_capstyle="butt", zorder=-1, gid="ground")
        place = self.left + (floor - self.scale[0]) * self.per_unit + side * 0.7
        self.sheet.text(place, line, word, ha=align)


def draw_key(sheet: Sheet, x: float, end: float, y: float, look: Look, label: str) -> None:
    """The key of a mark, in a line of text from x mm on, or from further left if it would exceed ``end``."""
    x = min(x, end - 1.6 - texts.width(label) / PT_PER_MM)
    ground = sheet.axes(0, 0, sheet.width, sheet.height)
    ground.set(xlim=(0, sheet.width), ylim=(sheet.height, 0))
    ground.set_axis_off()
    ground.plot([x + 0.6], [y + MIDDLE], **look)
    sheet.text(x + 1.6, y, label, colour=look["mec"])
