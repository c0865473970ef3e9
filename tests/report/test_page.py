"""The page: one sheet in both engines, this run's figures in its words, one clear line when something is missing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pypdf
import pytest

from onepage.errors import UserError
from onepage.report import context, facts, pdf, render
from page_cases import Case, change_run, values_of, write_case

ENGINES = [
    pytest.param("latex", marks=pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")),
    pytest.param("typst", marks=pytest.mark.skipif(bool(pdf._typst_lacks()), reason="no typst wheel here")),
]


# --- the PDF -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_is_one_a4_sheet_with_title_language_and_provenance(engine: str, fresh: Case) -> None:
    path = render.render(*fresh, engine)
    reader = pypdf.PdfReader(path)
    assert path == fresh[0] / "report" / "report.pdf"
    assert len(reader.pages) == 1
    assert [round(float(x)) for x in reader.pages[0].mediabox] == [0, 0, 595, 842]
    assert reader.metadata is not None and reader.metadata.title == values_of(fresh)["title"]
    assert "recipe" in str(reader.metadata.subject) and "seed 0" in str(reader.metadata.subject)
    assert str(reader.trailer["/Root"]["/Lang"]).startswith("en")  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_shows_the_headlines_with_interval_n_and_floor(engine: str, fresh: Case) -> None:
    text = " ".join(pypdf.PdfReader(render.render(*fresh, engine)).pages[0].extract_text().split())
    for section in values_of(fresh)["sections"]:
        headline = section["headline"]
        for words in (headline["value"], headline["label"], headline["interval"], headline["n"]):
            assert words.replace(facts.NBSP, " ") in text
    assert text.count("PASS") == 2 and "NOT CHECKED" not in text and "Generated" not in text


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_generated_data_is_said_across_the_top_and_in_every_caption(engine: str, generated: Case) -> None:
    text = " ".join(pypdf.PdfReader(render.render(*generated, engine)).pages[0].extract_text().split())
    values = values_of(generated)
    captions = [figure["text"] for s in values["sections"] for row in s["rows"] for figure in row]
    assert len(captions) == 10 and all(caption.startswith("Generated data.") for caption in captions)
    assert text.startswith("Generated stand-in data: toy-images (cls) and toy-translation (mt).")
    assert text.count("Generated data.") == 10
    assert text.count("NOT CHECKED") == 2 and "PASS" not in text


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_rendering_twice_gives_the_same_bytes(
    engine: str, fresh: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = render.render(*fresh, engine).read_bytes()
    created = pypdf.PdfReader(fresh[0] / "report" / "report.pdf").metadata.creation_date  # type: ignore[union-attr]
    # no clock but the commit's; the typst page carries no date
    assert (created and created.timestamp()) == (values_of(fresh)["commit_time"] if engine == "latex" else None)
    # in another place, language and zone, under another clock
    for name, value in (("LC_ALL", "C"), ("TZ", "Asia/Tokyo"), ("SOURCE_DATE_EPOCH", "86400")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "another place" / "out"
    shutil.copytree(fresh[0], elsewhere)
    shutil.rmtree(elsewhere / "report")
    runs = [elsewhere / run.relative_to(fresh[0]) for run in fresh[1:]]
    assert render.render(elsewhere, *runs, engine).read_bytes() == first


@pytest.mark.fault("long class names made of LaTeX", "one page, printing them as they are")
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_long_and_odd_names_still_make_one_page(engine: str, fresh: Case) -> None:
    def change(metrics: dict[str, Any]) -> None:
        odd = r"\input{x}_50%_$&#^~" * 5
        for row in metrics["test"]["per_class"] + metrics["test"]["top_confusions"]:
            for key in ("name", "true", "predicted"):
                if key in row:
                    row[key] = odd + str(row[key])

    change_run(fresh, "cls", change)
    provenance = fresh[1] / "provenance.json"
    values = json.loads(provenance.read_text())
    values["host"]["cpu"] = "AMD EPYC 9V74 80-Core Processor with 3D V-Cache & 100 % more_underscores"
    provenance.write_text(json.dumps(values))
    reader = pypdf.PdfReader(render.render(*fresh, engine))
    assert len(reader.pages) == 1 and r"\input{x}_50%_$" in reader.pages[0].extract_text()


@pytest.mark.fault("prose that no page holds", "`the page does not fit at ...`; nothing is written")
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_page_that_cannot_fit_is_an_error_and_writes_nothing(
    engine: str, fresh: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = context.load_page(render.ROOT / "report" / "page.toml")
    page["cls"]["objective"] = "More words than a page has room for. " * 150
    monkeypatch.setattr(context, "load_page", lambda path: page)
    with pytest.raises(UserError, match=r"does not fit at 6\.5 pt"):
        render.render(*fresh, engine)
    assert not (fresh[0] / "report").exists()


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._typst_lacks()), reason="no typst wheel here")
def test_the_typst_page_carries_each_pictures_alternative_text_and_no_foreign_font(fresh: Case) -> None:
    reader = pypdf.PdfReader(render.render(*fresh, "typst"))
    objects = [reader.get_object(number) for number in range(1, int(str(reader.trailer["/Size"])))]
    dictionaries = [item for item in objects if isinstance(item, dict)]
    alternatives = {str(item["/Alt"]) for item in dictionaries if "/Alt" in item}
    shown = {f["alt"] for s in values_of(fresh)["sections"] for row in s["rows"] for f in row}
    assert len(shown) == 10 and shown <= alternatives
    fonts = {str(item["/BaseFont"]) for item in dictionaries if item.get("/Type") == "/Font"}
    assert fonts and all("Onepage" in name or "DejaVu" in name for name in fonts)


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")
def test_the_latex_source_also_compiles_where_it_stands(fresh: Case) -> None:
    render.render(*fresh, "latex")
    folder = fresh[0] / "report"
    (fresh[0] / "figures/fonts").symlink_to(render.ROOT / "figures/fonts")  # as in the repository
    command = ["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "report.tex"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "Overfull" not in (folder / "report.log").read_text(errors="replace")


@pytest.mark.fault("LaTeX fails", "`LaTeX failed: ... (log: ...); ...`")
@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")
def test_a_latex_failure_names_the_first_error_and_keeps_the_log(tmp_path: Path) -> None:
    log = tmp_path / "report.log"
    with pytest.raises(UserError, match=r"! Undefined control sequence\..*report\.log"):
        pdf.compile_latex(r"\documentclass{article}\begin{document}\nosuchthing\end{document}", {}, 0, log)
    assert "nosuchthing" in log.read_text()


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")
@pytest.mark.parametrize(
    ("body", "says"),
    [(r"\hbox to 1cm{far too many words for a centimetre}", "Overfull"), (r"a\newpage b", "2 pages")],
)
def test_an_overfull_box_or_a_second_page_does_not_pass(body: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(pdf.DoesNotFit, match=says):
        pdf.compile_latex(rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}", {}, 0, tmp_path / "l")


@pytest.mark.fault(
    "\\write18 and \\input in the LaTeX source itself", "no command is run, no file outside its folder read"
)
@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")
def test_latex_reads_no_file_outside_its_folder_and_runs_no_command(tmp_path: Path) -> None:
    (tmp_path / "secret.tex").write_text("secret words")
    for body in (rf"\input{{{tmp_path}/secret}}", r"\input{../secret}"):
        with pytest.raises(UserError, match="LaTeX failed"):
            pdf.compile_latex(
                rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}", {}, 0, tmp_path / "log"
            )
    source = rf"\documentclass{{article}}\begin{{document}}\immediate\write18{{touch {tmp_path}/made}}a\end{{document}}"
    pdf.compile_latex(source, {}, 0, tmp_path / "log")
    assert not (tmp_path / "made").exists()


def test_with_one_task_on_generated_data_only_its_parts_are_marked(real: Case, tmp_path: Path) -> None:
    case = write_case(tmp_path, generated=True)
    shutil.copytree(real[0] / "figures/cls", tmp_path / "figures/cls", dirs_exist_ok=True)
    values = values_of((tmp_path, real[1], case[2]))
    assert values["band"] == ("Generated stand-in data: toy-translation (mt). These scores say nothing about Multi30k.")
    marks = {
        section["task"]: {figure["text"].startswith("Generated data.") for row in section["rows"] for figure in row}
        for section in values["sections"]
    }
    assert marks == {"cls": {False}, "mt": {True}}
    insights = {item["title"]: item["text"].startswith("(Generated data.)") for item in values["insights"]["items"]}
    assert insights["Search helps."] and not insights["Errors cluster."]


# --- the engine --------------------------------------------------------------------------------------------------


def test_auto_takes_latex_then_typst_and_else_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(UserError, match="PDF_ENGINE=word"):
        pdf.resolve_engine("word")


def test_latex_is_lacking_where_there_is_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "pdflatex" in pdf._latex_lacks() and "latexmk" in pdf._latex_lacks()


# --- what is missing ---------------------------------------------------------------------------------------------


def test_a_missing_run_says_not_run_and_how_to_run_it(fresh: Case) -> None:
    out, cls_run, mt_run = fresh
    with pytest.raises(UserError, match="cls: not run: make cls"):
        render.render(out, out / "runs/none", mt_run, "latex")
    (mt_run / "metrics.json").unlink()
    with pytest.raises(UserError, match="mt: not run: make mt"):
        render.render(out, cls_run, mt_run, "latex")


def test_a_run_of_the_other_task_is_refused(fresh: Case) -> None:
    with pytest.raises(UserError, match="is of task 'mt', not 'cls'"):
        values_of((fresh[0], fresh[2], fresh[1]))


def test_missing_tampered_and_stale_pictures_are_each_named(fresh: Case) -> None:
    picture = fresh[0] / "figures/cls/gradcam_0.pdf"
    content = picture.read_bytes()
    picture.unlink()
    with pytest.raises(UserError, match=r"gradcam_0\.pdf is missing"):
        values_of(fresh)
    picture.write_bytes(content + b"%")
    with pytest.raises(UserError, match=r"gradcam_0\.pdf is not the picture that was drawn"):
        values_of(fresh)
    picture.write_bytes(content)
    path = fresh[2] / "metrics.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(UserError, match=r"drawn from other metrics.*make mt"):
        values_of(fresh)
    (fresh[0] / "figures/cls/figures.json").unlink()
    with pytest.raises(UserError, match="pictures not drawn: make cls"):
        values_of(fresh)


def test_a_picture_that_was_not_drawn_and_one_with_a_bad_name_are_errors(fresh: Case) -> None:
    path = fresh[0] / "figures/cls/figures.json"
    manifest = json.loads(path.read_text())
    rows = manifest["figures"]
    manifest["figures"] = [row for row in rows if row["name"] != "preds_grid"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="preds_grid was not drawn"):
        values_of(fresh)
    manifest["figures"] = [*rows, rows[0] | {"name": "../../x"}]
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="no name for a picture"):
        values_of(fresh)


def test_metrics_that_lack_a_number_are_a_user_error(fresh: Case) -> None:
    change_run(fresh, "cls", lambda metrics: metrics["test"].pop("ece"))
    with pytest.raises(UserError, match="ece"):
        values_of(fresh)


def test_rendering_imports_neither_torch_nor_numpy(fresh: Case) -> None:
    engine = "typst" if not pdf._typst_lacks() else "latex"
    code = (
        "import sys; sys.modules.update(torch=None, numpy=None)\n"  # importing either raises ImportError
        "from pathlib import Path; from onepage.report.render import render\n"
        f"render(*map(Path, sys.argv[1:4]), {engine!r})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, fresh)],
        env={"PYTHONPATH": str(render.ROOT / "code"), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
