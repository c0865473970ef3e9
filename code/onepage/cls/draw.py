"""Draw every picture of an image-classification run: curves and grids of predictions here, the others in their modules.

Arrays and JSON in, pictures out; no torch. Sizes are in mm and final: nothing is scaled on the page.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from onepage.cls.figures import confusion, gradcam, reliability
from onepage.figures import curves
from onepage.figures import text as texts
from onepage.figures.curves import read_arrays, read_history
from onepage.figures.sheet import FULL, HALF, HEADER, Book, Sheet
from onepage.figures.style import BLUE, FAINT, INK, MUTED, PT_PER_MM, RED, STEP, onepage_style
from onepage.figures.text import percent
from onepage.training.schedules import SCHEDULES

CURVES = 43.0  # mm, the height of the learning curves
FLOOR = 80.0  # percent, the claim drawn over the accuracy; report/claims.toml is what is checked
STAIRS = "#dfe5ec"  # a pale fill that dark text stands on
ROWS, COLUMNS, IMAGE = 2, 4, 10.2  # of a grid; the side of an image in mm


def draw(run: Path, out: Path) -> None:
    """Draw the finished run folder ``run`` into the folder ``out``.

    Raises UserError when a file of the run is missing or cannot be read.
    """
    book = Book(run, out)
    predictions, explain = read_arrays(book.run / "predictions.npz"), read_arrays(book.run / "explain.npz")
    history = read_history(book.run / "history.jsonl")
    with onepage_style():
        _curves(book, history)
        confusion.draw_all(book)
        _grids(book, predictions)
        reliability.draw(book)
        gradcam.draw_all(book, explain)
        book.close()


def _curves(book: Book, history: list[dict[str, Any]]) -> None:
    histories = curves.read_seeds(book.run, history, book.digest)
    sheet = book.sheet(FULL, CURVES, f"Loss (nats){curves.of_seeds(histories)}")
    epochs, last = [row["epoch"] for row in history], history[-1]
    seconds = curves.values(histories, "seconds").mean(axis=0)
    top, height, panel, foot = 7.2, 20.0, 27.5, 5.9
    under, stretches, rates = top + height + 2.1, stages(book.metrics), learning_rates(book.metrics, history)
    floor = book.metrics["set"] == "cifar10"
    told = []
    for left, key, factor, digits, unit in ((7.0, "loss", 1, 2, ""), (54.0, "accuracy", 100, 1, " %")):
        axes, beneath = sheet.axes(left, top, panel, height), sheet.axes(left, under, panel, foot)
        train, validation = (curves.values(histories, f"{part}_{key}", factor) for part in ("train", "val"))
        ends = curves.draw_pair(axes, epochs, train, validation, digits, unit)
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
        clock = curves.time_axis(axes, epochs, seconds.tolist(), panel)
        sheet.text(left - 1.6, top - 3.4, clock, colour=MUTED, ha="right")
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
    note = "top: training time; train: augmented images, smoothed labels; validation: held out, neither"
    sheet.text(FULL / 2, CURVES - 2.9, note, colour=MUTED, ha="center")
    sizes = ", then ".join(f"{size} px" for size in dict.fromkeys(row["image_size"] for row in history))
    alt = (
        f"Two line charts over {last['epoch']:.3g} epoch{'' if last['epoch'] == 1 else 's'} (images of {sizes}) and "
        f"{seconds[-1] / 60:.3g} minutes of training. Loss ends at {told[0]:.2f} nats in training (augmented "
        f"images, smoothed labels) and {told[1]:.2f} on validation; accuracy ends at {told[2] / 100:.1%} and "
        f"{told[3] / 100:.1%}. Beneath, the learning rate, at most {max(rates[1]):.3g}, and the image size."
        f"{curves.told(histories)}"
    )
    if floor:
        alt += f" A line marks the floor of {FLOOR:g} % that is claimed for test accuracy."
    book.add("curves_cls", sheet, alt)


def learning_rates(metrics: dict[str, Any], history: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Epochs and learning rates: the recipe's schedule where the recorded rates lie on it, else the recorded rates.

    The records are those of validations, of which a warm-up may see none.
    """
    recorded = [row["epoch"] for row in history], [row["learning_rate"] for row in history]
    recipe, last = metrics["recipe"], history[-1]
    if recipe.get("schedule") not in SCHEDULES:
        return recorded
    # results of an earlier version have the key without the optimiser's name
    peak = recipe.get("learning_rate") or recipe[f"{recipe['optimiser']}_learning_rate"]
    shape = SCHEDULES[recipe["schedule"]]
    said = [peak * shape(row["step"] / last["step"], recipe["warmup"]) for row in history]
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
    """The image size as steps, with its pixels at the foot of each stretch where they fit."""
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
    for name, kind, adverb in (("preds_grid", "correct", "correctly"), ("miscls_grid", "wrong", "wrongly")):
        # As many as a grid shows of those that the evaluation kept, the most confident first.
        index = arrays[f"{kind}_index"][: ROWS * COLUMNS]
        order = np.argsort(-confidence[index], kind="stable")
        index, images = index[order], arrays[f"{kind}_images"][: ROWS * COLUMNS][order]
        found = [(names[labels[i]], names[predicted[i]], percent(confidence[i])) for i in index]
        if kind == "correct":
            title, captions = "Right: class, confidence", [[(best, INK), (sure, MUTED)] for _, best, sure in found]
            # Not simply "the surest": evaluate takes the classes in turn, so that the grid is not eight of the easiest.
            alt = f"{len(index)} correct test predictions, the most confident of each class first, out of {n} images: "
            alt += ", ".join(f"{best} {sure}" for _, best, sure in found)
        else:
            title = "Wrong: true → predicted" if book.generated else "Wrong: true → predicted, confidence"
            captions = [[(true, BLUE), (best, RED), (sure, MUTED)] for true, best, sure in found]
            alt = f"The {len(index)} wrong test predictions with the highest confidence, of {n} images: "
            alt += ", ".join(f"{true} taken for {best} {sure}" for true, best, sure in found)
        empty = f"None of the {n} test images is classified {adverb}."
        _grid(book, name, title, images, captions, f"{alt}.", empty)


