"""BLEU as pictures: ``bleu_report`` for the page, half a column wide, and ``bleu_sets``, every score of every test set.

Both are forest plots of scores with their bootstrap 95 % intervals. Published results are marked only beside BLEU of
lc.norm.tok text, because only that score is measured like them.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from onepage.figures import text as texts
from onepage.figures.sheet import HALF, HEADER, SHEET, Book, Sheet
from onepage.figures.style import INK, MUTED, PT_PER_MM, TEAL
from onepage.mt.facts import PUBLISHED_BY, published
from onepage.mt.figures.forest import BAND, GAP, STEP, TICK, TICKS, Forest, Row, common_scale, draw_key

FLOOR = 15.0  # the claim drawn beside the scores; the claim itself is in report/claims.toml
HEIGHT = 43.0  # mm of the small picture
EDGE = 0.6  # mm of margin at left and right
TITLE = 0.5  # mm from the top to the line of the title
MOST_SETS, MOST_BINS = 4, 5  # of the small picture
LEAST, MOST = 2.4, 5.2  # mm: height of a row
PITCH = 3.5  # mm: height of a row of the wide picture
APART = 0.3  # heights of a row between two test sets
PART = 1.6  # mm between test sets and lengths
FOOT = TICKS + 0.8  # mm under the axis


def draw(book: Book) -> None:
    """Draw both pictures from metrics.json."""
    _report(book)
    _sets(book)


def readable_name(test: str) -> str:
    """A test set's name as on the page: "test_2016_flickr" -> "test 2016", "test_2017_mscoco" -> "MSCOCO 2017"."""
    words = test.split("_")
    if words[0] != "test" or len(words) == 1:
        return " ".join(words)
    year, *source = words[1:]
    return f"test {year}" if source in ([], ["flickr"]) else " ".join([*source, year]).replace("mscoco", "MSCOCO")


# --- half a column -----------------------------------------------------------------------------------------------


def _report(book: Book) -> None:
    """Test sets, two rows each if lc.norm.tok is measured, and source lengths of the headline set, in 45 x 43 mm."""
    tests, headline = book.metrics["tests"], book.metrics["headline"]
    sheet = book.sheet(HALF, HEIGHT, "By test set")
    # The heads of the columns are in the line of the title, unless it says "generated data".
    top = HEADER + (STEP if book.generated else 0.0)
    names = sorted(tests, key=lambda name: name != headline)[:MOST_SETS]  # the headline set is never left out
    sets = [_set_rows(book, name, name == headline) for name in names]
    bins = _length_rows(tests[headline])[:MOST_BINS]
    while len(sets) > 1 and _fill(sets, bins, top)[0] < LEAST:
        sets.pop()  # bleu_sets has it
    pitch, height = _fill(sets, bins, top)
    rows = [*itertools.chain(*sets), *bins]
    second = "published" if _keyed(sets) else "n"
    left = EDGE + max(texts.width(row.label, row.weight) for row in rows) / PT_PER_MM
    left = min(left, EDGE + 14.0) + GAP
    forest = Forest(sheet, rows, common_scale(rows), (EDGE, left, HALF - EDGE, top, height), 4, ("ours", second))
    forest.name("BLEU", HEADER if book.generated else TITLE)
    y = top
    for part in sets:
        y = forest.draw_rows(part, y, pitch, guides=True) + APART * pitch
    y -= APART * pitch
    if _keyed(sets):
        draw_key(sheet, EDGE, HALF - EDGE, y + 0.3, TICK, PUBLISHED_BY)
        y += STEP
    if bins:
        y += PART
        title = texts.fit(f"By source words, {readable_name(headline)}", (HALF - 2 * EDGE) * PT_PER_MM, "bold")
        sheet.text(EDGE, y, title, weight="bold")
        if second != "n":
            sheet.text(HALF - EDGE, y, "n", colour=MUTED, ha="right")
        forest.draw_rows(bins, y + STEP, pitch, guides=True)
    book.add("bleu_report", sheet, _report_alt(book))


def _fill(sets: list[list[Row]], bins: list[Row], top: float) -> tuple[float, float]:
    """Height in mm of a row, for which rows and gaps fill the picture below ``top``, and the total height."""
    units = sum(map(len, sets)) + APART * (len(sets) - 1) + len(bins)  # rows, with the gaps between test sets
    between = (STEP if _keyed(sets) else 0.0) + (PART + STEP if bins else 0.0)  # the key; a second title
    pitch = min(MOST, (HEIGHT - FOOT - top - between) / units)
    return pitch, units * pitch + between


