"""Text from data prepared for pictures: every character visible, every line within its width.

Widths are measured with the fonts that draw the text, in points at the figures' one size. There is no hyphenation: a
word longer than a line is broken at the end of the line.
"""

import itertools
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font, LoadFlags

from onepage.figures.style import FONT_FILES, PT_PER_MM, SIZE_PT

INVISIBLE = "\u00b7"  # stands for a control or zero-width character
MISSING = "\ufffd"  # stands for a character no font has
ELLIPSIS = "\u2026"
Part = tuple[str, bool]  # some characters of a word, and whether they are marked
Word = list[Part]


def _files(weight: str) -> list[str]:
    """Our font and the fallback."""
    return [
        str(FONT_FILES[weight]),
        font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight)),
    ]


@cache
def _fonts(weight: str) -> FT2Font:
    return font_manager.get_font(_files(weight))


@cache
def _drawable() -> frozenset[int]:
    """Code points that both weights can draw, including the fallback."""
    fonts = [[font_manager.get_font(file) for file in _files(weight)] for weight in FONT_FILES]
    return frozenset.intersection(*(frozenset({**a.get_charmap(), **b.get_charmap()}) for a, b in fonts))


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """``text`` with every character visible: composed (NFC), special spaces plain, the rest replaced by a mark."""
    shown = []
    for character in unicodedata.normalize("NFC", text):
        category, code = unicodedata.category(character), ord(character)
        if category == "Zs":
            shown.append(" ")
        elif category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") or 0xFE00 <= code <= 0xFE0F:
            shown.append(MISSING if category in ("Cs", "Co", "Cn") else INVISIBLE)
        else:
            shown.append(character if code in _drawable() else MISSING)
    return "".join(shown)


@lru_cache(maxsize=65536)
def width(text: str, weight: str = "normal") -> float:
    """Width of ``text`` (already clean) in points, including kerning and outer spaces."""
    # The ink box ends at the last visible glyph; a bar on both sides makes outer spaces count.
    return _ink(f"|{text}|", weight) - _ink("||", weight)


def widest(labels: Iterable[str], weight: str = "normal") -> float:
    """Width in mm of the widest of some clean texts."""
    return max(width(label, weight) for label in labels) / PT_PER_MM


def _ink(text: str, weight: str) -> float:
    font = _fonts(weight)
    font.set_size(SIZE_PT, 72)
    font.set_text(text, 0.0, flags=LoadFlags.NO_HINTING)
    return font.get_width_height()[0] / 64


def fit(text: str, room: float, weight: str = "normal") -> str:
    """``text`` cleaned, and cut with an ellipsis if it is wider than ``room`` points."""
    text = clean(text)
    if width(text, weight) <= room:
        return text
    low, high = 0, len(text)
    while low < high:  # the longest beginning that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width(text[:middle] + ELLIPSIS, weight) <= room else (low, middle - 1)
    return text[:low].rstrip() + ELLIPSIS


def wrap(text: str, room: float) -> list[str]:
    """Lines of ``text``, each at most ``room`` points wide."""
    return [plain(line) for line in wrap_words([[(word, False)] for word in words(text)], room)]


def words(text: str) -> list[str]:
    """The words of ``text``, cleaned."""
    return clean(text).split()


def plain(line: Sequence[Word]) -> str:
    """Words without their marks, with spaces between them."""
    return " ".join("".join(part for part, _ in word) for word in line)


def wrap_words(marked: Sequence[Word], room: float, limit: int | None = None) -> list[list[Word]]:
    """Break words into lines at most ``room`` points wide; of more than ``limit``, the last ends in an ellipsis."""
    lines: list[list[Word]] = [[]]
    for word in marked:
        rest = word
        while rest:
            line = lines[-1]
            if width(plain([*line, rest])) <= room:
                line.append(rest)
                break
            if line:
                lines.append([])
                continue
            cut = max(1, len(fit(plain([rest]), room)) - 1)  # fit() leaves room for the ellipsis it adds
            line.append(_slice(rest, 0, cut))
            rest = _slice(rest, cut, None)
            lines.append([])
    if not lines[-1] and len(lines) > 1:
        lines.pop()
    if limit is not None and len(lines) > limit:
        last, more = lines[limit - 1], [(ELLIPSIS, False)]
        while len(last) > 1 and width(plain([*last, more])) > room:
            last.pop()
        lines = [*lines[: limit - 1], [*last, more]]
    return lines


def _slice(word: Word, start: int, end: int | None) -> Word:
    """The characters start to end of a word, with their marks."""
    flat = [(character, mark) for part, mark in word for character in part][start:end]
    return [("".join(c for c, _ in run), mark) for mark, run in itertools.groupby(flat, key=lambda each: each[1])]


def percent(share: float) -> str:
    """A share as a percentage; only 1 is printed as 100 %, only 0 as 0 %."""
    value = 100 * float(share)
    if value >= 99:
        return f"{min(value, 99.9):.1f} %" if value < 100 else "100 %"
    return f"{value:.0f} %" if value >= 1 or value == 0 else "<1 %"
