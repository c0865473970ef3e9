"""Draw every picture of a translation run: curves, BLEU report, example sentences; attention and masks in their module.

Arrays and JSON in, pictures out; no torch. Sizes are in mm and final: nothing is scaled on the page.
"""

import difflib
import itertools
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from onepage.figures import attention, curves
from onepage.figures import text as texts
from onepage.figures.curves import read_arrays, read_history
from onepage.figures.sheet import FULL, HALF, HEADER, Book, Sheet
from onepage.figures.style import BLUE, FAINT, INK, LINE_PT, MUTED, PT_PER_MM, RED, onepage_style

FLOOR = 15.0  # the claim drawn beside the scores; report/claims.toml is what is checked
STEP = LINE_PT / PT_PER_MM
MOST_LINES = 3  # of a sentence in the table of examples
Row = tuple[str, list[texts.Word], str]  # label, words, what a marked word is
MARKS = {"surplus": (RED, "-"), "missing": (BLUE, (0, (1.2, 1.0)))}


def draw(run: Path, out: Path) -> None:
    """Draw the finished run folder ``run`` into the folder ``out``.

    Raises UserError when a file of the run is missing or cannot be read.
    """
    book = Book(run, out)
    explain = read_arrays(book.run / "explain.npz")
    history = read_history(book.run / "history.jsonl")
    with onepage_style():
        _curves(book, history)
        _bleu(book)
        _decodes(book)
        attention.draw_all(book, explain)
        book.close()


def _curves(book: Book, history: list[dict[str, Any]]) -> None:
    histories = curves.read_seeds(book.run, history, book.digest)
    train, validation, perplexity = (
        curves.values(histories, key) for key in ("train_loss", "val_loss", "val_perplexity")
    )
    sheet = book.sheet(HALF, HALF, "Loss (nats per token)")
    steps = [row["step"] for row in history]
    left, top, panel, height = 6.6, HEADER + 1.2, 25.4, 26.8
    axes = sheet.axes(left, top, panel, height)
    ends = curves.draw_pair(axes, steps, train, validation)
    axes.set_xlim(0, max(steps))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    labels = [
        ["train", *curves.last_value(train, 2)],
        ["validation", *curves.last_value(validation, 2), "perplexity", *curves.last_value(perplexity, 1)],
    ]
    curves.label_ends(sheet, axes, left + panel + 1.6, ends, labels)
    sheet.text(left + panel / 2, top + height + 4.0, "updates", colour=MUTED, align="center")
    sheet.text(0.6, HALF - 2 * STEP - 0.3, "train: with dropout, against smoothed labels", colour=MUTED)
    note = f"validation: without either{curves.of_seeds(histories)}"
    sheet.text(0.6, HALF - STEP - 0.3, note, colour=MUTED)
    last = history[-1]
    alt = (
        f"Line chart of loss in nats per token over {last['step']} updates ({last['epoch']:.1f} epochs). Training loss "
        f"(dropout, smoothed labels) ends at {train[:, -1].mean():.2f}; validation loss falls from "
        f"{validation[:, 0].mean():.2f} to {validation[:, -1].mean():.2f}, a perplexity of "
        f"{perplexity[:, -1].mean():.2f}.{curves.told(histories)}"
    )
    book.add("curves_mt", sheet, alt)


# --- BLEU --------------------------------------------------------------------------------------------------------