def _keyed(sets: list[list[Row]]) -> bool:
    return any(row.published is not None for row in itertools.chain(*sets))


def _set_rows(book: Book, name: str, strong: bool) -> list[Row]:
    """A test set's cased score and, if it is measured, its lc.norm.tok score with the published result."""
    test = book.metrics["tests"][name]
    colour, floor = TEAL if strong else INK, FLOOR if _claimed(book, name) else None
    beside = published(book.metrics, name)
    known = any(published(book.metrics, other) is not None for other in book.metrics["tests"])
    n = "" if known else f"{test['n']:,}"  # where results are published, the column has these
    row = _row(readable_name(name), test["bleu"], n, colour=colour, strong=strong, floor=floor)
    if not test["bleu_lc_norm_tok"]:
        return [row]
    look: dict[str, Any] = {"colour": colour, "text": MUTED, "hollow": True, "published": beside}
    return [row, _row("lc.norm.tok", test["bleu_lc_norm_tok"], "" if beside is None else f"{beside:.1f}", **look)]


def _row(label: str, part: Mapping[str, Any], cell: str, **look: Any) -> Row:
    """A row of a score with its interval, the score and ``cell`` in its columns."""
    return Row(label, part["score"], part["interval"], (f"{part['score']:.1f}", cell), **look)


def _claimed(book: Book, name: str) -> bool:
    """Whether the floor applies to this test set: the headline set of Multi30k, from English to German."""
    made_of = [book.metrics[key] for key in ("set", "src", "tgt")]
    return name == book.metrics["headline"] and not book.generated and made_of == ["multi30k", "en", "de"]


def _length_rows(test: Mapping[str, Any]) -> list[Row]:
    return [
        Row(span(part), part["bleu"], part["interval"], (f"{part['bleu']:.1f}", f"{part['n']:,}"), colour=TEAL)
        for part in test["bleu_by_length"]
    ]


def span(part: Mapping[str, Any]) -> str:
    """The source lengths of a row of bleu_by_length: ``1–8``, ``21+``."""
    if part["max"] is None:
        return f"{part['min']}+"
    return f"{part['min']}–{part['max']}" if part["max"] != part["min"] else f"{part['min']}"


def _report_alt(book: Book) -> str:
    tests, headline = book.metrics["tests"], book.metrics["headline"]
    cased, told = [], []
    for name, test in tests.items():
        cased.append(
            f"{readable_name(name)} {test['bleu']['score']:.1f} ({_bounds(test['bleu'])}; {test['n']:,} sentences)"
        )
        value = published(book.metrics, name)
        if tok := test["bleu_lc_norm_tok"]:
            beside = "" if value is None else f"; published {value:.1f}"
            told.append(f"{readable_name(name)} {tok['score']:.1f} ({_bounds(tok)}{beside})")
    alt = f"BLEU of cased text by test set, with 95 % bootstrap intervals: {'; '.join(cased)}."
    if _claimed(book, headline):
        alt += f" A dashed line marks the claimed floor of {FLOOR:g}."
    if told:
        alt += f" BLEU of lc.norm.tok text, the only score comparable with published results: {'; '.join(told)}."
    if any(published(book.metrics, name) is not None for name in tests):
        alt += f" Ticks mark what is published: {PUBLISHED_BY}."
    return alt + _lengths(readable_name(headline), tests[headline])


def _bounds(part: Mapping[str, Any]) -> str:
    return f"{part['interval'][0]:.1f} to {part['interval'][1]:.1f}"


def _lengths(name: str, test: Mapping[str, Any]) -> str:
    parts = [
        f"{part['bleu']:.1f} at {span(part)} words ({_bounds(part)}, n = {part['n']})"
        for part in test["bleu_by_length"]
    ]
    return f" By source length on {name}: {', '.join(parts)}." if parts else ""


# --- the whole width ---------------------------------------------------------------------------------------------


