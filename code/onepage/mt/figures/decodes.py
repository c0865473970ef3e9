"""Example translations as pictures: ``decodes_table`` for the page, and ``decodes_all`` with every example of the run.

Source, reference and output are below each other. Words and punctuation marks that only the reference has are
underlined with dots, those that only the output has with a line (by longest common blocks, not by alignment). Text is
measured and wrapped; the page shows examples that fit uncut. If there is room, a histogram of all scores is below them,
with the examples marked.
"""

import difflib
import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from onepage.figures import text as texts
from onepage.figures.sheet import FULL, HEADER, SHEET, Book, Sheet
from onepage.figures.style import FAINT, INK, MUTED, PT_PER_MM, RED, STEP
from onepage.figures.text import Word

HEIGHT = 42.0  # mm of the picture on the page
MOST_LINES = 3  # of a sentence on the page, where no choice of examples fits it whole
EDGE = 0.6
TEXT = 21.4  # mm from the left edge to the sentences; before them kind and score, then the label of each line
Rows = list[tuple[str, list[Word], str]]  # source, reference, output: (label, words, meaning of a mark)
Block = tuple[dict[str, Any], Rows, list[int]]  # an example, its rows, and the number of lines of each row
STRIP = 4.5 + STEP  # mm of all scores: the bars, and below them what is marked
NARROWEST_GAP, WIDEST_GAP = 1.3, 4.0  # mm between examples, where the strip stands
BINS = 50  # of chrF2 from 0 to 100
BAR = "#c3cad3"
MARKS: dict[str, tuple[str, Any]] = {"surplus": (RED, "-"), "missing": (MUTED, (0, (1.2, 1.0)))}


def draw(book: Book, chrf: np.ndarray) -> None:
    """Draw both pictures from the examples in metrics.json and ``chrf``, the scores of all sentences of their set."""
    _table(book, chrf)
    _all(book)


def compare(reference: str, output: str) -> tuple[list[Word], list[Word]]:
    """Words of reference and output in parts, marked where the other lacks them at that place.

    A part is letters with digits, or what is neither, so that a full stop stands apart.
    """
    left, right = ([re.findall(r"\w+|\W+", word) for word in texts.words(text)] for text in (reference, output))
    one, other = ([part for word in words for part in word] for words in (left, right))
    marks = [[False] * len(one), [False] * len(other)]
    for kind, a, b, c, d in difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if kind != "equal":
            marks[0][a:b], marks[1][c:d] = [True] * (b - a), [True] * (d - c)
    flags = iter(marks[0] + marks[1])
    one_side, other_side = ([[(part, next(flags)) for part in word] for word in words] for words in (left, right))
    return one_side, other_side


# --- the two pictures --------------------------------------------------------------------------------------------


def _table(book: Book, chrf: np.ndarray) -> None:
    """One example of each kind, 93 x 45 mm, and all scores below them where there is room."""
    sheet = book.sheet(FULL, HEIGHT)
    _key(sheet, EDGE)
    room = (FULL - TEXT - EDGE) * PT_PER_MM
    top = HEADER + 0.5
    blocks = _choose(book.metrics["examples"], room, int((HEIGHT - top - 1.2) / STEP))
    spare = HEIGHT - 0.6 - top - _need(blocks) * STEP
    below = (spare - STRIP) / len(blocks)
    with_strip = below >= NARROWEST_GAP
    gap = min(WIDEST_GAP, below) if with_strip else max(0.0, spare / max(1, len(blocks) - 1))
    _write(sheet, top, gap, room, blocks)
    exact = book.metrics["tests"][book.metrics["headline"]]["exact"]
    apart = f" (outputs that equal their reference: {exact}; the best shown is one of the others)" if exact else ""
    alt = f"{len(blocks)} test sentences with reference and output, differing words marked{apart}. {_told(blocks)}."
    if with_strip:
        sheet.line([1.0, FULL - 1.0], [HEIGHT - 0.6 - STRIP - gap / 2 - 0.1] * 2, colour=FAINT)
        _strip(sheet, HEIGHT - 0.6 - STRIP, chrf, [example for example, *_ in blocks])
        quarters = ", ".join(f"{value:.0f}" for value in np.percentile(chrf, (25, 50, 75)))
        alt += f" Below, the chrF2 of all {len(chrf):,} sentences as bars; its quartiles are {quarters}."
    book.add("decodes_table", sheet, alt)


