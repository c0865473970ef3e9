"""Draw every picture of an image-classification run: curves and grids of predictions here, the others in their modules.

Arrays and JSON in, pictures out; no torch. Sizes are in mm and final: nothing is scaled on the page.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from onepage.cls.facts import SHORT
from onepage.cls.figures import confusion, gradcam, reliability
from onepage.cls.figures.gradcam import image_side
from onepage.figures import curves
from onepage.figures import text as texts
from onepage.figures.sheet import FULL, HALF, Book, Sheet
from onepage.figures.style import BLUE, FAINT, INK, MUTED, PT_PER_MM, RED, STEP, onepage_style
from onepage.figures.text import percent
from onepage.files import read_arrays
from onepage.runs import history
from onepage.training.schedules import SCHEDULES

CURVES = 43.0  # mm, the height of the learning curves
FLOOR = 80.0  # percent, the claim drawn in the curves; the claim itself is in report/claims.toml
STAIRS = "#dfe5ec"  # a pale fill that dark text stands on
GRID = 42.0  # mm, the height of a grid
ROWS, COLUMNS = 2, {"correct": 5, "wrong": 4}  # of a grid


def draw(run: Path, out: Path) -> None:
    """Draw the finished run folder ``run`` into the folder ``out``.

    Raises UserError when a file of the run is missing or cannot be read.
    """
    book = Book(run, out)
    predictions, explain = read_arrays(book.run / "predictions.npz"), read_arrays(book.run / "explain.npz")
    records = history.read(book.run / "history.jsonl")
    with onepage_style():
        _curves(book, records)
        confusion.draw_all(book)
        _grids(book, predictions)
        reliability.draw(book)
        gradcam.draw_mistakes(book, explain, predictions)
        gradcam.draw_all(book, explain)
        book.close()


def _curves(book: Book, records: list[dict[str, Any]]) -> None:
    histories = curves.read_seeds(book.run, records, book.digest)
    sheet = book.sheet(FULL, CURVES, f"Loss (nats){curves.of_seeds(histories)}")
    epochs, last = [row["epoch"] for row in records], records[-1]
    seconds = curves.values(histories, "seconds").mean(axis=0)
    top, height, panel, foot = 4.2, 25.5, 27.5, 7.2
    under, stretches, rates = top + height + 2.1, stages(book.metrics), learning_rates(book.metrics, records)
    floor = book.metrics["set"] == "cifar10"
    told = []
    for left, key, factor, digits, unit in ((7.0, "loss", 1, 2, ""), (54.0, "accuracy", 100, 1, " %")):
        axes, beneath = sheet.axes(left, top, panel, height), sheet.axes(left, under, panel, foot)
        train, validation = (curves.values(histories, f"{part}_{key}", factor) for part in ("train", "val"))
        ends = curves.draw_pair(axes, epochs, train, validation, BLUE, digits, unit)
        for each in (axes, beneath):
            each.set_xlim(0, last["epoch"])
            each.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            for _, start, _ in stretches[1:]:
                each.axvline(start, color=FAINT, lw=0.5, ls=(0, (1, 1.5)), zorder=0)
        axes.tick_params(labelbottom=False)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        if floor and key == "accuracy":
            axes.axhline(FLOOR, color=INK, lw=0.6, ls=(0, (1, 1)), zorder=0.5)
            names = [f"test floor {FLOOR:g} %", f"floor {FLOOR:g} %"]
            curves.label_level(sheet, axes, FLOOR, names, epochs, [train, validation])
        right = left + panel + 1.6
        curves.label_ends(sheet, axes, right, ends, below=1.2)
        sheet.text(right + 1.0, top + height + foot + 3.5, "epoch", colour=MUTED)
        told += [train[:, -1].mean(), validation[:, -1].mean()]
        if key == "loss":
            peak = max(*rates[1], 1e-12)
            beneath.plot(*rates, color=INK, lw=0.9, marker="" if len(rates[1]) > 1 else "o", clip_on=False)
            beneath.set_ylim(0, 1.08 * peak)
            beneath.set_yticks([0, peak], ["0", f"{peak:.2g}"])
            sheet.lines(right, under + 0.4, ["learning", "rate"])
        else:
            _image_sizes(sheet, beneath, stretches, left, panel, under)
            sheet.lines(right, under + 0.4, ["image", "size, px"])
    sheet.text(47.6, 0.5, "Accuracy (%)", weight="bold")
    sizes = ", then ".join(f"{size} px" for size in dict.fromkeys(row["image_size"] for row in records))
    mean = " on average" if len(histories) > 1 else ""
    alt = (
        f"Two line charts over {last['epoch']:.3g} epoch{'' if last['epoch'] == 1 else 's'} (images of {sizes}) and "
        f"{seconds[-1] / 60:.3g} minutes of training{mean}. Loss ends at {told[0]:.2f} nats in training (augmented "
        f"images, smoothed labels) and {told[1]:.2f} on validation; accuracy ends at {told[2] / 100:.1%} and "
        f"{told[3] / 100:.1%}. Beneath, the learning rate, at most {max(rates[1]):.3g}, and the image size."
        f"{curves.told(histories)}"
    )
    if floor:
        alt += f" A line marks the floor of {FLOOR:g} % that is claimed for test accuracy."
    book.add("curves_cls", sheet, alt)


def learning_rates(metrics: dict[str, Any], records: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Epochs and learning rates: the recipe's schedule if the recorded rates lie on it, otherwise the recorded rates.

    Rates are recorded at validations, and there may be none during the warm-up.
    """
    recorded = [row["epoch"] for row in records], [row["learning_rate"] for row in records]
    recipe, last = metrics["recipe"], records[-1]
    if recipe["schedule"] not in SCHEDULES:
        return recorded
    peak, shape = recipe[f"{recipe['optimiser']}_learning_rate"], SCHEDULES[recipe["schedule"]]
    said = [peak * shape(row["step"] / last["step"], recipe["warmup"]) for row in records]
    if not np.allclose(said, recorded[1], atol=0.01 * peak):
        return recorded
    progress = sorted({*np.linspace(0, 1, 101).tolist(), recipe["warmup"]})
    return [last["epoch"] * x for x in progress], [peak * shape(x, recipe["warmup"]) for x in progress]


