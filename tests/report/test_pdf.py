"""PDF engines: the right one is chosen, failures are clear, and LaTeX reaches nothing outside its folder."""

import io
from pathlib import Path

import pytest
from PIL import Image

from onepage.errors import UserError
from onepage.report import pdf

needs_latex = pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")
DOCUMENT = r"\documentclass{article}\begin{document}%s\end{document}"


@pytest.mark.fault("LaTeX fails", "`LaTeX failed: ... (log: ...); ...`")
@pytest.mark.slow
@needs_latex
def test_a_latex_failure_names_its_first_error(tmp_path: Path) -> None:
    log = tmp_path / "report.log"
    with pytest.raises(UserError, match=r"! Undefined control sequence\..*report\.log"):
        pdf.compile_latex(DOCUMENT % r"\nosuchthing", {}, 0, log)
    assert "nosuchthing" in log.read_text()


@pytest.mark.slow
@needs_latex
@pytest.mark.parametrize(
    ("body", "says"),
    [(r"\hbox to 1cm{far too many words for a centimetre}", "Overfull"), (r"a\newpage b", "2 pages")],
)
def test_an_overfull_box_or_a_second_page_does_not_pass(body: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(pdf.DoesNotFit, match=says):
        pdf.compile_latex(DOCUMENT % body, {}, 0, tmp_path / "log")


@pytest.mark.fault(
    "\\write18 and \\input in the LaTeX source itself", "no command is run, no file outside its folder read"
)
@pytest.mark.slow
@needs_latex
def test_latex_reads_nothing_outside_and_runs_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.tex").write_text("secret words")
    for body in (rf"\input{{{tmp_path}/secret}}", r"\input{../secret}"):
        with pytest.raises(UserError, match="LaTeX failed"):
            pdf.compile_latex(DOCUMENT % body, {}, 0, tmp_path / "log")
    pdf.compile_latex(DOCUMENT % rf"\immediate\write18{{touch {tmp_path}/made}}a", {}, 0, tmp_path / "log")
    assert not (tmp_path / "made").exists()


def test_auto_takes_latex_then_typst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "_latex_lacks", lambda: "")
    monkeypatch.setattr(pdf, "_typst_lacks", lambda: "")
    assert [pdf.resolve_engine(wish) for wish in ("auto", "latex", "typst")] == ["latex", "latex", "typst"]
    monkeypatch.setattr(pdf, "_latex_lacks", lambda: "lmodern.sty")
    assert pdf.resolve_engine("auto") == "typst"
    with pytest.raises(UserError, match=r"lmodern\.sty.*make setup-tex"):
        pdf.resolve_engine("latex")
    monkeypatch.setattr(pdf, "_typst_lacks", lambda: "the Python package typst")
    with pytest.raises(UserError, match="make setup-tex"):
        pdf.resolve_engine("auto")


def test_latex_is_lacking_without_its_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "pdflatex" in pdf._latex_lacks() and "latexmk" in pdf._latex_lacks()


def test_pdftoppm_makes_the_picture_of_latex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "made.png")
    program = tmp_path / "bin" / "pdftoppm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexpr "$*" : ".*-r 150 page.pdf page" && cp {tmp_path}/made.png page.png\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    content = pdf.image(b"%PDF", tmp_path / "report.tex", "run 1; é")
    assert content is not None
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        assert picture.size == (8, 8) and picture.text == {"Source": "run 1; é"}  # type: ignore[attr-defined]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pdf.image(b"%PDF", tmp_path / "report.tex", "run 1") is None