def _strip(sheet: Sheet, y: float, chrf: np.ndarray, examples: Sequence[dict[str, Any]]) -> None:
    """A histogram of chrF2 from 0 to 100, with the places of the examples marked and named."""
    base, width = y + STRIP - STEP - 0.5, FULL - TEXT - EDGE
    counts, _ = np.histogram(chrf, bins=BINS, range=(0, 100))
    step = width / BINS
    for k, count in enumerate(counts):
        high = (base - y) * count / counts.max()
        sheet.bar(TEXT + k * step + 0.1, base - high, step - 0.2, high, BAR)
    sheet.line([TEXT, FULL - EDGE], [base] * 2, colour=MUTED)
    sheet.text(EDGE, base - STEP, "all", weight="bold")
    sheet.text(EDGE, base, "chrF2 0 to 100", colour=MUTED)
    free = FULL  # left of this, nothing is written yet; the best, which stands rightmost, is named first
    for example in sorted(examples, key=lambda example: -example["chrf"]):
        x = TEXT + width * min(100.0, max(0.0, float(example["chrf"]))) / 100
        sheet.line([x, x], [y, base], width=0.9)
        label = example["kind"]
        half = texts.width(label) / PT_PER_MM / 2
        middle = min(max(x, TEXT + half), FULL - EDGE - half)
        if middle + half < free:
            sheet.text(middle, base + 0.7, label, ha="center")
            free = middle - half - 1.0


def _all(book: Book) -> None:
    """Every example, nothing cut, as high as it takes and as wide as its longest line, at most as the page."""
    examples = book.metrics["examples"]
    longest = texts.widest(texts.plain(words) for example in examples for _, words, _ in _rows(example))
    width = round(min(SHEET, max(FULL, TEXT + longest + EDGE + 0.2)), 1)
    room = (width - TEXT - EDGE) * PT_PER_MM
    blocks = [_block(example, room) for example in examples]
    gap, top = 2.2, HEADER + 0.5
    height = top + _need(blocks) * STEP + (len(blocks) - 1) * gap + 0.8
    sheet = book.sheet(width, round(height, 1), f"Translations by chrF2 ({len(blocks)})")
    _key(sheet, 32.0)
    _write(sheet, top, gap, room, blocks)
    alt = f"{len(blocks)} test sentences with reference and output, differing words marked."
    book.add("decodes_all", sheet, f"{alt} {_told(blocks)}.")


def _block(example: dict[str, Any], room: float) -> Block:
    """An example uncut."""
    rows = _rows(example)
    return example, rows, [len(texts.wrap_words(words, room)) for _, words, _ in rows]


def _need(blocks: Sequence[Block]) -> int:
    """The number of lines that the examples take."""
    return sum(sum(lines) for _, _, lines in blocks)


def _rows(example: dict[str, Any]) -> Rows:
    reference, output = compare(example["reference"], example["output"])
    source: list[Word] = [[(word, False)] for word in texts.words(example["source"])]
    rows = (("source", source, ""), ("reference", reference, "missing"), ("output", output, "surplus"))
    return [(label, words or [[("(empty)", False)]], mark) for label, words, mark in rows]