def stages(metrics: dict[str, Any]) -> list[list[float]]:
    """[image size, first epoch, last epoch] of each stage of the recipe."""
    rows = metrics["recipe"]["stages"]
    ends = list(itertools.accumulate((row["epochs"] for row in rows), initial=0.0))
    return [[row["image_size"], *span] for row, span in zip(rows, itertools.pairwise(ends), strict=True)]


def _image_sizes(sheet: Sheet, axes: Axes, stretches: list[list[float]], left: float, panel: float, y: float) -> None:
    """The image size as steps, with the number of pixels at the foot of each step where it fits."""
    low, high = axes.get_xlim()
    axes.set(ylim=(0, 1.08 * max(size for size, _, _ in stretches)), yticks=[])
    axes.spines["left"].set_visible(False)
    free_from = left
    for size, start, end in (stretch for stretch in stretches if stretch[1] < high):
        axes.fill_between([start, min(end, high)], size, color=STAIRS, lw=0, zorder=-1)
        middle = left + (start + min(end, high)) / 2 / (high - low) * panel
        half = texts.widest([f"{size:.0f}"]) / 2
        if middle - half >= free_from and middle + half <= left + panel + 0.3:
            sheet.text(middle, y + 3.1, f"{size:.0f}", ha="center")
            free_from = middle + half + 0.8


def _grids(book: Book, arrays: dict[str, np.ndarray]) -> None:
    names, logits, labels = book.metrics["class_names"], arrays["logits"].astype(np.float64), arrays["labels"]
    raised = np.exp(logits - logits.max(1, keepdims=True))
    confidence = (raised / raised.sum(1, keepdims=True)).max(1)
    predicted, n = logits.argmax(1), len(logits)

    def pair(i: int) -> tuple[str, str]:
        return names[labels[i]], names[predicted[i]]

    for name, kind, adverb in (("preds_grid", "correct", "correctly"), ("miscls_grid", "wrong", "wrongly")):
        # The images of a grid, the most confident first, from those that the evaluation kept.
        columns = COLUMNS[kind]
        index = arrays[f"{kind}_index"][: ROWS * columns]
        order = np.argsort(-confidence[index], kind="stable")
        index, images = index[order], arrays[f"{kind}_images"][: ROWS * columns][order]
        found = [(SHORT.get(a, a), SHORT.get(b, b), percent(confidence[i])) for i in index for a, b in [pair(i)]]
        if kind == "correct":
            captions = [[(best, INK), (sure, MUTED)] for _, best, sure in found]
            # Not simply the most confident: evaluate takes the classes in turn, so that the grid shows each.
            alt = f"{len(index)} correct test predictions, the most confident of each class first, out of {n} images: "
            alt += ", ".join(f"{best} {sure}" for _, best, sure in found)
        else:
            captions = [[(true, INK), (f"→ {best}", RED), (sure, MUTED)] for true, best, sure in found]
            alt = f"The {len(index)} wrong test predictions with the highest confidence, of {n} images: "
            alt += ", ".join(f"{true} taken for {best} {sure}" for true, best, sure in found)
        empty = f"None of the {n} test images is classified {adverb}."
        _grid(book, name, columns, images, captions, f"{alt}.", empty)


def _grid(
    book: Book, name: str, columns: int, images: np.ndarray, captions: list[list[tuple[str, str]]], alt: str, empty: str
) -> None:
    """Images in two rows, with lines (text, colour) beneath each."""
    sheet = book.sheet(HALF, GRID)
    top, cell = book.top, HALF / columns
    row = (GRID - top - STEP - 0.4) / ROWS
    side = min(image_side(columns), row - 0.3 - STEP * max(map(len, captions), default=0))
    room = (cell - 0.2) * PT_PER_MM
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = (k % columns) * cell, top + (k // columns) * row
        sheet.image(x + (cell - side) / 2, y, side, side, image)
        for number, (line, colour) in enumerate(caption):
            sheet.text(x + cell / 2, y + side + 0.3 + number * STEP, texts.fit(line, room), colour=colour, ha="center")
    if captions:
        note = "confidence: softmax before calibration"
        sheet.text(HALF / 2, GRID - STEP - 0.2, note, colour=MUTED, ha="center")
    else:
        sheet.lines(HALF / 2, GRID / 2 - 4, texts.wrap(empty, 100), colour=MUTED, ha="center")
    book.add(name, sheet, alt if captions else empty)
