"""A forest plot: a row a score, a dot with its 95 % interval on one scale, and its numbers in columns at the right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import MaxNLocator

from onepage.figures import text as texts
from onepage.figures.sheet import Sheet
from onepage.figures.style import INK, LINE_PT, MUTED, PT_PER_MM, RED

STEP = LINE_PT / PT_PER_MM
MIDDLE = 1.1  # mm from the top of a line to the middle of its small letters
GAP = 1.2  # mm between labels, plot and columns
TICKS = 3.3  # mm that the numbers under the axis take
BAND = "#99aabb"
Look = dict[str, Any]
DOT: Look = {"marker": "o", "ms": 2.4, "mfc": INK, "mec": INK, "mew": 0.7, "ls": ""}
DIAMOND: Look = {"marker": "D", "ms": 2.2, "mfc": "white", "mec": INK, "mew": 0.7, "ls": ""}
BAR: Look = {"marker": "|", "ms": 4.2, "mec": "#996600", "mew": 1.3, "ls": ""}


@dataclass(frozen=True)
class Row:
    """A row: a score and what stands beside it."""

    label: str
    score: float
    interval: Sequence[float] | None
    """Low and high end of the band; None: no band."""
    cells: Sequence[str]
    """Texts of the columns at the right, as many in each row."""
    colour: str = INK
    strong: bool = False
    """Label and numbers bold and in ``colour``."""
    hollow: bool = False
    """A diamond in place of the dot."""
    under: float | None = None
    """A second score on the scale, a diamond beneath the dot."""
    published: float | None = None
    """Another's result, a bar: beside the diamond."""
    floor: float | None = None
    """What is claimed at least, a dashed line."""


def common_scale(rows: Sequence[Row]) -> tuple[float, float]:
    """A scale on which every score, interval and mark of the rows lies; from 0 where that is near."""
    values: list[float] = []
    for row in rows:
        values += [row.score, *(row.interval or ())]
        values += [value for value in (row.under, row.published, row.floor) if value is not None]
    low, high = min(values), max(values)
    start = 0.0 if low < max(10.0, 0.25 * high) else 5.0 * math.floor((low - 2) / 5)
    return start, max(start + 10.0, high + 0.04 * (high - start))


class Forest:
    """The axis and columns of some rows, from x to ``end`` mm; the labels end at ``left``, where the axis begins."""

    def __init__(
        self,
        sheet: Sheet,
        rows: Sequence[Row],
        scale: tuple[float, float],
        *,
        x: float,
        left: float,
        end: float,
        top: float,
        height: float,
        ticks: int,
    ) -> None:
        self.sheet, self.x, self.left, self.top = sheet, x, left, top
        self.columns: list[float] = []  # right edges, the first column first
        for number in reversed(range(len(rows[0].cells))):
            self.columns.insert(0, end)
            widths = [texts.width(row.cells[number], "bold" if row.strong else "normal") for row in rows]
            end -= max(widths) / PT_PER_MM + GAP
        self.per_unit = (end - left) / (scale[1] - scale[0])  # mm
        self.start = scale[0]
        self.axes = sheet.axes(left, top, end - left, height)
        self.axes.set(xlim=scale, ylim=(height, 0), yticks=[])
        self.axes.spines["left"].set_visible(False)
        self.axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=True))

    def draw(self, row: Row, y: float, height: float) -> None:
        """Draw a row whose top is at y mm and that is ``height`` mm high."""
        weight, colour = ("bold", row.colour) if row.strong else ("normal", INK)
        line = y + (height - STEP) / 2 if row.under is None else y
        label = texts.fit(row.label, (self.left - self.x - GAP) * PT_PER_MM, weight)
        self.sheet.text(self.left - GAP, line, label, colour=colour, weight=weight, align="right")
        for right, cell in zip(self.columns, row.cells, strict=True):
            self.sheet.text(right, line, cell, colour=colour, weight=weight, align="right")
        middle, below = line + MIDDLE - self.top, y - self.top + height - 0.75
        if row.interval:
            band: Look = {"color": BAND, "lw": 2.8, "solid_capstyle": "butt"}
            self.axes.plot(list(row.interval), [middle] * 2, clip_on=False, **band)
        self._mark(row.score, middle, DIAMOND if row.hollow else DOT | {"mfc": row.colour, "mec": row.colour})
        if row.under is not None:
            self._mark(row.under, below, DIAMOND)
        if row.published is not None:
            self._mark(row.published, middle if row.under is None else below, BAR)
        if row.floor is not None:
            self._floor(row, row.floor, line, y - self.top, height)

    def _mark(self, value: float, y: float, look: Look) -> None:
        self.axes.plot([value], [y], clip_on=False, **look)

    def _floor(self, row: Row, floor: float, line: float, y: float, height: float) -> None:
        """The dashed line of a claim, named on the side that has room."""
        self.axes.plot([floor] * 2, [y + 0.1, y + height - 0.1], color=RED, lw=0.9, ls=(0, (2, 1)), zorder=0)
        place, word = self.left + (floor - self.start) * self.per_unit, "floor"
        room = texts.width(word) / PT_PER_MM + 1.4
        reach = [row.score, *(row.interval or ())]
        if min(reach) > floor + room / self.per_unit or max(reach) < floor:
            self.sheet.text(place + 0.7, line, word, colour=RED)
        elif place - self.left > room:
            self.sheet.text(place - 0.7, line, word, colour=RED, align="right")


def legend(sheet: Sheet, x: float, y: float, looks: Sequence[tuple[str, Look]]) -> None:
    """What marks are, in a line of text from x mm on."""
    ground = sheet.axes(0, 0, sheet.width, sheet.height)
    ground.set(xlim=(0, sheet.width), ylim=(sheet.height, 0))
    ground.set_axis_off()
    for label, look in looks:
        ground.plot([x + 0.9], [y + MIDDLE], **look)
        sheet.text(x + 2.2, y, label, colour=MUTED)
        x += 2.2 + texts.width(label) / PT_PER_MM + 1.6