def _choose(examples: list[dict[str, Any]], room: float, available: int) -> Sequence[Block]:
    """One example of each kind, in ``available`` lines in all.

    The first of each kind, or the next with which everything fits uncut. If nothing fits, the choice with the fewest
    lines, its longest sentences cut.
    """
    kinds: dict[str, list[tuple[int, Block]]] = {}
    for example in examples:
        same = kinds.setdefault(example["kind"], [])
        same.append((len(same), _block(example, room)))
    ranked = sorted(itertools.product(*kinds.values()), key=lambda choice: sum(place for place, _ in choice))
    choices = [[block for _, block in choice] for choice in ranked]
    chosen = next((choice for choice in choices if _need(choice) <= available), min(choices, key=_need))
    if _need(chosen) > available:
        chosen = [(example, rows, [min(MOST_LINES, count) for count in lines]) for example, rows, lines in chosen]
    limits = [lines for _, _, lines in chosen]
    while _need(chosen) > available and max(map(max, limits)) > 1:
        longest = max(limits, key=max)  # among equals the first, which is a source before an output
        longest[longest.index(max(longest))] -= 1
    return chosen


def _write(sheet: Sheet, y: float, gap: float, room: float, blocks: Sequence[Block]) -> None:
    """Write examples under each other from y mm, a thin line between them."""
    for number, (example, rows, lines) in enumerate(blocks):
        if number:
            sheet.line([1.0, sheet.width - 1.0], [y - gap / 2 - 0.1] * 2, colour=FAINT)
        sheet.text(EDGE, y, example["kind"], weight="bold")
        sheet.text(EDGE, y + STEP, f"chrF2 {_score(example)}", colour=MUTED)
        sheet.text(EDGE, y + 2 * STEP, f"rank {example['rank']:,}", colour=MUTED)
        for (label, words, mark), limit in zip(rows, lines, strict=True):
            sheet.text(TEXT - 1.2, y, label, colour=MUTED, ha="right")
            for line in texts.wrap_words(words, room, limit):
                _line(sheet, TEXT, y, line, mark)
                y += STEP
        y += gap


def _score(example: dict[str, Any]) -> str:
    """chrF2 in whole numbers; 99.6 keeps its decimal, since it is not 100."""
    chrf = float(example["chrf"])
    return f"{chrf:.0f}" if chrf < 99.5 or chrf == 100 else f"{min(chrf, 99.9):.1f}"


def _told(blocks: Sequence[Block]) -> str:
    output = [[any(mark for _, mark in word) for word in rows[2][1]] for _, rows, _ in blocks]
    return "; ".join(
        f"{example['kind']} (chrF2 {_score(example)}): source “{example['source']}”, reference "
        f"“{example['reference']}”, output “{example['output']}”, "
        f"{sum(marks)} of {len(marks)} words unlike the reference"
        for (example, *_), marks in zip(blocks, output, strict=True)
    )


# --- marks -------------------------------------------------------------------------------------------------------


def _key(sheet: Sheet, x: float) -> None:
    """The key of the two marks, from x mm on in the line of the title."""
    for label, mark in (("not in the reference", "surplus"), ("not in the output", "missing")):
        x = _run(sheet, x, 0.5, label, mark) + 2.0


def _line(sheet: Sheet, x: float, y: float, line: Sequence[Word], mark: str) -> None:
    """Write one line; neighbouring characters that are marked alike are one run, spaces between them included."""
    parts: Word = []
    for word in line:  # the space before a word belongs to a marked run where both its sides do
        parts += [(" ", parts[-1][1] and word[0][1]), *word] if parts else word
    before = ""
    for flag, run in itertools.groupby(parts, key=lambda part: part[1]):
        content = "".join(part for part, _ in run)
        _run(sheet, x + texts.width(before) / PT_PER_MM, y, content, mark if flag else "")
        before += content


def _run(sheet: Sheet, x: float, y: float, run: str, mark: str) -> float:
    """Write characters at x mm, underlined if marked; returns where they end."""
    end = x + texts.width(run) / PT_PER_MM
    colour, style = MARKS.get(mark, (INK, "-"))
    if run.strip():
        x += texts.width(run[: len(run) - len(run.lstrip())]) / PT_PER_MM  # matplotlib drops outer spaces
        sheet.text(x, y, run.strip(), colour=colour)
    if mark:
        sheet.line([x, end], [y + 2.25] * 2, colour=colour, style=style, width=0.7)
    return end
