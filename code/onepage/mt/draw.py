"""Draw every picture of a translation run: the curves here; scores, examples, attention and masks in their modules.

Arrays and JSON in, pictures out; no torch. Sizes are in mm and final: nothing is scaled on the page.
"""

from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from onepage.figures import curves
from onepage.figures.sheet import HALF, HEADER, Book
from onepage.figures.style import MUTED, TEAL, onepage_style
from onepage.files import read_arrays
from onepage.mt.figures import attention, bleu, decodes, masks
from onepage.runs import history

CURVES = 43.0  # mm, the height of the learning curves


def draw(run: Path, out: Path) -> None:
    """Draw the finished run folder ``run`` into the folder ``out``.

    Raises UserError when a file of the run is missing or cannot be read.
    """
    book = Book(run, out)
    explain = read_arrays(book.run / "explain.npz")
    records = history.read(book.run / "history.jsonl")
    chrf = read_arrays(book.run / "predictions.npz")[f"{book.metrics['headline']}_chrf"]
    with onepage_style():
        _curves(book, records)
        bleu.draw(book)
        decodes.draw(book, chrf)
        attention.draw_all(book, explain)
        masks.draw(book, explain)
        book.close()


def _curves(book: Book, records: list[dict[str, Any]]) -> None:
    histories = curves.read_seeds(book.run, records, book.digest)
    train, validation, perplexity = (
        curves.values(histories, key) for key in ("train_loss", "val_loss", "val_perplexity")
    )
    sheet = book.sheet(HALF, CURVES, f"Loss (nats per token){curves.of_seeds(histories)}")
    steps = [row["step"] for row in records]
    left, top, panel, height = 6.6, HEADER + 0.8, 25.4, 31.6
    axes = sheet.axes(left, top, panel, height)
    ends = curves.draw_pair(axes, steps, train, validation, TEAL, 2)
    axes.set_xlim(0, max(steps))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    # no lower than the axis: a number of updates at its end may be wide
    curves.label_ends(sheet, axes, left + panel + 1.6, ends, below=0.3)
    sheet.text(left + panel / 2, top + height + 4.0, "updates", colour=MUTED, ha="center")
    last = records[-1]
    alt = (
        f"Line chart of loss in nats per token over {last['step']} updates ({last['epoch']:.1f} epochs). Training loss "
        f"(dropout, smoothed labels) ends at {train[:, -1].mean():.2f}; validation loss falls from "
        f"{validation[:, 0].mean():.2f} to {validation[:, -1].mean():.2f}, a perplexity of "
        f"{perplexity[:, -1].mean():.2f}.{curves.told(histories)}"
    )
    book.add("curves_mt", sheet, alt)