def _grid(
    book: Book, name: str, title: str, images: np.ndarray, captions: list[list[tuple[str, str]]], alt: str, empty: str
) -> None:
    """Images in rows, all of one size in either grid, with lines (text, colour) beneath each.

    Of three lines the first two are the true and the predicted class; an arrow leads from one to the other where all
    of a grid have room for it.
    """
    sheet = book.sheet(HALF, HALF, title)
    cell, row = HALF / COLUMNS, (HALF - HEADER - STEP - 0.4) / ROWS
    room = (cell - 0.2) * PT_PER_MM
    fitted = [[texts.fit(label, room) for label, _ in caption] for caption in captions]
    joined = [_arrow(lines[0], lines[1], room) for lines in fitted if len(lines) == 3]
    if joined and all("→" in "".join(pair) for pair in joined):  # an arrow now and then would be a riddle
        fitted = [[*pair, lines[2]] for pair, lines in zip(joined, fitted, strict=True)]
    for k, (image, caption, lines) in enumerate(zip(images, captions, fitted, strict=True)):
        x, y = (k % COLUMNS) * cell, HEADER + (k // COLUMNS) * row
        sheet.image(x + (cell - IMAGE) / 2, y, IMAGE, IMAGE, image)
        for number, (line, (_, colour)) in enumerate(zip(lines, caption, strict=True)):
            sheet.text(x + cell / 2, y + IMAGE + 0.3 + number * STEP, line, colour=colour, ha="center")
    if captions:
        note = "confidence: softmax before calibration"
        sheet.text(HALF / 2, HALF - STEP - 0.2, note, colour=MUTED, ha="center")
    else:
        sheet.lines(HALF / 2, HALF / 2 - 4, texts.wrap(empty, 100), colour=MUTED, ha="center")
    book.add(name, sheet, alt if captions else empty)


def _arrow(true: str, predicted: str, room: float) -> tuple[str, str]:
    """Two lines with an arrow from one to the other, where it fits: no "→ automobile" does, "truck →" does."""
    if texts.width(f"→ {predicted}") <= room:
        return true, f"→ {predicted}"
    return (f"{true} →" if texts.width(f"{true} →") <= room else true), predicted
