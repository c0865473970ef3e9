"""The pictures of a task as matplotlib lays them out: every text with its box, and the problems of the layout."""

import contextlib
import functools
import itertools
from unittest import mock

import pytest

from onepage import tasks
from onepage.figures.style import DPI, MM_PER_INCH
from onepage.files import read_json

MM = DPI / MM_PER_INCH  # pixels
SMALLEST = 6.5  # points
PARTS = ("_curves", "_grids", "confusion", "reliability", "gradcam", "bleu", "decodes", "masks")


@contextlib.contextmanager
def only(module, *parts):
    """Within, the draw module of a task draws only the named PARTS; without names it draws all."""
    assert set(parts) <= set(PARTS)
    with pytest.MonkeyPatch.context() as patch:
        for other in PARTS:
            if parts and other not in parts and hasattr(module, other):
                patch.setattr(module, other, mock.Mock())
        yield


class Drawn:
    """The pictures of a task, by name, as matplotlib lays them out; nothing is written."""

    def __init__(self):
        self.sheets, self.alt = {}, {}

    def add(self, book, name, sheet, alt, facts=None):
        self.sheets[name], self.alt[name] = sheet, alt

    def __call__(self, run, *parts):
        """Draw every picture of a run, or those of the named PARTS, in place of the pictures before."""
        self.sheets.clear()
        self.alt.clear()
        module = tasks.get(read_json(run / "metrics.json")["task"]).module("draw")
        with only(module, *parts):
            module.draw(run, run / "figures")
        return self


def texts_of(sheet):
    """(text, box in mm) of every text on a sheet."""
    return [(text, box) for text, box, _, _ in laid_out(sheet)]


def written(sheet):
    """Every text on a sheet."""
    return [text for text, _ in texts_of(sheet)]


@functools.lru_cache(32)
def laid_out(sheet):
    """(text, box in mm, whether it is vertical, size in points) of every text on a sheet, which must not change."""
    sheet.figure.draw_without_rendering()
    shown = [*sheet.figure.texts]
    for axes in [*sheet.figure.axes, *(child for parent in sheet.figure.axes for child in parent.child_axes)]:
        shown += axes.texts
        if not axes.axison:
            continue
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low - 1e-9 <= tick.get_loc() <= high + 1e-9]
            shown += [label for tick in ticks for label in (tick.label1, tick.label2)]
    boxes = []
    for text in shown:
        if text.get_visible() and text.get_text().strip() and (text.axes is None or text.axes.axison):
            box = text.get_window_extent()
            place = (box.x0 / MM, box.y0 / MM, box.x1 / MM, box.y1 / MM)
            boxes.append((text.get_text(), place, text.get_rotation() == 90, text.get_fontsize()))
    return boxes


def problems(sheet, slack=0.7):
    """Texts that are small, cross the edge, or overlap by more than ``slack`` mm (a line is higher than its digits)."""
    found = []
    boxes = laid_out(sheet)
    for text, (left, low, right, high), _, size in boxes:
        if left < -0.05 or low < -0.05 or right > sheet.width + 0.05 or high > sheet.height + 0.05:
            found.append(f"{text!r} is over the edge")
        if size < SMALLEST:
            found.append(f"{text!r} is of {size} pt")
    for (one, a, upright, _), (other, b, upright_too, _) in itertools.combinations(boxes, 2):
        across, up = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if upright and upright_too:  # the height of a vertical line is horizontal, and so is the slack
            across, up = up, across
        if across > 0.1 and up > slack:
            found.append(f"{one!r} over {other!r}")
    return found
