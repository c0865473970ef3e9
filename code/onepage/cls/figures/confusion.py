"""Confusion matrices: shares at half a column for the page, shares and counts in every cell at a column's width.

The order of CIFAR-10's ten classes puts similar ones side by side: a block of vehicles, then a block of animals, each
outlined. Other classes keep their order. Correct classifications are grey, mistakes red. The two classes that are
confused most often are outlined.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from onepage.cls.facts import SHORT
from onepage.figures import text as texts
from onepage.figures.sheet import FULL, HALF, HEADER, Book, Sheet
from onepage.figures.style import INK, LINE_PT, MUTED, REDS, STEP
from onepage.figures.text import percent

VEHICLES = ("airplane", "ship", "automobile", "truck")
ANIMALS = ("bird", "frog", "deer", "horse", "cat", "dog")
RIGHT = "#e2e2e2"  # colour of the cells on the diagonal
LEAST = 4.0  # percent: least value of the darkest colour, so that rare mistakes stay pale
DARK = 0.21  # relative luminance below which white text has more contrast than our ink
Place = tuple[float, float, float, float]  # left, top, width, height in mm
Cells = list[tuple[int, int]]  # row, column


def draw_all(book: Book) -> None:
    """Draw confusion_matrix and confusion_counts."""
    test, names = book.metrics["test"], list(book.metrics["class_names"])
    order = order_of(names)
    counts, mistakes = np.array(test["confusion"]), np.array(test["confusion"]) * ~np.eye(len(names), dtype=bool)
    # The most frequent mistake (the first of equals, as in top_confusions) and its converse, if they occur.
    i, j = (int(place) for place in np.unravel_index(mistakes.argmax(), mistakes.shape))
    marked = [(order.index(row), order.index(column)) for row, column in ((i, j), (j, i)) if mistakes[row, column]]
    for draw in (_shares, _counts):
        shown = [texts.fit(SHORT.get(names[i], names[i]), 34) for i in order]
        draw(book, counts[np.ix_(order, order)], shown, _in_blocks(names), marked, _alt(test, names))


def order_of(names: list[str]) -> list[int]:
    """The classes in the order of the matrix."""
    return [names.index(name) for name in VEHICLES + ANIMALS] if _in_blocks(names) else list(range(len(names)))


def _in_blocks(names: list[str]) -> bool:
    """Whether these are CIFAR-10's classes, which the matrix shows as vehicles and animals."""
    return sorted(names) == sorted(VEHICLES + ANIMALS)


def _shares(book: Book, counts: np.ndarray, names: list[str], blocks: bool, marked: Cells, alt: str) -> None:
    sheet = book.sheet(HALF, HALF)
    head, right = book.top, 3.9 if blocks else 0.8
    # The axis title is beside the animals, whose names are short; with other classes, beside all.
    first = len(VEHICLES) if blocks else 0
    beside = texts.widest(names[first:]) + 1.6
    left = max(texts.widest(names), beside + STEP - 1.2) + 1.6
    place = left, head, HALF - left - right, HALF - head - left - 0.4
    share = _share(counts)
    text = [[f"{int(value + 0.5)}" if value >= 0.5 else "" for value in row] for row in share]
    axes = _heat(sheet, place, share, names, marked, annot=np.array(text), fmt="s", annot_kws={"size": 6.5})
    ink = _ink(share)
    for written in axes.texts:  # seaborn's own threshold is for black text
        x, y = written.get_position()
        written.set_color(ink[int(y)][int(x)])
    for i, value in enumerate(np.diag(share)):
        # No share rounds up to 100 %, and three digits are wider than a cell.
        label = "all" if value == 100 else f"{min(99, int(value + 0.5))}" if counts[i].any() else ""
        axes.text(i + 0.5, i + 0.5, label, ha="center", va="center", fontweight="bold")
    along = (first + len(names)) / 2 / len(names)
    across, down = left - beside - STEP / 2, head + place[3] + beside
    sheet.text(left + along * place[2], down, "predicted class", colour=MUTED, ha="center")
    middle = head + along * place[3]
    sheet.text(across, middle, "true class", colour=MUTED, rotation=90, ha="center", va="center")
    if blocks:
        _blocks(sheet, axes, place, HALF - right + 0.7)
    sheet.lines(0.6, HALF - 3 * STEP - 0.2, ["% of", "true", "class"], colour=MUTED)
    book.add("confusion_matrix", sheet, alt)


