"""Draw every picture of an image-classification run: curves, confusion matrix, grids of predictions, Grad-CAM.

Arrays and JSON in, pictures out; no torch. Sizes are in mm and final: nothing is scaled on the page.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.ticker import MaxNLocator

from onepage.figures import gradcam
from onepage.figures import text as texts
from onepage.figures.curves import draw_pair, finite, label_ends, read_arrays, read_history
from onepage.figures.sheet import FULL, HALF, HEADER, Book
from onepage.figures.style import BLUE, FAINT, INK, IRIDESCENT, LINE_PT, MUTED, PT_PER_MM, RED, onepage_style
from onepage.figures.text import percent

# CIFAR-10 in an order that puts look-alikes side by side: a block of vehicles, then a block of animals.
VEHICLES = ("airplane", "ship", "automobile", "truck")
ANIMALS = ("bird", "frog", "deer", "horse", "cat", "dog")


def draw(run: Path, out: Path) -> None:
    """Draw the finished run folder ``run`` into the folder ``out``.

    Raises UserError when a file of the run is missing or cannot be read.
    """
    book = Book(run, out)
    predictions, explain = read_arrays(book.run / "predictions.npz"), read_arrays(book.run / "explain.npz")
    history = read_history(book.run / "history.jsonl")
    with onepage_style():
        _curves(book, history)
        _confusion(book)
        _grids(book, predictions)
        gradcam.draw_all(book, explain)
        book.close()


def _curves(book: Book, history: list[dict[str, Any]]) -> None:
    sheet = book.sheet(FULL, 40, "Loss (nats)")
    epochs = [row["epoch"] for row in history]
    top, height, panel = 7.2, 22.4, 27.5
    for left, key, factor, unit in ((7.0, "loss", 1, ""), (54.0, "accuracy", 100, " %")):
        axes = sheet.axes(left, top, panel, height)
        train, validation = (finite([row[f"{part}_{key}"] for row in history]) * factor for part in ("train", "val"))
        ends = draw_pair(axes, epochs, train, validation)
        axes.set_xlim(0, max(epochs))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        digits = 2 if key == "loss" else 1
        labels = [
            [name, f"{value:.{digits}f}{unit}"] for name, (value, _) in zip(("train", "validation"), ends, strict=True)
        ]
        label_ends(sheet, axes, left + panel + 1.6, ends, labels)
        sheet.text(left + panel / 2, 33.2, "epoch", colour=MUTED, align="center")
        _image_sizes(book, sheet, axes, history[-1]["epoch"], left, top, panel, height)
    sheet.text(47.6, 0.5, "Accuracy (%)", weight="bold")
    note = "train: as trained, on augmented images against smoothed labels; validation: held out, neither"
    sheet.text(FULL / 2, 36.6, note, colour=MUTED, align="center")
    last = history[-1]
    sizes = ", then ".join(f"{size} px" for size in dict.fromkeys(row["image_size"] for row in history))
    alt = (
        f"Two line charts over {last['epoch']:.3g} epoch{'' if last['epoch'] == 1 else 's'} (images of {sizes}). "
        f"Loss ends at {last['train_loss']:.2f} nats in training (augmented images, smoothed labels) and "
        f"{last['val_loss']:.2f} on validation; accuracy ends at {last['train_accuracy']:.1%} and "
        f"{last['val_accuracy']:.1%}."
    )
    book.add("curves_cls", sheet, alt)


def _image_sizes(
    book: Book, sheet: Any, axes: Any, epochs: float, left: float, top: float, panel: float, height: float
) -> None:
    """Mark where training went on at another image size: a thin line, and each size above its stretch if it fits."""
    stretches: list[list[float]] = []  # [size, first epoch, last epoch]
    for stage in book.metrics["recipe"]["stages"]:
        start = stretches[-1][2] if stretches else 0.0
        stretches.append([stage["image_size"], start, start + stage["epochs"]])
    scale = panel / max(1e-9, epochs)
    free_from = left - 3.0
    for number, (size, start, end) in enumerate(stretches):
        if number:
            axes.axvline(start, color=FAINT, lw=0.5, ls=(0, (1, 1.5)), zorder=0)
        label = f"{size:.0f} px" if number == 0 or number == len(stretches) - 1 else f"{size:.0f}"
        room = texts.width(label) / PT_PER_MM
        middle = left + (start + end) / 2 * scale
        if middle - room / 2 > free_from:
            sheet.text(middle, top - 3.0, label, colour=MUTED, align="center")
            free_from = middle + room / 2 + 0.8


def _confusion(book: Book) -> None:
    import seaborn  # here, because it brings pandas and takes a second to import

    test, names = book.metrics["test"], list(book.metrics["class_names"])
    order = list(range(len(names)))
    blocks = sorted(names) == sorted(VEHICLES + ANIMALS)
    if blocks:
        order = [names.index(name) for name in VEHICLES + ANIMALS]
    counts = np.array(test["confusion"])[np.ix_(order, order)]
    share = 100 * counts / np.maximum(1, counts.sum(1, keepdims=True))
    sheet = book.sheet(HALF, HALF, "% of true class (row)")
    right = 3.9 if blocks else 0.8
    shown = [texts.fit(names[i], 34) for i in order]
    left = max(texts.width(name) for name in shown) / PT_PER_MM + 1.6
    foot = left + LINE_PT / PT_PER_MM - 0.6
    width, height = HALF - left - right, HALF - HEADER - foot
    axes = sheet.axes(left, HEADER, width, height)
    text = [[f"{int(value + 0.5)}" if value >= 0.5 else "" for value in row] for row in share]
    seaborn.heatmap(
        share,
        ax=axes,
        cmap=IRIDESCENT,
        norm=PowerNorm(0.5, 0, 100),  # the mistakes are small shares: the square root lets them be seen
        annot=np.array(text),
        fmt="s",
        annot_kws={"size": 6.5},
        cbar=False,
        linewidths=0.4,
        linecolor="#e6e6e6",
        xticklabels=shown,
        yticklabels=shown,
    )
    axes.tick_params(length=0, pad=1.2)
    axes.set_xticklabels(shown, rotation=90)
    axes.set_yticklabels(shown, rotation=0)
    sheet.text(left + width / 2, HALF - 2.8, "predicted class", colour=MUTED, align="center")
    if blocks:
        n = len(VEHICLES)
        axes.axhline(n, color=INK, lw=0.8)
        axes.axvline(n, color=INK, lw=0.8)
        for first, last, label in ((0, n, "vehicles"), (n, len(order), "animals")):
            y = [HEADER + height * k / len(order) for k in (first, last)]
            x = HALF - right + 0.7
            sheet.line([x, x], [y[0] + 0.5, y[1] - 0.5], colour=MUTED)
            sheet.text(x + 0.4, sum(y) / 2, label, colour=MUTED, rotation=270, valign="center")
    book.add("confusion_matrix", sheet, _confusion_alt(test, names))


def _confusion_alt(test: dict[str, Any], names: list[str]) -> str:
    recalls = sorted(test["per_class"], key=lambda entry: entry["recall"])
    alt = (
        f"Confusion matrix of {len(names)} classes on {test['n']} test images, each row in percent of its true class; "
        f"{test['accuracy']:.2%} of all images are right. Best recognised: {recalls[-1]['name']} "
        f"({recalls[-1]['recall']:.1%}); worst: {recalls[0]['name']} ({recalls[0]['recall']:.1%}). "
    )
    if test["top_confusions"]:
        pair = test["top_confusions"][0]
        alt += (
            f"Most confused: {pair['true']} taken for {pair['predicted']}, {pair['count']} images "
            f"({pair['share']:.1%} of that class)."
        )
    else:
        alt += "No image is misclassified."
    return alt


def _grids(book: Book, arrays: dict[str, np.ndarray]) -> None:
    names, logits = book.metrics["class_names"], arrays["logits"].astype(np.float64)
    raised = np.exp(logits - logits.max(1, keepdims=True))
    confidence = (raised / raised.sum(1, keepdims=True)).max(1)
    predicted = logits.argmax(1)
    n = len(logits)

    index, images = arrays["correct_index"][:9], arrays["correct_images"][:9]
    captions = [[(names[predicted[i]], INK)] for i in index]
    shown = ", ".join(f"{names[predicted[i]]} {percent(confidence[i])}" for i in index)
    # Not "the surest": evaluate takes the classes in turn, so that the grid is not nine of the easiest class.
    alt = f"{len(index)} correct test predictions, the most confident of each class first, out of {n} images: {shown}."
    empty = f"None of the {n} test images is classified correctly."
    _grid(book, "preds_grid", "Right: surest of each class", images, captions, confidence[index], alt, empty)

    index, images, labels = arrays["wrong_index"][:9], arrays["wrong_images"][:9], arrays["labels"]
    captions = [[(names[labels[i]], BLUE), (f"→ {names[predicted[i]]}", RED)] for i in index]
    shown = ", ".join(f"{names[labels[i]]} taken for {names[predicted[i]]} {percent(confidence[i])}" for i in index)
    alt = f"The {len(index)} wrong test predictions with the highest confidence, of {n} images: {shown}."
    empty = f"None of the {n} test images is classified wrongly."
    _grid(book, "miscls_grid", "Wrong: true → predicted", images, captions, confidence[index], alt, empty)


def _grid(
    book: Book,
    name: str,
    title: str,
    images: np.ndarray,
    captions: list[list[tuple[str, str]]],
    confidence: np.ndarray,
    alt: str,
    empty: str,
) -> None:
    """Up to nine images in three rows, the confidence upright beside each, (text, colour) lines beneath."""
    sheet = book.sheet(HALF, HALF, title)
    lines = max((len(caption) for caption in captions), default=1)
    step = LINE_PT / PT_PER_MM
    cell, row = HALF / 3, (HALF - HEADER) / 3
    side = row - lines * step - 0.5
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = (k % 3) * cell, HEADER + (k // 3) * row
        left = x + (cell - side - step) / 2
        sheet.image(left, y, side, side, image)
        sheet.text(left + side + 0.35, y, percent(confidence[k]), colour=MUTED, rotation=270)
        for number, (label, colour) in enumerate(caption):
            text = texts.fit(label, cell * PT_PER_MM - 1)
            half = texts.width(text) / PT_PER_MM / 2
            centre = min(max(left + side / 2, x + half + 0.2), x + cell - half)
            sheet.text(centre, y + side + 0.3 + number * step, text, colour=colour, align="center")
    if not captions:
        for number, line in enumerate(texts.wrap(empty, 100)):
            sheet.text(HALF / 2, HALF / 2 - 4 + number * step, line, colour=MUTED, align="center")
    book.add(name, sheet, alt if captions else empty)
