"""Reliability diagram (Guo et al. 2017, figure 4): accuracy against confidence, as trained and after calibration.

Each of the 15 bins that holds images has a point at their mean confidence, with the 95 % Wilson interval of their
accuracy. Below is the number of images in each bin. Points below the diagonal are overconfident.
"""

from typing import Any

from onepage.figures.sheet import FULL, Book, Sheet
from onepage.figures.style import BLUE, FAINT, MUTED, STEP

BARS = "#9aa9b9"


def draw(book: Book) -> None:
    """Draw reliability_cls."""
    test = book.metrics["test"]
    after = test["calibrated"]
    sheet = book.sheet(FULL, 45, "As trained: accuracy against confidence")
    sheet.text(47.6, 0.5, f"At temperature {after['temperature']:.2f}", weight="bold")
    _panel(sheet, 7.0, test, MUTED, "o")
    _panel(sheet, 53.0, after, BLUE, "s")
    note = f"{test['n']:,} test images, 15 bins, 95 % Wilson intervals; the temperature is fitted on validation images"
    sheet.text(FULL / 2, 45 - 2.9, note, colour=MUTED, ha="center")
    alt = (
        f"Two reliability diagrams of {test['n']} test images. As trained: {_said(test)}. At the temperature "
        f"{after['temperature']:.2f}, fitted on validation images: {_said(after)}."
    )
    book.add("reliability_cls", sheet, alt)


def _panel(sheet: Sheet, left: float, scores: dict[str, Any], colour: str, marker: str) -> None:
    top, height, panel, foot = 5.0, 22.8, 25.0, 6.6
    rows = scores["reliability"]
    full = [row for row in rows if row["n"]]
    axes = sheet.axes(left, top, panel, height)
    axes.plot([0, 100], [0, 100], color=FAINT, lw=0.8, ls=(0, (3, 1.5)), zorder=0)
    confidence, accuracy = ([100 * row[key] for row in full] for key in ("confidence", "accuracy"))
    for x, row in zip(confidence, full, strict=True):
        ends = [100 * end for end in row["accuracy_interval"]]
        axes.plot([x, x], ends, color=colour, lw=0.9, solid_capstyle="butt", clip_on=False)
    axes.plot(confidence, accuracy, color=colour, lw=0, marker=marker, ms=2.8, clip_on=False)
    axes.set(xlim=(0, 100), ylim=(0, 100), xticks=[0, 50, 100])
    axes.set_yticks([0, 50, 100], ["0", "50", "100 %"])
    axes.tick_params(labelbottom=False)

    beneath = sheet.axes(left, top + height + 2.2, panel, foot)
    shares = [100 * row["n"] / max(1, sum(row["n"] for row in rows)) for row in rows]
    wide = 100 / len(rows)
    beneath.bar([(k + 0.5) * wide for k in range(len(rows))], shares, width=0.86 * wide, color=BARS)
    most = max(shares)
    beneath.set(xlim=(0, 100), ylim=(0, 1.08 * most))
    beneath.set_xticks([0, 50, 100], ["0", "50", "100 %"])
    beneath.set_yticks([0, most], ["0", f"{most:.0f}"])

    x = left + panel + 1.6
    ece, nll, brier = f"{100 * scores['ece']:.1f} %", f"{scores['nll']:.3f} nats", f"{scores['brier']:.3f}"
    for k, (name, value) in enumerate((("ECE", ece), ("NLL", nll), ("Brier score", brier))):
        sheet.text(x, top + 2 * k * (STEP + 0.3), name, colour=colour, weight="bold")
        sheet.text(x, top + 2 * k * (STEP + 0.3) + STEP, value)
    sheet.text(x, top + height + 2.6, "% of images", colour=MUTED)
    sheet.text(x + 2.2, top + height + foot + 3.7, "confidence", colour=MUTED)


def _said(scores: dict[str, Any]) -> str:
    last = [row for row in scores["reliability"] if row["n"]][-1]
    return (
        f"ECE {100 * scores['ece']:.1f} %, NLL {scores['nll']:.3f}, Brier score {scores['brier']:.3f}; of the "
        f"{last['n']} most confident images ({last['confidence']:.1%} on average) {last['accuracy']:.1%} are right"
    )
