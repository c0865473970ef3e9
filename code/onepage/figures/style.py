"""Colours, type and the rcParams every figure is drawn under.

Colours are Paul Tol's (https://sronpersonalpages.nl/~pault/, "high-contrast", "vibrant", "iridescent" and
"YlOrBr") and one map made here; they keep apart in print and for colour-blind readers, and a second cue (line style,
marker, underline, place) always stands beside them. The style sheet and the fonts lie in the repository's figures/
folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import matplotlib
from matplotlib import font_manager
from matplotlib.colors import LinearSegmentedColormap

from onepage.errors import UserError
from onepage.files import HOME

REPOSITORY = HOME
STYLE_SHEET = REPOSITORY / "figures" / "onepage.mplstyle"
FONTS = REPOSITORY / "figures" / "fonts"
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
BLUE, RED, YELLOW = "#004488", "#bb5566", "#ddaa33"  # high-contrast
WARNING = "#cc3311"  # vibrant; kept for "generated data"

# Sequential maps that begin at white, so that nothing is nothing, and only get darker. YlOrBr begins at a purer white
# than Tol's and ends before his browns: it is laid over images, which must show through its darkest colour.
_IRIDESCENT = """ffffff fcf7d5 f5f3c1 eaf0b5 ddecbf d0e7ca c2e3d2 b5ddd8 a8d8dc 9bd2e1 8dcbe4 81c4e7
    7bbce7 7eb2e4 88a5dd 9398d2 9b8ac4 9d7db2 9a709e 906388 805770 684957 46353a"""
_YLORBR = "ffffff fff7bc fee391 fec44f fb9a29 ec7014 cc4c02"
# One hue, for attention: lightness (CIELAB L*) falls from 100 to 24 in equal steps at hue 276 degrees, so that half the
# weight looks half as dark and no weight looks like a class of its own.
_BLUES = "ffffff dfe4f1 bec9e4 9db0d6 7c97c8 577eba 2667ad 00508f 003a6a"
IRIDESCENT, YLORBR, BLUES = (
    LinearSegmentedColormap.from_list(name, [f"#{code}" for code in codes.split()])
    for name, codes in (("iridescent", _IRIDESCENT), ("ylorbr", _YLORBR), ("blues", _BLUES))
)


@contextmanager
def onepage_style() -> Iterator[None]:
    """Draw under matplotlib's defaults plus the style sheet, whatever the user's own settings are.

    Raises UserError when the style sheet or a font is missing from the repository.
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
