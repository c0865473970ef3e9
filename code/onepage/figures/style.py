"""Colours, type and the rcParams every figure is drawn under.

Colours are Paul Tol's (https://sronpersonalpages.nl/~pault/, "high-contrast", "vibrant" and "YlOrBr"), a teal and two
colour maps made here. They can be told apart in print and by colour-blind readers, and there is always a second cue
(line style, marker, underline, place). The style sheet and the fonts are in the repository's figures/ folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import matplotlib
from matplotlib import font_manager
from matplotlib.colors import LinearSegmentedColormap

from onepage.errors import UserError
from onepage.files import HOME

STYLE_SHEET = HOME / "figures" / "onepage.mplstyle"
FONTS = HOME / "figures" / "fonts"
FONT_FILES = {"normal": FONTS / "OnepageSans-Regular.ttf", "bold": FONTS / "OnepageSans-Bold.ttf"}

MM_PER_INCH = 25.4
PT_PER_MM = 72 / MM_PER_INCH
DPI = 300
SIZE_PT = 6.5  # the one text size; nothing is smaller
LINE_PT = 7.9  # from baseline to baseline
STEP = LINE_PT / PT_PER_MM  # the same, in mm

INK = "#222222"
MUTED = "#5f5f5f"
FAINT = "#bbbbbb"
# A hue has one meaning: blue and teal are the models of the two sections, grey is training and published results, red
# is errors.
BLUE, TEAL, RED = "#004488", "#00695c", "#bb5566"
WARNING = "#cc3311"  # vibrant; kept for "generated data"

# Sequential maps that begin at white, which means zero, and only get darker. YlOrBr begins at a purer white than Tol's
# and ends before his browns, because images must show through its darkest colour.
_YLORBR = "ffffff fff7bc fee391 fec44f fb9a29 ec7014 cc4c02"
# One hue each, 183 degrees for attention and 18 for errors: lightness (CIELAB L*) falls in equal steps from 100 to 24
# and 28, so that half the weight looks half as dark.
_TEALS = "ffffff caebe5 99d5ca 6cbdb1 40a598 128d7f 007367 005950 00413a"
_REDS = "ffffff ffddde ffbabe ff959d ee7682 d65c6a b84656 953744 6f2c34"
YLORBR, TEALS, REDS = (
    LinearSegmentedColormap.from_list(name, [f"#{code}" for code in codes.split()])
    for name, codes in (("ylorbr", _YLORBR), ("teals", _TEALS), ("reds", _REDS))
)


@contextmanager
def onepage_style() -> Iterator[None]:
    """Within: draw with matplotlib's defaults and the style sheet, without the user's own settings.

    Raises UserError if the style sheet or a font is missing from the repository.
    """
    _register_fonts()
    if not STYLE_SHEET.is_file():
        raise UserError(f"{STYLE_SHEET} is missing; restore it with git checkout")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc_file(STYLE_SHEET)
        yield


@cache
def _register_fonts() -> None:
    for path in FONT_FILES.values():
        if not path.is_file():
            raise UserError(f"{path} is missing; restore it with git checkout")
        font_manager.fontManager.addfont(path)