def _bleu(book: Book) -> None:
    tests, headline = book.metrics["tests"], book.metrics["headline"]
    sheet = book.sheet(HALF, HALF, "BLEU, 95 % interval")
    shown = list(tests.items())[:4]
    row = STEP + 2.3
    left, right, top = 1.4, 1.4, HEADER + 0.2
    height = len(shown) * row
    axes = sheet.axes(left, top, HALF - left - right, height)
    floor = None if book.generated else FLOOR  # the floor is a claim about the real test sets
    high = max(
        [floor or 0, *(value for _, test in shown for value in (test["bleu"]["interval"][1], test["bleu"]["score"]))]
    )
    limit = max(10.0, min(100.0, high * 1.08))
    axes.set(xlim=(0, limit), ylim=(height, 0), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True))
    for number, (name, test) in enumerate(shown):
        y = number * row
        low, up = test["bleu"]["interval"]
        colour = BLUE if name == headline else INK
        axes.plot([low, up], [y + STEP + 1.0] * 2, color=colour, lw=1.4, solid_capstyle="butt")
        axes.plot([test["bleu"]["score"]], [y + STEP + 1.0], marker="o", ms=3.6, color=colour)
        side = f"{test['bleu']['score']:.1f}  chrF2 {test['chrf2']['score']:.1f}"
        room = (HALF - left - right) * PT_PER_MM - texts.width(side, "bold") - 5
        weight = "bold" if name == headline else "normal"
        sheet.text(left, top + y, texts.fit(readable_name(name), room, weight), colour=colour, weight=weight)
        sheet.text(HALF - right, top + y, side, colour=colour, align="right", weight=weight)
    if floor is not None:
        # Drawn only in the gaps between the rows of text.
        for number in range(len(shown)):
            y = number * row + STEP
            axes.plot([floor, floor], [y, y + row - STEP], color=RED, lw=0.8, ls=(0, (2, 1)), zorder=0)
        x = left + (HALF - left - right) * floor / limit
        sheet.text(x - 0.7, top + height - 2.2, f"floor {floor:g}", colour=RED, align="right")
    y = top + height + 4.0
    if len(shown) <= 2:  # a toy set stands alone: there is room for what is behind its score
        for line in _behind(tests[headline]):
            sheet.text(0.6, y, line, colour=MUTED)
            y += STEP
    _by_length(sheet, y + 0.6, readable_name(headline), tests[headline]["bleu_by_length"])
    parts = []
    for name, test in tests.items():
        low, up = test["bleu"]["interval"]
        parts.append(
            f"{readable_name(name)} {test['bleu']['score']:.1f} ({low:.1f} to {up:.1f}; chrF2 "
            f"{test['chrf2']['score']:.1f}, {test['n']} sentences)"
        )
    lengths = ", ".join(
        f"{bucket['bleu']:.1f} at {_range(bucket)} words" for bucket in tests[headline]["bleu_by_length"]
    )
    alt = f"BLEU with 95 % bootstrap intervals: {'; '.join(parts)}."
    if floor is not None:
        alt += f" A line marks the claimed floor of {floor:g}."
    if lengths:
        alt += f" By source length on {readable_name(headline)}: {lengths}."
    book.add("bleu_report", sheet, alt)


def _behind(test: dict[str, Any]) -> list[str]:
    bleu = test["bleu"]
    precisions = " / ".join(f"{value:.0f}" for value in bleu["precisions"])
    return [
        f"interval {bleu['interval'][0]:.1f} to {bleu['interval'][1]:.1f}; greedy {test['bleu_greedy']:.1f}",
        f"1- to 4-gram precision {precisions} %",
        f"brevity penalty {bleu['brevity_penalty']:.2f}; {test['n']} sentences",
    ]


def _by_length(sheet: Sheet, top: float, name: str, buckets: list[dict[str, Any]]) -> None:
    """BLEU of the headline set by source length, as columns with their value on top."""
    room = HALF - top - 2 * STEP - STEP - 0.8
    if not buckets or room < 4:
        return
    title = texts.fit(f"{name}, by words in the source", (HALF - 1.2) * PT_PER_MM, "bold")
    sheet.text(0.6, top, title, weight="bold")
    buckets = buckets[:6]
    foot = HALF - STEP - 0.3
    highest = max(1.0, *(bucket["bleu"] for bucket in buckets)) if len(buckets) > 1 else max(1.0, buckets[0]["bleu"])
    scale = (foot - top - 2 * STEP - 0.8) / highest
    pitch = (HALF - 2.8) / len(buckets)
    for number, bucket in enumerate(buckets):
        centre = 1.4 + (number + 0.5) * pitch
        height, width = bucket["bleu"] * scale, min(7.0, 0.7 * pitch)
        sheet.bar(centre - width / 2, foot - height, width, height, "#99aabb")
        sheet.text(centre, foot - height - STEP, f"{bucket['bleu']:.0f}", align="center")
        sheet.text(centre, foot + 0.2, _range(bucket), colour=MUTED, align="center")
    sheet.line([1.4, HALF - 1.4], [foot, foot], colour="#555555")


def _range(bucket: dict[str, Any]) -> str:
    if bucket["max"] is None:
        return f"{bucket['min']}+"
    return f"{bucket['min']}–{bucket['max']}" if bucket["max"] != bucket["min"] else f"{bucket['min']}"


def readable_name(test: str) -> str:
    """A test set's name without its file-name dress: "test_2016_flickr" -> "2016 Flickr"."""
    words = test.split("_")
    if words[0] == "test" and len(words) > 1:
        words = words[1:]
    dress = {"flickr": "Flickr", "mscoco": "MSCOCO"}
    return " ".join(dress.get(word, word) for word in words)


# --- example sentences -------------------------------------------------------------------------------------------


def compare(reference: str, output: str) -> tuple[list[texts.Word], list[texts.Word]]:
    """Words of reference and output, each marked where the other lacks it at that place (longest common blocks)."""
    left, right = texts.words(reference), texts.words(output)
    missing, surplus = [False] * len(left), [False] * len(right)
    for kind, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if kind != "equal":
            missing[a:b], surplus[c:d] = [True] * (b - a), [True] * (d - c)
    return list(zip(left, missing, strict=True)), list(zip(right, surplus, strict=True))


