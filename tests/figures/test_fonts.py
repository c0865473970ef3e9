"""The typeface of page and pictures: LaTeX sets exactly its characters, from files that a script makes."""

import shutil
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from checkout import load_script
from onepage.files import HOME
from onepage.report import escape

FONTS = HOME / "figures" / "fonts"


def test_latex_sets_what_the_face_has() -> None:
    for name in ("Regular", "Bold"):
        with TTFont(FONTS / f"OnepageSans-{name}.ttf") as font:
            known = {code for code in font.getBestCmap() if code > 0x7E and code not in (0xA0, 0xAD)}
            maker = load_script(FONTS / "tex.py")
            placed = {ord(character) for character in (*maker.T1.values(), *maker.rest(font).values())}
        assert known == escape.LATEX_SETTABLE
        assert known <= placed


@pytest.mark.skipif(not shutil.which("pltotf"), reason="no pltotf here: make setup-tex")
def test_latex_files_are_what_the_script_makes(tmp_path: Path) -> None:
    load_script(FONTS / "tex.py").build(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(made) == 7
    assert made == {name: (FONTS / name).read_bytes() for name in made}