def _sets(book: Book) -> None:
    """Every score of every test set, one column per set, all on the same scales; three fill the width of the page."""
    tests = book.metrics["tests"]
    names = list(tests)[:MOST_SETS]
    scores = [_score_rows(tests[name], published(book.metrics, name)) for name in names]
    lengths = [_length_rows(tests[name]) for name in names]
    gutter = 5.0
    width = min((SHEET - 2 * EDGE - (len(names) - 1) * gutter) / len(names), 90.0)
    most_bins = max(map(len, lengths))
    tops = [HEADER + STEP + 0.6]
    tops.append(tops[0] + STEP + max(map(len, scores)) * PITCH + TICKS + 2.4)
    tops.append(tops[1] + STEP + 4 * PITCH + STEP + 2.4)
    height = tops[2] + (STEP + most_bins * PITCH + TICKS if most_bins else 0) + STEP + 2.4
    wide = 2 * EDGE + len(names) * width + (len(names) - 1) * gutter
    sheet = book.sheet(round(wide, 1), round(height, 1), "Every score of every test set, with bootstrap 95 % intervals")
    blocks = (("scores; TER: lower is better", tops[0], scores), ("BLEU by words in the source, n", tops[2], lengths))
    for number, name in enumerate(names):
        x, test = EDGE + number * (width + gutter), tests[name]
        title = f"{readable_name(name)}, {test['n']:,} sentences"
        sheet.text(x, HEADER, texts.fit(title, width * PT_PER_MM, "bold"), weight="bold", colour=TEAL)
        place = x, x + 14.0, x + width
        for title, top, rows in blocks:
            if rows[number]:
                sheet.text(x, top, texts.fit(title, width * PT_PER_MM), colour=MUTED)
                scale = common_scale(list(itertools.chain(*rows)))
                area = *place, top + STEP, len(rows[number]) * PITCH
                forest = Forest(sheet, rows[number], scale, area, 5)
                forest.draw_rows(rows[number], top + STEP, PITCH)
        _bars(sheet, place, tops[1], test["bleu"])
    note = "BLEU: cased, detokenised, 13a."
    if any(test["bleu_lc_norm_tok"] for test in tests.values()):
        note += " Only lc.norm.tok compares with published results"
        known = [f"{value:.2f}" for name in names if (value := published(book.metrics, name)) is not None]
        note += f" (tick: {PUBLISHED_BY}: {', '.join(known)})." if known else "."
    note += " Groups of few sentences are left out."
    sheet.text(EDGE, height - STEP - 0.4, texts.fit(note, (wide - 2 * EDGE) * PT_PER_MM), colour=MUTED)
    book.add("bleu_sets", sheet, _sets_alt(book))


def _score_rows(test: Mapping[str, Any], beside: float | None) -> list[Row]:
    """BLEU, its lc.norm.tok form, if there is one, with the published result ``beside`` it, chrF2 and TER."""
    hollow = {"hollow": True, "published": beside}
    known: list[tuple[str, str, dict[str, Any]]] = [
        ("BLEU", "bleu", {"colour": TEAL}),
        ("lc.norm.tok", "bleu_lc_norm_tok", hollow),
    ]
    known += [("chrF2", "chrf2", {}), ("TER", "ter", {})]
    return [_row(label, test[key], _bounds(test[key]), **look) for label, key, look in known if test[key]]


def _bars(sheet: Sheet, place: tuple[float, float, float], y: float, bleu: Mapping[str, Any]) -> None:
    """Precisions as bars from 0 to 100 %, and the brevity penalty with the lengths it comes from."""
    x, left, end = place
    sheet.text(x, y, "n-gram precision, %", colour=MUTED)
    room = end - texts.width("100.0") / PT_PER_MM - GAP - left
    y += STEP
    for k, value in enumerate(bleu["precisions"]):
        sheet.text(left - GAP, y + (PITCH - STEP) / 2, f"{k + 1}-gram", ha="right")
        sheet.bar(left, y + 0.6, room, PITCH - 1.2, "#f2f2f2")
        sheet.bar(left, y + 0.6, room * value / 100, PITCH - 1.2, BAND)
        sheet.text(end, y + (PITCH - STEP) / 2, f"{value:.1f}", ha="right")
        y += PITCH
    lengths = f"{bleu['hypothesis_length']:,} tokens for {bleu['reference_length']:,}"
    said = f"brevity penalty {bleu['brevity_penalty']:.3f} ({lengths})"
    sheet.text(x, y, texts.fit(said, (end - x) * PT_PER_MM))


def _sets_alt(book: Book) -> str:
    told = []
    for name, test in book.metrics["tests"].items():
        scores = ", ".join(f"{row.label} {row.cells[0]} ({row.cells[1]})" for row in _score_rows(test, None))
        precisions = ", ".join(f"{value:.1f}" for value in test["bleu"]["precisions"])
        told.append(
            f"{readable_name(name)}: {scores}; precision of 1- to 4-grams {precisions} %, brevity penalty "
            f"{test['bleu']['brevity_penalty']:.3f}.{_lengths(readable_name(name), test)}"
        )
    return f"Scores with 95 % bootstrap intervals. {' '.join(told)}"
