"""Pictures of the Transformer's attention in every layer and head.

A row of a map is a query and sums to one, which is checked; its columns are keys. A token that continues a word has
"##" before it. At 6.5 pt, not all tokens of a long sentence fit beside a map: those that fit are shown, and a note says
so.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from onepage.errors import UserError
from onepage.figures import text as texts
from onepage.figures.sheet import GENERATED, HALF, HEADER, SHEET, Book, Sheet
from onepage.figures.style import FAINT, INK, MUTED, PT_PER_MM, STEP, TEALS
from onepage.mt.rows import check_rows

PITCH = 6.3 / PT_PER_MM  # the narrowest row of a map whose label does not touch the next
LONGEST_TOKEN = 30.0  # pt; longer tokens end in an ellipsis
NO_MORE_THAN = 18  # tokens on a side of a small picture, 40 on a sheet
ON_A_SHEET = 40
GOES_ON = "##"
QUANTITY = "weight"  # shown by the colours
SOURCE, OUTPUT = "source \u2192", "output \u2193"  # the pieces across a map, and down
START_OF_WORD = "\u2581"  # sentencepiece's mark


class Side(NamedTuple):
    """One side of a map: its pieces, and their sentence."""

    tokens: list[str]
    sentence: str


def draw_all(book: Book, explain: dict[str, np.ndarray]) -> None:
    """Draw the cross-attention pictures and the three overview sheets from the arrays of explain.npz.

    Raises UserError if a row of weights does not sum to one.
    """
    try:
        for name in ("encoder_self", "decoder_self", "cross"):
            check_rows(name, explain[name])
    except ValueError as error:
        raise UserError(f"{book.run / 'explain.npz'}: {error}; delete it and run make again") from None
    source, read, written = (
        Side(readable(explain[f"{name}_tokens"]), " ".join(texts.words(str(explain[sentence]))))
        for name, sentence in (("source", "source"), ("target_input", "output"), ("target_output", "output"))
    )
    cross = explain["cross"]
    _page(book, cross, written, source)
    layers, heads = cross.shape[:2]
    for layer, head in itertools.product(range(layers), range(heads)):
        _one(book, (layer + 1, head + 1), cross[layer, head], (written, source), heads)
    _overview(book, "attention_encoder_self", "Encoder self-attention", explain["encoder_self"], source, source)
    _overview(book, "attention_decoder_self", "Decoder self-attention", explain["decoder_self"], read, read)
    _overview(book, "attention_cross", "Cross-attention", cross, written, source)


def readable(pieces: Sequence[str] | np.ndarray) -> list[str]:
    """Pieces as readers know them: "▁Was", "ser", "." -> "Was", "##ser", "."; <s>, </s>, <pad> and <unk> stay."""
    shown = []
    for piece in map(str, pieces):
        if piece.startswith(START_OF_WORD):
            shown.append(piece[len(START_OF_WORD) :] or piece)
        else:
            shown.append(GOES_ON + piece if piece[:1].isalnum() else piece)
    return shown


def draw_map(
    sheet: Sheet,
    x: float,
    y: float,
    width: float,
    height: float,
    weights: np.ndarray,
    *,
    grid: bool = False,
    bare: bool = False,
) -> None:
    """One map (queries, keys), weights 0..1 from white to dark, in the rectangle; ``bare``: without lines in it."""
    sheet.image(x, y, width, height, (255 * TEALS(weights)[..., :3]).astype(np.uint8))
    if not bare and (grid or max(weights.shape) <= NO_MORE_THAN):  # smaller cells have no room for lines between them
        sheet.grid(x, y, width, height, *weights.shape, colour="#e6e6e6")
    sheet.bar(x, y, width, height, "none", edge=FAINT)


def _page(book: Book, cross: np.ndarray, output: Side, source: Side) -> None:
    """attention_heads: the head that aligns best, labelled; below it all layers and heads, small, that one outlined.

    A head is focused if, on average over the rows, half of its weight or more lies on one piece before the sentence's
    end; it rests on the end if half lies there.
    """
    layers, heads = cross.shape[:2]
    inner = cross[..., :-1] if cross.shape[-1] > 1 else cross
    sharp, resting = inner.max(-1).mean(-1), cross[..., -1].mean(-1)
    layer, head = (int(place) for place in np.unravel_index(int(sharp.argmax()), sharp.shape))
    sheet, top = book.sheet(HALF, HALF), book.top
    rows, columns = ([texts.fit(token, LONGEST_TOKEN) for token in side.tokens] for side in (output, source))
    gap, thumb = 0.5, min(3.4, (HALF - 1.2) / (layers * heads) - 0.5)
    foot = HALF - thumb - 0.4
    left, below = texts.widest(rows) + 1.4, texts.widest(columns) + 1.0
    first = top + 2 * STEP + 0.4
    width, height = HALF - left - 0.8, foot - STEP - 0.6 - below - first
    down, across = min(len(rows), int(height / PITCH)), min(len(columns), int(width / PITCH))
    draw_map(sheet, left, first, width, height, cross[layer, head, :down, :across])
    sheet.labels_down(left - 0.6, first, height, rows[:down])
    sheet.labels_across(left, first + height + 0.6, width, columns[:across])
    start = 0.6 + texts.widest((SOURCE, OUTPUT)) + 0.8
    for line, (label, side) in enumerate(((SOURCE, source), (OUTPUT, output))):
        sheet.text(0.6, top + line * STEP, label, colour=MUTED)
        sheet.text(start, top + line * STEP, texts.fit(side.sentence, (HALF - 0.6 - start) * PT_PER_MM))
    sheet.text(0.6, foot - STEP - 0.2, f"layer {layer + 1}, head {head + 1}; below: all", colour=MUTED)
    weight_bar(sheet, HALF - 13.0, foot - STEP - 0.2, 9.0, "right")
    for number in range(layers * heads):
        x = 0.6 + number * (thumb + gap)
        draw_map(sheet, x, foot, thumb, thumb, cross[number // heads, number % heads], bare=True)
        if number == layer * heads + head:
            sheet.bar(x - 0.2, foot - 0.2, thumb + 0.4, thumb + 0.4, "none", edge=INK)
        elif number % heads == 0 and number:
            sheet.line([x - gap / 2] * 2, [foot - 0.6, foot + thumb + 0.2], colour=MUTED)
    facts = {
        "heads_all": f"{layers * heads}",
        "heads_focused": f"{int((sharp >= 0.5).sum())}",
    }
    rest = int((resting >= 0.5).sum())
    facts |= {"heads_rest": f"{rest}"} if rest else {}
    alt = (
        f"Cross-attention of all {layers} layers and {heads} heads from “{source.sentence}” to “{output.sentence}”. "
        f"{facts['heads_focused']} of {facts['heads_all']} heads focus on a source subword (half or more of a row's "
        f"weight, on average), and {rest} on the end of the sentence. Enlarged: layer {layer + 1}, head {head + 1}."
    )
    book.add("attention_heads", sheet, alt, facts)


def _one(book: Book, place: tuple[int, int], weights: np.ndarray, sides: tuple[Side, Side], heads: int) -> None:
    """One head, with the two sentences above their pieces if both fit."""
    layer, head = place
    title = f"ayer {layer}, head {head} of {heads}"
    sheet = book.sheet(HALF, HALF, f"L{title}" if book.generated else f"Cross-attention, l{title}")
    output, source = sides
    rows, columns = ([texts.fit(token, LONGEST_TOKEN) for token in side.tokens] for side in sides)
    left, below = texts.widest(rows) + 1.4, texts.widest(columns) + 1.0
    width, height = HALF - left - 0.8, HALF - HEADER - below - STEP - 0.6
    across = min(len(columns), NO_MORE_THAN, int(width / PITCH))
    # Leave the sentences out if the rows then get the room that they need.
    crowded = across == len(columns) and height - 2 * STEP - 0.4 < len(rows) * PITCH <= height
    top = HEADER if crowded else HEADER + 2 * STEP + 0.4
    height -= top - HEADER
    down = min(len(rows), NO_MORE_THAN, int(height / PITCH))
    rows, columns = rows[:down], columns[:across]
    draw_map(sheet, left, top, width, height, weights[:down, :across])
    sheet.labels_down(left - 0.6, top, height, rows)
    sheet.labels_across(left, top + height + 0.6, width, columns)
    foot = HALF - STEP - 0.1
    weight_bar(sheet, 0.6, foot, 9.0)
    note = f"{OUTPUT}  {SOURCE}" if crowded else f"{GOES_ON} continues a word" if _joined(rows, columns) else ""
    sheet.text(HALF - 0.6, foot, note, colour=MUTED, ha="right")
    start = 0.6 + texts.widest((SOURCE, OUTPUT)) + 0.8
    cut = []
    named = ((SOURCE, source, across, "across"), (OUTPUT, output, down, "down"))
    for line, (label, side, shown, direction) in enumerate(named):
        said = side.sentence
        if shown < len(side.tokens):
            cut.append(f"first {shown} of {len(side.tokens)} {direction}")
            said = f"({shown} of {len(side.tokens)} shown) {said}"
        if not crowded:
            y = HEADER + line * STEP
            sheet.text(0.6, y, label, colour=MUTED)
            sheet.text(start, y, texts.fit(said, (HALF - 0.6 - start) * PT_PER_MM))
    row, column = np.unravel_index(int(np.argmax(weights)), weights.shape)
    alt = (
        f"Cross-attention of decoder layer {layer}, head {head} of {heads}, from “{source.sentence}” to "
        f"“{output.sentence}”: for each of the {len(output.tokens)} tokens written, where in the {len(source.tokens)} "
        f"source tokens it looks. The largest weight of a row is {weights.max(1).mean():.2f} on average; the strongest "
        f"link is {output.tokens[row]} to {source.tokens[column]} ({weights[row, column]:.2f})."
    )
    if cut:
        alt += f" Shown are the {'; '.join(cut)}."
    book.add(f"attention_layer{layer}_head{head}", sheet, alt)


def _joined(rows: list[str], columns: list[str]) -> bool:
    """Whether a label continues a word."""
    return any(label.startswith(GOES_ON) for label in rows + columns)


def remarks(rows: list[str], columns: list[str], queries: int, keys: int) -> str:
    """A note on labels that continue a word, and on queries and keys that are left out."""
    note = f" {GOES_ON} continues the word before." if _joined(rows, columns) else ""
    if len(rows) < queries or len(columns) < keys:
        note += f" Shown: the first {len(rows)} of {queries} down, {len(columns)} of {keys} across."
    return note


def weight_bar(sheet: Sheet, x: float, y: float, width: float, ha: str = "left") -> None:
    """The key of the colours, from weight 0 to 1, in a line of text from x mm on; ha "right": its name ends there."""
    sheet.text(x, y, QUANTITY, colour=MUTED, ha=ha)
    x += 0.8 if ha == "right" else texts.widest([QUANTITY]) + 0.8
    colours = (255 * TEALS(np.linspace(0, 1, 32))[None, :, :3]).astype(np.uint8)
    sheet.text(x, y, "0")
    sheet.image(x + 1.5, y + 0.5, width, 1.6, colours)
    sheet.bar(x + 1.5, y + 0.5, width, 1.6, "none", edge=FAINT)
    sheet.text(x + 2.0 + width, y, "1")


def _overview(book: Book, name: str, title: str, weights: np.ndarray, query: Side, key_side: Side) -> None:
    """All layers (down) and heads (across) on a sheet as wide as the page; tokens if they fit, otherwise numbers."""
    queries, keys = query.tokens, key_side.tokens
    layers, heads = weights.shape[:2]
    n_rows, n_columns = min(len(queries), ON_A_SHEET), min(len(keys), ON_A_SHEET)
    sharp = weights.max(-1).mean(-1)
    rows, columns = ([texts.fit(token, LONGEST_TOKEN) for token in side[:ON_A_SHEET]] for side in (queries, keys))
    gap, edge = 2.0, 1.0
    free = SHEET - 2 * edge - (STEP + 0.6) - (heads - 1) * gap  # beside what is upright; labels and maps
    room = (SHEET - 2 * edge) * PT_PER_MM
    sentences = dict.fromkeys((key_side.sentence, query.sentence))  # source before output; only one if they are equal
    key = texts.wrap(" \u2192 ".join(sentences), room)
    beside, below, across, down = texts.widest(rows) + 0.8, texts.widest(columns) + 1.0, columns, rows
    spelled = (free - beside) / heads / max(n_rows, n_columns) >= PITCH
    if not spelled:
        beside, below, across, down = 2 * texts.widest("0") + 0.8, STEP + 0.4, _numbers(n_columns), _numbers(n_rows)
        for side, tokens in {"tokens": rows}.items() if rows == columns else {"down": rows, "across": columns}.items():
            key += texts.wrap(f"{side}: " + " ".join(f"{k}={token}" for k, token in enumerate(tokens, 1)), room)
    panel = (free - beside) / heads
    high = panel * min(1.3, max(0.45, n_rows / n_columns))
    top = HEADER + STEP + 0.6
    foot = top + layers * high + (layers - 1) * gap
    sheet = book.sheet(SHEET, round(foot + below + STEP * (1 + len(key)) + 1.4, 1), f"{title}: every layer and head")
    x0 = SHEET - edge - heads * panel - (heads - 1) * gap
    for layer in range(layers):
        y = top + layer * (high + gap)
        sheet.text(edge, y + high / 2, f"layer {layer + 1}", colour=MUTED, rotation=90, va="center")
        sheet.labels_down(x0 - 0.5, y, high, down)
        for head in range(heads):
            draw_map(sheet, x0 + head * (panel + gap), y, panel, high, weights[layer, head, :n_rows, :n_columns])
    for head in range(heads):
        x = x0 + head * (panel + gap)
        sheet.text(x + panel / 2, HEADER, f"head {head + 1}", colour=MUTED, ha="center")
        sheet.labels_across(x, foot + (0.5 if spelled else 0.4), panel, across, rotation=90 * spelled)
    note = "Each row is a query and sums to one; columns are the keys it looks at."
    note += remarks(rows, columns, len(queries), len(keys))
    mark = texts.widest([GENERATED], "bold") + 1.5 if book.generated else 0.0  # at the right edge
    weight_bar(sheet, SHEET - edge - 34.3 - mark, HEADER - STEP - 0.2, 30.0, "right")
    sheet.lines(edge, sheet.lines(edge, foot + below + 0.6, [note], colour=MUTED), key)
    where = np.unravel_index(int(sharp.argmax()), sharp.shape)
    alt = (
        f"{title} of all {layers} layers and {heads} heads on one sentence of {len(queries)} query and {len(keys)} key "
        f"tokens. The sharpest head is layer {where[0] + 1}, head {where[1] + 1} (largest weight of a row "
        f"{sharp.max():.2f} on average), the flattest has {sharp.min():.2f}."
    )
    book.add(name, sheet, alt)


def _numbers(count: int) -> list[str]:
    """The numbers of ``count`` tokens, of which the first and every fifth are written."""
    return [str(k) if k % 5 == 0 or k == 1 else "" for k in range(1, count + 1)]
