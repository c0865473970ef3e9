"""How the two font files beside this script were made; run it only to make them again.

    python figures/fonts/build.py FOLDER    # FOLDER holds FiraSansCondensed-Regular.ttf and -SemiBold.ttf (4.203)
    python figures/fonts/tex.py             # then: what pdfLaTeX needs to set them

Fira Sans Condensed (SIL Open Font License 1.1, no reserved name) is about a fifth narrower than DejaVu Sans at nearly
the same x-height, so that whole class names and subwords stand in a picture 45 mm wide at 6.5 pt; its semi-bold serves
as the bold. The files are reduced to Latin, punctuation and arrows, with a plain kerning table: every PDF embeds a part
of the font, and cutting that part out is four times faster without OpenType layout tables. They gain sentencepiece's
word mark U+2581 and the replacement character U+FFFD, so that no second font is embedded for these. They are renamed
"Onepage Sans", because they are no longer the published font and must not be mistaken for one that a system has. Every
other script falls back to DejaVu Sans, which matplotlib brings along.
"""

import string
import sys
from pathlib import Path

from fontTools import subset
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont, newTable
from fontTools.ttLib.tables._k_e_r_n import KernTable_format_0

FAMILY = "Onepage Sans"
KERNED = string.ascii_letters + "ÄÖÜäöüß.,:-"
CHARACTERS = [
    *range(0x20, 0x7F),
    *range(0xA0, 0x180),  # Latin-1, Latin Extended-A
    *range(0x2010, 0x2027),  # dashes, quotation marks, bullets, ellipsis
    *(0x2030, 0x2032, 0x2033, 0x2039, 0x203A, 0x20AC, 0x2190, 0x2191, 0x2192, 0x2193),
    *(0x2212, 0x2248, 0x2260, 0x2264, 0x2265),
]


def build(source: Path, target: Path, style: str, weight: int) -> None:
    """Write the reduced, renamed font ``target`` from the published file ``source``."""
    font = TTFont(source, recalcTimestamp=False)
    options = subset.Options()
    options.hinting = False
    options.layout_features = ["kern"]
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    reducer = subset.Subsetter(options)
    reducer.populate(unicodes=CHARACTERS)
    reducer.subset(font)
    _flatten_kerning(font)
    _add_marks(font)
    names = {1: FAMILY, 2: style, 3: f"{FAMILY} {style}", 4: f"{FAMILY} {style}", 6: f"OnepageSans-{style}"}
    for record in list(font["name"].names):
        if record.nameID in names:
            record.string = names[record.nameID]
    font["OS/2"].usWeightClass = weight
    font["OS/2"].version = 3  # the same fields as 4, which pdfTeX of TeX Live 2022 refuses
    font["OS/2"].fsSelection &= 0x7F  # its later bits are of version 4
    font.save(target)


def _flatten_kerning(font: TTFont) -> None:
    """Replace the GPOS pair adjustments by a "kern" table of the pairs that German and English text is made of."""
    cmap = font.getBestCmap()
    letters = [cmap[ord(c)] for c in KERNED]
    pairs: dict[tuple[str, str], int] = {}
    lookups = font["GPOS"].table.LookupList.Lookup
    subtables = [getattr(part, "ExtSubTable", part) for lookup in lookups for part in lookup.SubTable]
    for left in letters:
        for right in letters:
            value = next((v for v in (_pair(part, left, right) for part in subtables) if v is not None), 0)
            if abs(value) >= 8:  # a hundredth of the em: less cannot be seen at 6.5 pt
                pairs[left, right] = value
    for tag in ("GPOS", "GSUB", "GDEF"):
        if tag in font:
            del font[tag]
    plain = KernTable_format_0()
    plain.coverage, plain.version, plain.format, plain.tupleIndex, plain.apple = 1, 0, 0, None, False
    plain.kernTable = pairs
    table = newTable("kern")
    table.version, table.kernTables = 0, [plain]
    font["kern"] = table


def _pair(part, left: str, right: str) -> int | None:
    """The adjustment of one PairPos subtable; None where it does not speak of the pair (the next one may)."""
    if type(part).__name__ != "PairPos" or left not in part.Coverage.glyphs:
        return None
    if part.Format == 1:
        rows = part.PairSet[part.Coverage.glyphs.index(left)].PairValueRecord
        return next((_advance(row.Value1) for row in rows if row.SecondGlyph == right), None)
    first, second = part.ClassDef1.classDefs.get(left, 0), part.ClassDef2.classDefs.get(right, 0)
    return _advance(part.Class1Record[first].Class2Record[second].Value1)


def _advance(value) -> int:
    return int(getattr(value, "XAdvance", 0) or 0)


def _add_marks(font: TTFont) -> None:
    """Add the low bar U+2581 and the hollow diamond U+FFFD."""
    bar = [(0.04, -0.14), (0.04, -0.07), (0.40, -0.07), (0.40, -0.14)]
    diamond = [(0.03, 0.33), (0.30, 0.70), (0.57, 0.33), (0.30, -0.04)]
    hole = [(0.11, 0.33), (0.30, 0.07), (0.49, 0.33), (0.30, 0.59)]  # the other way round, so that it stays empty
    _add_glyph(font, 0x2581, 0.44, [bar])
    _add_glyph(font, 0xFFFD, 0.60, [diamond, hole])


def _add_glyph(font: TTFont, code: int, advance: float, outlines: list[list[tuple[float, float]]]) -> None:
    """Add a glyph of straight outlines, given in parts of the em."""
    em, name = font["head"].unitsPerEm, f"uni{code:04X}"
    pen = TTGlyphPen(None)
    for outline in outlines:
        points = [(round(x * em), round(y * em)) for x, y in outline]
        pen.moveTo(points[0])
        for point in points[1:]:
            pen.lineTo(point)
        pen.closePath()
    font.setGlyphOrder([*font.getGlyphOrder(), name])
    font["glyf"][name] = pen.glyph()
    font["hmtx"][name] = (round(advance * em), round(min(x for x, _ in outlines[0]) * em))
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap[code] = name


if __name__ == "__main__":
    published, here = Path(sys.argv[1]), Path(__file__).resolve().parent
    build(published / "FiraSansCondensed-Regular.ttf", here / "OnepageSans-Regular.ttf", "Regular", 400)
    build(published / "FiraSansCondensed-SemiBold.ttf", here / "OnepageSans-Bold.ttf", "Bold", 700)
