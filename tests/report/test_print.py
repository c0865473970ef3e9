"""The page as printed: one sheet of either paper in every state of its runs, legible, vector, embedded, alike."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdf
import pytest
from fontTools.ttLib import TTFont

import synthetic_run
from onepage.errors import UserError
from onepage.files import read_json
from onepage.report import escape, pdf, render
from onepage.runs import seeds
from onepage.verification import provenance
from page_cases import Case, source_of, values_of, write_case, write_figures
from printed import Printed, fonts
from tests.report.test_page import ENGINES

PAPERS = {"a4": (595, 842), "letter": (612, 792)}
MM = 72 / 25.4
FONTS = render.ROOT / "figures" / "fonts"


# --- one sheet, whatever the runs are ------------------------------------------------------------------------------


def several(out: Path) -> Case:
    """Three seeds of both tasks."""
    case = write_case(out)
    for seed in (1, 2):
        synthetic_run.write_cls_run(case[1].parent / f"seed{seed}", seed=seed)
        synthetic_run.write_mt_run(case[2].parent / f"seed{seed}", seed=seed)
    for run in case[1:]:
        seeds.write(run)
    return case


def mixed(out: Path) -> Case:
    """The Transformer's run on generated data, that of ResNet-18 not."""
    case = write_case(out, generated=True)
    synthetic_run.write_cls_run(case[1])
    write_figures(out, "cls", case[1])
    return case


def perfect(out: Path) -> Case:
    """Nothing misclassified; one layer of two heads; no commit, no energy, no time recorded."""
    case = write_case(out)
    synthetic_run.write_cls_run(case[1], error_rate=0)
    write_figures(out, "cls", case[1])
    for run in case[1:]:
        (run / "provenance.json").write_text("{}", encoding="utf-8")
    return case


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("state", [write_case, several, mixed, perfect, lambda out: write_case(out, generated=True)])
def test_every_state_of_the_runs_makes_one_sheet(
    state: Callable[[Path], Case], engine: str, paper: str, tmp_path: Path
) -> None:
    case = state(tmp_path)
    reader = pypdf.PdfReader(render.render(*case, engine, paper))
    assert len(reader.pages) == 1
    assert tuple(round(float(x)) for x in reader.pages[0].mediabox[2:]) == PAPERS[paper]
    printed = Printed(reader.pages[0])
    assert min(printed.sizes) > 6.495  # points; two decimals are written
    text = " ".join(reader.pages[0].extract_text().split())
    for section in values_of(case)["sections"]:
        headline = section["headline"]
        for words in (headline["value"], headline["interval"], headline["seeds"], headline["verdict"]):
            assert escape.visible(words).replace("\u00a0", " ") in text.replace("\u00a0", " ")
    assert f"Set by {render.set_by(engine, paper)}" in text
    assert read_json(tmp_path / "report/report.json")["paper"] == paper
    assert provenance._set_by(tmp_path / "report/report.pdf") == [f"  page       engine {engine}, paper {paper}"]


@pytest.mark.fault("PAPER= neither a4 nor letter", "`PAPER=... is neither a4 nor letter; ...`")
def test_another_paper_is_refused(real: Case) -> None:
    with pytest.raises(UserError, match="PAPER=a5 is neither a4 nor letter"):
        render.render(*real, "latex", "a5")


