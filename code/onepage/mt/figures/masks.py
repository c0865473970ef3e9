"""The masks of a real batch as pictures: ``masks_demo`` for the page, and ``masks_batch`` with every token spelled out.

The arrays come from the functions that the model itself calls. Rows are queries, columns keys. A filled cell may be
attended to, a pale cell is later than its query, a hatched cell is padding.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb

from onepage.figures import text as texts
from onepage.figures.sheet import HALF, HEADER, SHEET, Book, Sheet
from onepage.figures.style import INK, MUTED, PT_PER_MM, STEP, TEAL
from onepage.mt.figures.attention import GOES_ON, PITCH, readable

EDGE = 0.8
PADDING = "<pad>"
PALE = "#f0f0f0"
LONGEST = 26.0  # pt of a token beside a small map
READS, READ = "query", "key"  # a row of a mask, a column
UNUSED = "#c9c9c9"  # keys of padded queries, whose outputs are not used


def draw(book: Book, explain: dict[str, np.ndarray]) -> None:
    """Draw both pictures from the arrays ``mask_*`` of explain.npz."""
    _demo(book, explain)
    _batch(book, explain)


def _query(tokens: Sequence[str], allowed: np.ndarray) -> tuple[int, list[str], list[str], int]:
    """(query that is spelled out, keys it sees, later keys, number of paddings) of one target; allowed (T, T)."""
    real = [token for token in tokens if token != PADDING]
    query = min(len(real) - 1, 2)
    seen = [token for token, may in zip(tokens, allowed[query], strict=True) if may]
    later = [token for token, may in zip(real, allowed[query], strict=False) if not may]
    return query, seen, later, len(tokens) - len(real)


def _demo(book: Book, explain: dict[str, np.ndarray]) -> None:
    """Padding mask of the sources, the causal mask, and both together for the most padded target; 45 x 45 mm."""
    padding, causal = explain["mask_source_padding"], explain["mask_causal"]
    combined, raw = explain["mask_target_combined"], explain["mask_target_tokens"]
    which = int(np.argmax((raw == PADDING).sum(1)))
    tokens, mask = readable(raw[which]), combined[which]
    sheet, top = book.sheet(HALF, HALF), book.top
    row_height = min(2.4, 9.0 / len(padding))
    first = top + STEP + 0.1
    second = first + row_height * len(padding) + 0.8 + STEP
    foot = HALF - STEP - 0.1
    height = foot - STEP - 0.3 - second
    sources = [f"source {k + 1}" if row_height >= PITCH else "" for k in range(len(padding))]
    rows = [texts.fit(token, LONGEST) if height / len(tokens) >= PITCH else "" for token in tokens]
    # One left edge for all three maps: before it are the names of their rows and, vertically, the axis title.
    left = EDGE + max(STEP + texts.widest(rows), texts.widest(sources)) + 0.8
    gap = 2.0
    side = (HALF - EDGE - left - gap) / 2
    other = left + side + gap
    for x, y, name in (
        (left, top, f"padding mask, hatched: {PADDING}"),
        (left, second - STEP - 0.1, "causal mask"),
        (other, second - STEP - 0.1, "both together"),
    ):
        sheet.text(x, y, name, colour=MUTED)
    _cells(sheet, left, first, HALF - EDGE - left, row_height * len(padding), padding, ~padding)
    padded = raw[which] == PADDING
    query, seen, later, pads = _query(tokens, mask)
    for x, allowed, hatched in ((left, causal, np.zeros_like(padded)), (other, mask, padded)):
        _cells(sheet, x, second, side, height, allowed, hatched, padded if hatched.any() else None)
        sheet.text(x + side / 2, second + height + 0.2, READ, colour=MUTED, ha="center")
        sheet.bar(x, second + query * height / len(tokens), side, height / len(tokens), "none", edge=INK)
    sheet.labels_down(left - 0.6, first, row_height * len(sources), sources, [MUTED] * len(sources))
    sheet.labels_down(left - 0.6, second, height, rows, _colours(padded))
    middle = second + height / 2
    sheet.text(EDGE + STEP / 2 - 0.2, middle, READS, colour=MUTED, rotation=90, ha="center", va="center")
    line = f"outlined: {tokens[query]} reads {' '.join(seen)}"
    sheet.text(EDGE, foot, texts.fit(line, (HALF - 2 * EDGE) * PT_PER_MM))
    alt = (
        f"Three masks of a batch of {len(padding)} sentences. Padding: "
        f"{', '.join(str(int(row.sum())) for row in padding)} of {padding.shape[1]} source positions may be read. "
        f"Causal: each of {len(causal)} target positions reads itself and those before it. Both together, target "
        f"{which + 1}: {tokens[query]} reads "
        f"{' '.join(seen)}, not the later {' '.join(later) or '(none)'} or any of {pads} padding tokens."
    )
    book.add("masks_demo", sheet, alt)


def _batch(book: Book, explain: dict[str, np.ndarray]) -> None:
    """The same batch as wide as the page: each source in its row of the padding mask, each target beside its mask."""
    padding, causal = explain["mask_source_padding"], explain["mask_causal"]
    combined = explain["mask_target_combined"]
    sources = [readable(row) for row in explain["mask_source_tokens"]]
    targets = [readable(row) for row in explain["mask_target_tokens"]]
    gap, length = 3.0, len(causal)
    panel = (SHEET - 2 * EDGE - len(targets) * gap) / (len(targets) + 1)  # the causal mask, then one per target
    rows = [[texts.fit(token, 40.0) for token in tokens] for tokens in targets]
    beside = max(map(texts.widest, rows)) + 0.8
    side, cell = panel - beside, 3.6
    spelled = side / length >= PITCH
    top, high = HEADER + STEP + cell * len(sources) + 2.4, min(side, 40.0)
    height = top + STEP + high + (beside if spelled else 0) + 0.6 + len(targets) * STEP + 1.4
    sheet = book.sheet(SHEET, round(height, 1), "Masks of a batch: filled may be attended to, hatched is padding")
    sheet.text(EDGE, HEADER, "padding mask of the sources: a sentence a row", colour=MUTED)
    width = SHEET - 2 * EDGE
    _cells(sheet, EDGE, HEADER + STEP, width, cell * len(sources), padding, ~padding)
    for k, j in np.argwhere(padding):  # hatching marks padding
        one = width / len(sources[k])
        label = texts.fit(sources[k][j], (one - 0.6) * PT_PER_MM)
        x, y = EDGE + (j + 0.5) * one, HEADER + STEP + (k + 0.5) * cell
        sheet.text(x, y, label, colour="white", ha="center", va="center_baseline")
    names = ["causal", *(f"with padding, target {k + 1}" for k in range(len(targets)))]
    positions = [str(k + 1) for k in range(length)]
    for number, (name, labels, mask) in enumerate(zip(names, [positions, *rows], [causal, *combined], strict=True)):
        x = EDGE + number * (panel + gap) + beside
        sheet.text(x, top, texts.fit(name, side * PT_PER_MM), colour=MUTED)
        padded = np.array([label == PADDING for label in labels])
        _cells(sheet, x, top + STEP, side, high, mask, padded, padded)
        if spelled:
            sheet.labels_down(x - 0.5, top + STEP, high, labels, _colours(padded))
            sheet.labels_across(x, top + STEP + high + 0.5, side, labels, _colours(padded))
    said = []
    for number, (tokens, mask) in enumerate(zip(targets, combined, strict=True), 1):
        query, seen, later, pads = _query(tokens, mask)
        after = f"not the later {' '.join(later)}" if later else "nothing is later"
        unseen = f"{pads} × {PADDING} unseen" if pads else "no padding"
        said.append(f"Target {number}: {tokens[query]} sees {' '.join(seen)}; {after}; {unseen}.")
    sheet.lines(EDGE, height - len(said) * STEP - 0.4, [texts.fit(line, width * PT_PER_MM) for line in said])
    read = "; ".join(
        " ".join(token for token, may in zip(tokens, row, strict=True) if may)
        for tokens, row in zip(sources, padding, strict=True)
    )
    alt = (
        f"Masks of a batch of {len(sources)} sentence pairs, every token written out. Source tokens that may be "
        f"attended to, sentence by sentence: {read}. {' '.join(said)} {GOES_ON} continues the word before."
    )
    book.add("masks_batch", sheet, alt)


def _colours(padded: np.ndarray) -> list[str]:
    return [MUTED if pad else INK for pad in padded]


def _cells(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    height: float,
    allowed: np.ndarray,
    padded: np.ndarray,
    unused: np.ndarray | None = None,
) -> None:
    """A mask as cells: filled may be attended to, pale may not, hatched is padding (per row, or the same for all).

    ``unused``: queries that are padding themselves, whose rows are grey.
    """
    padded = np.broadcast_to(padded, allowed.shape)
    rows, columns = allowed.shape
    fill = np.where(allowed[..., None], *(np.array(to_rgb(colour)) for colour in (TEAL, PALE)))
    if unused is not None:
        fill[allowed & unused[:, None]] = to_rgb(UNUSED)
    sheet.image(x, y, width, height, (255 * fill).astype(np.uint8))
    starts = [0, *(np.flatnonzero((padded[1:] != padded[:-1]).any(1)) + 1), rows]
    for first, last in itertools.pairwise(starts):  # rows with the same padding at once
        edges = np.flatnonzero(np.diff(padded[first].astype(int), prepend=0, append=0))
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            place = (x + start * width / columns, y + first * height / rows)
            sheet.hatch(*place, (end - start) * width / columns, (last - first) * height / rows, colour=MUTED)
    sheet.grid(x, y, width, height, rows, columns, colour="white")
