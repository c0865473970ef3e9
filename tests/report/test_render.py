"""The printed page: one legible sheet on either paper for every state of its runs; vector pictures, embedded fonts."""

import functools
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdf
import pytest
from PIL import Image

import synthetic_run
from onepage.errors import UserError
from onepage.files import HOME, read_json, sha256_file
from onepage.report import context, escape, inputs, pdf, render
from onepage.runs.words import NBSP
from onepage.verification import provenance
from page_cases import (
    ENGINES,
    Case,
    change_run,
    elsewhere,
    rendered,
    several,
    source_of,
    values_of,
    write_case,
    write_figures,
)
from printed import Printed, fonts

PAPERS = {"a4": (595, 842), "letter": (612, 792)}
MM = 72 / 25.4


Sheet = Callable[..., tuple[Case, Path]]


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Sheet:
    """A function that returns a state of the runs and its page, made once; tests must not change them."""
    made = functools.cache(lambda state: state(tmp_path_factory.mktemp("state") / "out"))

    @functools.cache
    def page(state: Callable[[Path], Case], engine: str, paper: str = "a4") -> tuple[Case, Path]:
        case = elsewhere(made(state), tmp_path_factory.mktemp("sheet") / "out")
        return case, rendered(case, engine, paper)

    return page


def on_generated_data(out: Path) -> Case:
    return write_case(out, generated=True)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_generated_data_is_said_in_every_caption(engine: str, sheet: Sheet) -> None:
    generated, path = sheet(on_generated_data, engine)
    text = " ".join(pypdf.PdfReader(path).pages[0].extract_text().split())
    values = values_of(generated)
    captions = [figure["text"] for s in values["sections"] for row in s["rows"] for figure in row]
    assert len(captions) == 10 and all(caption.startswith("Generated data.") for caption in captions)
    assert text.startswith("Generated stand-in data: toy-images (cls) and toy-translation (mt).")
    assert text.count("Generated data.") == 10
    assert text.count("NOT CHECKED") == 2 and "PASS" not in text


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_rendering_twice_gives_the_same_bytes(
    engine: str, sheet: Sheet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, path = sheet(write_case, engine)
    first = path.read_bytes()
    created = pypdf.PdfReader(path).metadata.creation_date  # type: ignore[union-attr]
    # the only date is the commit's; the typst page has none
    assert (created and created.timestamp()) == (values_of(fresh)["commit_time"] if engine == "latex" else None)
    # another folder, language, time zone and clock
    for name, value in (("LC_ALL", "C"), ("TZ", "Asia/Tokyo"), ("SOURCE_DATE_EPOCH", "86400")):
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    other = elsewhere(fresh, tmp_path / "another place" / "out")
    shutil.rmtree(other[0] / "report")
    assert rendered(other, engine).read_bytes() == first


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
    reader = pypdf.PdfReader(rendered(fresh, engine))
    assert len(reader.pages) == 1 and r"\input{x}_50%_$" in reader.pages[0].extract_text()


@pytest.mark.fault("prose that no page holds", "`the page does not fit at ...`; nothing is written")
@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_page_that_cannot_fit_writes_nothing(engine: str, fresh: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    page = inputs.load_page(HOME / "report" / "page.toml")
    page["cls"]["objective"] = "More words than a page has room for. " * 150
    monkeypatch.setattr(context, "load_page", lambda path: page)
    with pytest.raises(UserError, match=r"does not fit at 6\.5 pt"):
        rendered(fresh, engine)
    assert not (fresh[0] / "report").exists()


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._typst_lacks()), reason="no typst wheel here")
def test_typst_carries_alternative_texts(sheet: Sheet) -> None:
    fresh, path = sheet(write_case, "typst")
    reader = pypdf.PdfReader(path)
    objects = [reader.get_object(number) for number in range(1, int(str(reader.trailer["/Size"])))]
    dictionaries = [item for item in objects if isinstance(item, dict)]
    alternatives = {str(item["/Alt"]) for item in dictionaries if "/Alt" in item}
    shown = {f["alt"] for s in values_of(fresh)["sections"] for row in s["rows"] for f in row}
    assert len(shown) == 10 and shown <= alternatives


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")
def test_latex_gets_alternative_texts(sheet: Sheet) -> None:
    """LaTeX from 2024 on writes them, with the package tagpdf; each one is in the source in any case."""
    fresh, path = sheet(write_case, "latex")
    source = (fresh[0] / "report" / "report.tex").read_text(encoding="utf-8")
    shown = {f["alt"] for s in values_of(fresh)["sections"] for row in s["rows"] for f in row}
    assert len(shown) == 10 and all(f"{{{escape.latex(alt)}}}" in source for alt in shown)
    reader = pypdf.PdfReader(path)
    objects = [reader.get_object(number) for number in range(1, int(str(reader.trailer["/Size"])))]
    alternatives = {str(item["/Alt"]) for item in objects if isinstance(item, dict) and "/Alt" in item}
    assert alternatives == (shown if "/StructTreeRoot" in reader.root_object else set())


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")
def test_the_latex_source_also_compiles_where_it_stands(sheet: Sheet, tmp_path: Path) -> None:
    fresh = elsewhere(sheet(write_case, "latex")[0], tmp_path / "out")
    folder = fresh[0] / "report"
    (fresh[0] / "figures/fonts").symlink_to(HOME / "figures/fonts")  # as in the repository
    command = ["pdflatex", "-no-shell-escape", "-halt-on-error", "-interaction=nonstopmode", "report.tex"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert "Overfull" not in (folder / "report.log").read_text(errors="replace")


def test_rendering_imports_neither_torch_nor_numpy(fresh: Case) -> None:
    engine = "typst" if not pdf._typst_lacks() else "latex"
    code = (
        "import sys; sys.modules.update(torch=None, numpy=None)\n"  # importing either raises ImportError
        "from pathlib import Path; from onepage.report.render import render\n"
        f"out, *runs = map(Path, sys.argv[1:]); render(out, runs, {engine!r})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *map(str, fresh)],
        env={"PYTHONPATH": str(HOME / "code"), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def mixed(out: Path) -> Case:
    """A Transformer run on generated data, and a ResNet-18 run on real data."""
    case = write_case(out, generated=True)
    synthetic_run.write_cls_run(case[1])
    write_figures(out, "cls", case[1])
    return case


def perfect(out: Path) -> Case:
    """No image is misclassified, and provenance.json is empty."""
    case = write_case(out)
    synthetic_run.write_cls_run(case[1], error_rate=0)
    write_figures(out, "cls", case[1])
    for run in case[1:]:
        (run / "provenance.json").write_text("{}", encoding="utf-8")
    return case


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("state", [write_case, several, mixed, perfect, on_generated_data])
def test_every_state_of_the_runs_makes_one_sheet(
    state: Callable[[Path], Case], engine: str, paper: str, sheet: Sheet
) -> None:
    case, path = sheet(state, engine, paper)
    reader, values = pypdf.PdfReader(path), values_of(case)
    assert path == case[0] / "report" / "report.pdf" and len(reader.pages) == 1
    assert reader.metadata is not None and reader.metadata.title == values["title"]
    assert "recipe" in str(reader.metadata.subject) and "seed 0" in str(reader.metadata.subject)
    assert str(reader.trailer["/Root"]["/Lang"]).startswith("en")  # type: ignore[index]
    assert tuple(round(float(x)) for x in reader.pages[0].mediabox[2:]) == PAPERS[paper]
    printed = Printed(reader.pages[0])
    assert min(printed.sizes) > 6.495  # points; the PDF has two decimals
    text = " ".join(reader.pages[0].extract_text().split())
    for section in values["sections"]:
        for words in map(section["headline"].get, ("value", "label", "interval", "n", "seeds", "verdict")):
            assert escape.visible(words).replace(NBSP, " ") in text.replace(NBSP, " ")
    if state is write_case:
        assert text.count("PASS") == 2 and "NOT CHECKED" not in text and "Generated" not in text
    assert f"Typeset by {render.set_by(engine, paper)}" in text
    assert read_json(path.with_name("report.json"))["paper"] == paper


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("pdftoppm"), reason="no poppler here: make setup-tex")
@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("state", [write_case, on_generated_data])
def test_rows_of_pictures_are_apart(
    state: Callable[[Path], Case], engine: str, paper: str, sheet: Sheet, tmp_path: Path
) -> None:
    """There are at least 4 mm between a caption and the titles below it; the pictures here are blank."""
    _, path = sheet(state, engine, paper)
    subprocess.run(["pdftoppm", "-r", "254", "-gray", "-singlefile", path, tmp_path / "page"], check=True)
    with Image.open(tmp_path / "page.pgm") as page:  # 10 pixels per millimetre
        rows = [page.crop((0, y, page.width, y + 1)).getextrema()[0] < 200 for y in range(page.height)]
    bands = [(ink, len(list(lines)) / 10) for ink, lines in itertools.groupby(rows)]
    blank = [k for k, (ink, height) in enumerate(bands) if not ink and height > 40]
    assert len(blank) == 3 and all(bands[k - 2][1] >= 4 for k in blank)  # k - 1 is the line of titles


def drawn(out: Path) -> Case:
    """Runs with all their pictures; the Transformer has two heads."""
    from onepage.cls import draw as cls
    from onepage.mt import draw as mt

    runs = (
        synthetic_run.write_cls_run(out / "runs/cls/x/quick/seed0"),
        synthetic_run.write_mt_run(out / "runs/mt/x/quick/seed0", layers=1, heads=2),
    )
    cls.draw(runs[0], out / "figures/cls")
    mt.draw(runs[1], out / "figures/mt")
    return (out, *runs)


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("engine", ENGINES)
def test_drawn_pictures_stay_legible_vector_and_small(engine: str, paper: str, sheet: Sheet) -> None:
    case, path = sheet(drawn, engine, paper)
    assert path.stat().st_size < 3_000_000
    reader = pypdf.PdfReader(path)
    printed = Printed(reader.pages[0])
    figures = [f for s in values_of(case)["sections"] for row in s["rows"] for f in row]
    # the page has each of the ten pictures as drawn: a form, not a raster, at its own width
    widths = sorted(round(as_printed[0] / MM) for as_printed, _ in printed.forms if as_printed[0] > 40 * MM)
    assert widths == sorted(round(float(figure["width"])) for figure in figures)
    assert all(as_printed == pytest.approx(as_drawn, rel=1e-3) for as_printed, as_drawn in printed.forms)
    assert len(printed.sizes) > 300 and min(printed.sizes) > 6.495
    found = fonts(reader)
    assert found and all(found.values())
    assert {re.sub(r"^[A-Z]{6}\+|-\w+$", "", name.removeprefix("/")) for name in found} <= {"OnepageSans", "DejaVuSans"}


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks() or pdf._typst_lacks()), reason="one engine is not here")
@pytest.mark.skipif(not shutil.which("pdftotext"), reason="no poppler here: make setup-tex")
@pytest.mark.parametrize("paper", PAPERS)
def test_both_engines_set_the_same_page(paper: str, real: Case, tmp_path: Path) -> None:
    """At one text size, 95 % of the words that occur once are at the same position, within a millimetre."""
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


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_the_picture_of_the_page_names_its_runs(engine: str, fresh: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """report.json lists page.png; if no program makes it, an old one is removed."""
    folder = rendered(fresh, engine).parent
    listed = read_json(folder / "report.json")["files"]
    assert set(listed) == {"report.md", "report.html", "report.typ", "report.pdf", "page.png"}
    assert all(sha256_file(folder / name) == digest for name, digest in listed.items())
    shown = [fields["metrics"] for fields in provenance.read(folder / "page.png")]
    assert shown == [sha256_file(run / "metrics.json") for run in fresh[1:]]
    monkeypatch.setattr(pdf, "image", lambda *page: None)
    rendered(fresh, engine)
    assert not (folder / "page.png").exists() and "page.png" not in read_json(folder / "report.json")["files"]
