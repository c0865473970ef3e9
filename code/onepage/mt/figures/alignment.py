"""A picture of the attention from each output word of a translation to the words of its source.

Rows are output pieces, columns source pieces; each row sums to one. A piece that continues a word has "##" before it.
The weights are the mean over all layers and heads: in the sentences examined, its largest weight was on the right word
more often than that of any single layer.
"""

from pathlib import Path

import numpy as np

from onepage.figures import text as texts
from onepage.figures.sheet import HEADER, Book
from onepage.figures.style import MUTED, PT_PER_MM, STEP, onepage_style
from onepage.mt.figures.attention import draw_map, readable, remarks, weight_bar

CELL = 4.0  # mm
NARROWEST = 60.0  # mm, enough for title and note of a short sentence
MOST = 60  # pieces per side; with more, the picture would be wider than a page
LONGEST_LABEL = 60.0  # pt
EDGE = 1.0


def draw(run: Path, path: Path, weights: np.ndarray, written: list[str], read: list[str], languages: str) -> None:
    """Draw ``weights`` (T, S), the mean over layers and heads, to ``path``: PNG, or PDF by its name.

    ``written`` and ``read`` are the T and S pieces, ``languages`` a text like "English to German". Raises UserError if
    the run is not evaluated (the picture holds the digest of its metrics) or the file cannot be written.
    """
    book = Book(run, path.parent)
    rows, columns = ([texts.fit(label, LONGEST_LABEL) for label in readable(side[:MOST])] for side in (written, read))
    with onepage_style():
        left, below = EDGE + texts.widest(rows) + 1.2, texts.widest(columns) + 1.4
        map_width, map_height = CELL * len(columns), CELL * len(rows)
        width = max(NARROWEST, left + map_width + EDGE)
        note = "Rows: output; columns: source. Cross-attention, mean of all layers and heads; each row sums to one."
        note += remarks(rows, columns, len(written), len(read))
        lines = texts.wrap(note, (width - 2 * EDGE) * PT_PER_MM)
        top = HEADER + 0.6
        height = top + map_height + below + STEP * (len(lines) + 1) + 2.0
        sheet = book.sheet(round(width, 1), round(height, 1), f"Attention, {languages}")
        shown = weights[: len(rows), : len(columns)]
        draw_map(sheet, left, top, map_width, map_height, shown, grid=True)
        sheet.labels_down(left - 0.8, top, map_height, rows)
        sheet.labels_across(left, top + map_height + 0.8, map_width, columns)
        y = top + map_height + below
        weight_bar(sheet, EDGE, y, 20.0)
        sheet.lines(EDGE, y + 0.4 + STEP, lines, colour=MUTED)
        links = ", ".join(f"{rows[k]} to {columns[place]}" for k, place in enumerate(shown.argmax(1)))
        alt = (
            f"Cross-attention, {languages}, mean over layers and heads: for each of the {len(written)} subwords "
            f"written, the weights on the {len(read)} subwords read. Strongest links: {links}."
        )
        book.write(path, sheet, alt)