# --- with the program's own pictures -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Case:
    from onepage.cls import draw as cls
    from onepage.mt import draw as mt

    out = tmp_path_factory.mktemp("drawn")
    runs = (
        synthetic_run.write_cls_run(out / "runs/cls/x/quick/seed0"),
        synthetic_run.write_mt_run(out / "runs/mt/x/quick/seed0"),
    )
    cls.draw(runs[0], out / "figures/cls")
    mt.draw(runs[1], out / "figures/mt")
    return (out, *runs)


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_text_in_pictures_is_legible_fonts_are_embedded_and_the_file_is_small(
    engine: str, paper: str, drawn: Case, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(drawn[0], tmp_path / "out"))
    path = render.render(out, *(out / run.relative_to(drawn[0]) for run in drawn[1:]), engine, paper)
    assert path.stat().st_size < 3_000_000
    reader = pypdf.PdfReader(path)
    printed = Printed(reader.pages[0])
    figures = [f for s in values_of(drawn)["sections"] for row in s["rows"] for f in row]
    # each of the ten pictures is there as drawn: a form, not a raster, at its own width
    widths = sorted(round(as_printed[0] / MM) for as_printed, _ in printed.forms if as_printed[0] > 40 * MM)
    assert widths == sorted(round(float(figure["width"])) for figure in figures)
    assert all(as_printed == pytest.approx(as_drawn, rel=1e-3) for as_printed, as_drawn in printed.forms)
    assert len(printed.sizes) > 300 and min(printed.sizes) > 6.495
    found = fonts(reader)
    assert found and all(found.values())
    assert {re.sub(r"^[A-Z]{6}\+|-\w+$", "", name.removeprefix("/")) for name in found} <= {"OnepageSans", "DejaVuSans"}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_pdffonts_finds_every_font_embedded(engine: str, drawn: Case, tmp_path: Path) -> None:
    if not shutil.which("pdffonts"):
        pytest.skip("no poppler here: make setup-tex")
    out = Path(shutil.copytree(drawn[0], tmp_path / "out"))
    path = render.render(out, *(out / run.relative_to(drawn[0]) for run in drawn[1:]), engine)
    lines = subprocess.run(["pdffonts", str(path)], capture_output=True, text=True, check=True).stdout.splitlines()[2:]
    assert lines and all(re.search(r" yes +(yes|no) +(yes|no) +\d+ +\d+$", line) for line in lines)


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks() or pdf._typst_lacks()), reason="one engine is not here")
@pytest.mark.skipif(not shutil.which("pdftotext"), reason="no poppler here: make setup-tex")
@pytest.mark.parametrize("paper", PAPERS)
def test_both_engines_set_the_same_page(paper: str, real: Case, tmp_path: Path) -> None:
    """At one size of text, every word that stands once on the page stands within a millimetre in both."""
    values = values_of(real)
    pictures = {
        f"{f['file']}.pdf": real[0] / "figures" / f"{f['file']}.pdf"
        for s in values["sections"]
        for row in s["rows"]
        for f in row
    }
    made = {
        "latex": pdf.compile_latex(source_of(real, "latex", paper), pictures, 0, tmp_path / "log"),
        "typst": pdf.compile_typst(source_of(real, "typst", paper), pictures, 0),
    }
    places = {}
    for engine, content in made.items():
        (tmp_path / f"{engine}.pdf").write_bytes(content)
        command = ["pdftotext", "-bbox", str(tmp_path / f"{engine}.pdf"), "-"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        words = re.findall(r'<word xMin="([\d.]+)" .*? yMax="([\d.]+)">(.*?)</word>', text)
        names = [word for *_, word in words]
        places[engine] = {word: (float(x), float(y)) for x, y, word in words if names.count(word) == 1}
    both = places["latex"].keys() & places["typst"].keys() - {"LaTeX,", "typst,"}
    assert len(both) > 120
    near = [
        all(abs(a - b) < MM for a, b in zip(places["latex"][word], places["typst"][word], strict=True)) for word in both
    ]
    assert sum(near) / len(near) > 0.95  # a line may break one word sooner


# --- the face ------------------------------------------------------------------------------------------------------


def tex_maker() -> Any:
    spec = importlib.util.spec_from_file_location("onepage_fonts_tex", FONTS / "tex.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_latex_can_set_what_the_face_has_and_nothing_else() -> None:
    for name in ("Regular", "Bold"):
        with TTFont(FONTS / f"OnepageSans-{name}.ttf") as font:
            known = {code for code in font.getBestCmap() if code > 0x7E and code not in (0xA0, 0xAD)}
            maker = tex_maker()
            placed = {ord(character) for character in (*maker.T1.values(), *maker.rest(font).values())}
        assert known == escape.LATEX_SETTABLE
        assert known <= placed


@pytest.mark.skipif(not shutil.which("pltotf"), reason="no pltotf here: make setup-tex")
def test_the_files_for_latex_are_those_that_the_script_makes_of_the_fonts(tmp_path: Path) -> None:
    tex_maker().build(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(made) == 7
    assert made == {name: (FONTS / name).read_bytes() for name in made}