def _decodes(book: Book) -> None:
    sheet = book.sheet(FULL, 50, "Translations by chrF")
    key_x = 26.0
    for label, mark in (("not in the reference", "surplus"), ("not in the output", "missing")):
        key_x = _run_of_words(sheet, key_x, 0.5, label, mark) + 2.0
    text_x, top, bottom = 20.8, HEADER + 0.5, 49.6
    room = (FULL - text_x - 0.6) * PT_PER_MM
    available = int((bottom - top - 0.8) / STEP)
    blocks = _choose(book.metrics["examples"], room, available)
    limits = _share_lines([words for _, rows in blocks for _, words, _ in rows], room, available)
    y, number, said = top, 0, []
    gap = max(0.0, min(2.2, (bottom - top - sum(limits) * STEP) / max(1, len(blocks) - 1)))
    for position, (example, rows) in enumerate(blocks):
        if position:
            sheet.line([1.0, FULL - 1.0], [y - gap / 2 - 0.1] * 2, colour=FAINT)
        sheet.text(0.6, y, example["kind"], weight="bold")
        sheet.text(0.6, y + STEP, f"chrF {example['chrf']:.0f}", colour=MUTED)
        for label, words, mark in rows:
            sheet.text(text_x - 1.2, y, label, colour=MUTED, align="right")
            for line in texts.wrap_words(words, room, limits[number]):
                _marked_line(sheet, text_x, y, line, mark)
                y += STEP
            number += 1
        y += gap
        marked = sum(flag for _, flag in rows[2][1])
        said.append(
            f"{example['kind']} (chrF {example['chrf']:.0f}): source “{example['source']}”, reference "
            f"“{example['reference']}”, output “{example['output']}”, {marked} of {len(rows[2][1])} words not in the "
            "reference"
        )
    alt = f"{len(blocks)} test sentences with reference and output, differing words marked. {'; '.join(said)}."
    book.add("decodes_table", sheet, alt)


def _choose(examples: list[dict[str, Any]], room: float, available: int) -> list[tuple[dict[str, Any], list[Row]]]:
    """One example of each kind with its rows: the first of each, unless only others fit the sheet uncut."""
    kinds: dict[str, list[tuple[dict[str, Any], list[Row]]]] = {}
    for example in examples:
        kinds.setdefault(example["kind"], []).append((example, _rows(example)))
    choices = [list(choice) for choice in itertools.product(*kinds.values())]
    needs = [
        sum(len(texts.wrap_words(words, room)) for _, rows in choice for _, words, _ in rows) for choice in choices
    ]
    return next((choice for choice, need in zip(choices, needs, strict=True) if need <= available), choices[0])


def _rows(example: dict[str, Any]) -> list[Row]:
    reference, output = compare(example["reference"], example["output"])
    source = [(word, False) for word in texts.words(example["source"])]
    rows = (("source", source, ""), ("reference", reference, "missing"), ("output", output, "surplus"))
    return [(label, words or [("(empty)", False)], mark) for label, words, mark in rows]


def _share_lines(sentences: list[list[texts.Word]], room: float, available: int) -> list[int]:
    """Lines each sentence may take: what it needs, at most three; while there are too many the longest give way."""
    lines = [min(MOST_LINES, len(texts.wrap_words(words, room))) for words in sentences]
    while sum(lines) > available and max(lines) > 1:
        lines[lines.index(max(lines))] -= 1  # among equals the first, which is a source before an output
    return lines


def _marked_line(sheet: Sheet, x: float, y: float, line: list[texts.Word], mark: str) -> None:
    """Write one line; neighbouring words that are marked alike are one run."""
    start = 0
    while start < len(line):
        end = start
        while end < len(line) and line[end][1] == line[start][1]:
            end += 1
        before = " ".join(word for word, _ in line[:start]) + (" " if start else "")
        run = " ".join(word for word, _ in line[start:end])
        _run_of_words(sheet, x + texts.width(before) / PT_PER_MM, y, run, mark if line[start][1] else "")
        start = end


def _run_of_words(sheet: Sheet, x: float, y: float, run: str, mark: str) -> float:
    """Write words at x mm, underlined if marked; gives back where they end."""
    end = x + texts.width(run) / PT_PER_MM
    colour, style = MARKS.get(mark, (INK, "-"))
    sheet.text(x, y, run, colour=colour)
    if mark:
        sheet.line([x, end], [y + 2.25] * 2, colour=colour, style=style, width=0.7)
    return end