def _counts(book: Book, counts: np.ndarray, names: list[str], blocks: bool, marked: Cells, alt: str) -> None:
    """Share over count in each cell; recall at the end of each row, precision at the foot of each column."""
    n, share = len(names), _share(counts)
    names_width, side_width = texts.widest(names) + 1.6, texts.widest([*names, "precision"]) + 1.6
    side, right, top, cell = side_width + 2.2, 15.0, HEADER + 2.6, 2 * STEP + 0.7
    foot = names_width + 2 * STEP + 0.4
    place = side, top, FULL - side - right, n * cell
    sheet = book.sheet(FULL, round(top + n * cell + foot + 0.4, 1), "% of true class (row), over the number of images")
    axes = _heat(sheet, place, share, names, marked)
    axes.tick_params(axis="x", pad=1.2 + LINE_PT)
    width = place[2] / n
    ink = _ink(share)
    for i, j in np.argwhere(counts):
        x, y, colour = side + (j + 0.5) * width, top + i * cell + 0.3, ink[i][j]
        label = f"{share[i, j]:.1f}" if share[i, j] < 99.95 else "100"
        sheet.text(x, y, label, colour=colour, weight="bold", ha="center")
        sheet.text(x, y + STEP, f"{counts[i, j]}", colour=colour, ha="center")
    end = FULL - right + 0.9
    for i, hit in enumerate(np.diag(counts)):
        recall, precision = (percent(hit / max(1, line.sum())) for line in (counts[i], counts[:, i]))
        sheet.text(end, top + (i + 0.5) * cell - STEP / 2, recall, colour=MUTED)
        sheet.text(side + (i + 0.5) * width, top + n * cell + 0.3, precision, colour=MUTED, ha="center")
    sheet.text(end, top - STEP - 0.1, "recall", colour=MUTED)
    sheet.text(side - 1.2, top + n * cell + 0.3, "precision", colour=MUTED, ha="right")
    sheet.text(1.6, top + n * cell / 2, "true class", colour=MUTED, rotation=90, ha="center", va="center")
    middle = side + place[2] / 2
    sheet.text(middle, sheet.height - STEP - 0.2, "predicted class", colour=MUTED, ha="center")
    if blocks:
        _blocks(sheet, axes, place, FULL - 4.0)
    book.add("confusion_counts", sheet, f"With the number of images in every cell. {alt}")


def _share(counts: np.ndarray) -> np.ndarray:
    """Percent of each row."""
    return 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))


def _norm(share: np.ndarray) -> Normalize:
    """The colour scale, up to a little above the most frequent mistake, whose cell is then dark but not black."""
    mistakes = share * ~np.eye(len(share), dtype=bool)
    return Normalize(0, max(LEAST, 1.1 * float(mistakes.max())))


def _ink(share: np.ndarray) -> list[list[str]]:
    """The colour of the text of each cell."""
    dark = REDS(_norm(share)(share))[..., :3] ** 2.2 @ (0.2126, 0.7152, 0.0722) < DARK  # approximately as in sRGB
    return [["white" if dark[i, j] and i != j else INK for j in range(len(share))] for i in range(len(share))]


def _heat(sheet: Sheet, place: Place, share: np.ndarray, names: list[str], marked: Cells, **annotation: Any) -> Axes:
    """The matrix without text on its diagonal; the cells ``marked`` are outlined."""
    import seaborn  # here, because it imports pandas and takes a second

    axes = sheet.axes(*place)
    look = {"cmap": REDS, "norm": _norm(share), "cbar": False, "linewidths": 0.4, "linecolor": "#e6e6e6"}
    diagonal = np.eye(len(names), dtype=bool)
    seaborn.heatmap(share, ax=axes, mask=diagonal, xticklabels=names, yticklabels=names, **look, **annotation)
    for i in range(len(names)):
        axes.add_patch(Rectangle((i, i), 1, 1, fc=RIGHT, ec="white", lw=0.4))
    for row, column in marked:
        axes.add_patch(Rectangle((column, row), 1, 1, fill=False, ec=INK, lw=1.2, clip_on=False, zorder=4))
    axes.tick_params(length=0, pad=1.2)
    axes.set_xticklabels(names, rotation=90)
    axes.set_yticklabels(names, rotation=0)
    return axes


def _blocks(sheet: Sheet, axes: Axes, place: Place, x: float) -> None:
    """Outline the vehicles and the animals, and name them upright at x."""
    _, top, _, height = place
    n, classes = len(VEHICLES), len(VEHICLES + ANIMALS)
    for first, last, label in ((0, n, "vehicles"), (n, classes, "animals")):
        side = last - first
        axes.add_patch(Rectangle((first, first), side, side, fill=False, ec=MUTED, lw=0.5, clip_on=False, zorder=3))
        y = [top + height * k / classes for k in (first, last)]
        sheet.line([x, x], [y[0] + 0.5, y[1] - 0.5], colour=MUTED)
        sheet.text(x + 0.4, sum(y) / 2, label, colour=MUTED, rotation=270, va="center")


def _alt(test: dict[str, Any], names: list[str]) -> str:
    recalls = sorted(test["per_class"], key=lambda entry: entry["recall"])
    alt = (
        f"Confusion matrix of {len(names)} classes on {test['n']} test images, each row in percent of its true class; "
        f"{test['accuracy']:.1%} of all images are right. Best recognised: {recalls[-1]['name']} "
        f"({recalls[-1]['recall']:.1%}); worst: {recalls[0]['name']} ({recalls[0]['recall']:.1%}). "
    )
    if test["top_confusions"]:
        pair = test["top_confusions"][0]
        alt += (
            f"Most confused: {pair['true']} taken for {pair['predicted']}, {pair['count']} images "
            f"({pair['share']:.1%} of that class), outlined."
        )
    else:
        alt += "No image is misclassified."
    return alt
