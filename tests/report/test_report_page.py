"""The page: one sheet in both engines, this run's figures in its words, one clear line when something is missing."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pypdf
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

import synthetic_run
from onepage.errors import UserError
from onepage.files import sha256_file
from onepage.report import context, escape, facts, pdf, render

HALF, FULL = 45, 93
SIZES = {
    "cls": {"curves_cls": (FULL, 40), "confusion_matrix": (HALF, HALF), "preds_grid": (HALF, HALF)}
    | {"miscls_grid": (HALF, HALF), "gradcam_0": (HALF, HALF), "gradcam_1": (HALF, HALF)},
    "mt": {"curves_mt": (HALF, HALF), "bleu_report": (HALF, HALF), "masks_demo": (HALF, HALF)}
    | {"decodes_table": (FULL, 50), "attention_layer3_head1": (HALF, HALF), "attention_layer1_head2": (HALF, HALF)},
}
ENGINES = [
    pytest.param("latex", marks=pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")),
    pytest.param("typst", marks=pytest.mark.skipif(bool(pdf._typst_lacks()), reason="no typst wheel here")),
]
Case = tuple[Path, Path, Path]  # out, cls run, mt run


def _blank(path: Path, width: float, height: float) -> None:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(width * 72 / 25.4, height * 72 / 25.4)
    writer.write(path)


def _figures(out: Path, task: str, run: Path) -> None:
    """Blank pictures of the sizes the page is laid out for, and their manifest."""
    folder = out / "figures" / task
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, (width, height) in SIZES[task].items():
        _blank(folder / f"{name}.pdf", width, height)
        (folder / f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        digests = {f"sha256_{kind}": sha256_file(folder / f"{name}.{kind}") for kind in ("png", "pdf")}
        alt = f"{name} of 'a' | <b>\"x\"</b> _y_"
        rows.append({"name": name, "width_mm": width, "height_mm": height, "alt": alt, **digests})
    manifest = {"task": task, "run": "r", "metrics_sha256": sha256_file(run / "metrics.json"), "figures": rows}
    (folder / "figures.json").write_text(json.dumps(manifest), encoding="utf-8")


def _case(out: Path, generated: bool = False) -> Case:
    cls_run = synthetic_run.write_cls_run(out / "runs/cls/x/quick/seed0", generated=generated)
    mt_run = synthetic_run.write_mt_run(out / "runs/mt/x/quick/seed0", generated=generated)
    _figures(out, "cls", cls_run)
    _figures(out, "mt", mt_run)
    return out, cls_run, mt_run


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return _case(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return _case(tmp_path_factory.mktemp("generated"), generated=True)


@pytest.fixture
def fresh(tmp_path: Path, real: Case) -> Case:
    """A copy to break."""
    out = tmp_path / "out"
    shutil.copytree(real[0], out)
    return out, out / real[1].relative_to(real[0]), out / real[2].relative_to(real[0])


def _change(case: Case, task: str, change: Any) -> None:
    """Change a run's metrics.json, and its pictures' manifest to match."""
    run = case[1] if task == "cls" else case[2]
    metrics = json.loads((run / "metrics.json").read_text())
    change(metrics)
    (run / "metrics.json").write_text(json.dumps(metrics))
    _figures(case[0], task, run)


def _values(case: Case) -> dict[str, Any]:
    return context.build(*case, render.ROOT / "report")


def _markdown(case: Case) -> str:
    return render._fill("report.md.j2", escape.markdown, _values(case))


def _plain(source: str) -> str:
    """A Markdown page as a reader sees it: its text and alternative texts, in order."""
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    return "\n".join("".join(map(_words, token.children or [])) for token in tokens if token.type == "inline")


def _words(token: Token) -> str:
    return "".join(map(_words, token.children)) if token.children else token.content


# --- the PDF -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_is_one_a4_sheet_with_title_language_and_provenance(engine: str, fresh: Case) -> None:
    path = render.render(*fresh, engine)
    reader = pypdf.PdfReader(path)
    assert path == fresh[0] / "report" / "report.pdf"
    assert len(reader.pages) == 1
    assert [round(float(x)) for x in reader.pages[0].mediabox] == [0, 0, 595, 842]
    assert reader.metadata is not None and reader.metadata.title == _values(fresh)["title"]
    assert "recipe" in str(reader.metadata.subject) and "seed 0" in str(reader.metadata.subject)
    assert str(reader.trailer["/Root"]["/Lang"]).startswith("en")  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_shows_the_headlines_with_interval_n_and_floor(engine: str, fresh: Case) -> None:
    text = " ".join(pypdf.PdfReader(render.render(*fresh, engine)).pages[0].extract_text().split())
    for section in _values(fresh)["sections"]:
        headline = section["headline"]
        for words in (headline["value"], headline["label"], headline["interval"], headline["n"]):
            assert words.replace(facts.NBSP, " ") in text
    assert text.count("PASS") == 2 and "NOT CHECKED" not in text and "Generated" not in text


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_generated_data_is_said_across_the_top_and_in_every_caption(engine: str, generated: Case) -> None:
    text = " ".join(pypdf.PdfReader(render.render(*generated, engine)).pages[0].extract_text().split())
    values = _values(generated)
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
    assert (created and created.timestamp()) == (_values(fresh)["commit_time"] if engine == "latex" else None)
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

    _change(fresh, "cls", change)
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
    shown = {f["alt"] for s in _values(fresh)["sections"] for row in s["rows"] for f in row}
    assert len(shown) == 10 and shown <= alternatives
    fonts = {str(item["/BaseFont"]) for item in dictionaries if item.get("/Type") == "/Font"}
    assert fonts and all("Onepage" in name or "DejaVu" in name for name in fonts)


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")
def test_the_latex_source_also_compiles_where_it_stands(fresh: Case) -> None:
    render.render(*fresh, "latex")
    folder = fresh[0] / "report"
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
    case = _case(tmp_path, generated=True)
    shutil.copytree(real[0] / "figures/cls", tmp_path / "figures/cls", dirs_exist_ok=True)
    values = _values((tmp_path, real[1], case[2]))
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
        _values((fresh[0], fresh[2], fresh[1]))


def test_missing_tampered_and_stale_pictures_are_each_named(fresh: Case) -> None:
    picture = fresh[0] / "figures/cls/gradcam_0.pdf"
    content = picture.read_bytes()
    picture.unlink()
    with pytest.raises(UserError, match=r"gradcam_0\.pdf is missing"):
        _values(fresh)
    picture.write_bytes(content + b"%")
    with pytest.raises(UserError, match=r"gradcam_0\.pdf is not the picture that was drawn"):
        _values(fresh)
    picture.write_bytes(content)
    path = fresh[2] / "metrics.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(UserError, match=r"drawn from other metrics.*make mt"):
        _values(fresh)
    (fresh[0] / "figures/cls/figures.json").unlink()
    with pytest.raises(UserError, match="pictures not drawn: make cls"):
        _values(fresh)


def test_a_picture_that_was_not_drawn_and_one_with_a_bad_name_are_errors(fresh: Case) -> None:
    path = fresh[0] / "figures/cls/figures.json"
    manifest = json.loads(path.read_text())
    rows = manifest["figures"]
    manifest["figures"] = [row for row in rows if row["name"] != "preds_grid"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="preds_grid was not drawn"):
        _values(fresh)
    manifest["figures"] = [*rows, rows[0] | {"name": "../../x"}]
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="no name for a picture"):
        _values(fresh)


def test_metrics_that_lack_a_number_are_a_user_error(fresh: Case) -> None:
    _change(fresh, "cls", lambda metrics: metrics["test"].pop("ece"))
    with pytest.raises(UserError, match="ece"):
        _values(fresh)


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


# --- the words ---------------------------------------------------------------------------------------------------


def _insights(case: Case) -> dict[str, str]:
    return {item["title"]: item["text"] for item in _values(case)["insights"]["items"]}


def test_insights_are_this_runs_figures(real: Case) -> None:
    metrics = json.loads((real[1] / "metrics.json").read_text())
    top = metrics["test"]["top_confusions"][0]
    text = _insights(real)["Errors cluster."]
    assert f"{top['true']} → {top['predicted']} takes {top['count']} of" in text
    assert facts.percent(top["share"]) in text


def test_what_was_not_measured_is_not_said(fresh: Case) -> None:
    def one_test_no_errors(metrics: dict[str, Any]) -> None:
        name = metrics["headline"]
        metrics["tests"] = {name: metrics["tests"][name] | {"bleu_by_length": [], "bleu_lc_norm_tok": None}}
        metrics["tests"][name]["bleu"]["brevity_penalty"] = 1.0

    _change(fresh, "mt", one_test_no_errors)
    _change(fresh, "cls", lambda metrics: metrics["test"].update(top_confusions=[], correct=metrics["test"]["n"]))
    titles = set(_insights(fresh))
    assert titles == {"Calibration.", "Generalisation.", "Search helps.", "Not measured:"}
    captions = {f["name"]: f["text"] for s in _values(fresh)["sections"] for row in s["rows"] for f in row}
    assert captions["miscls_grid"] == "There is no mistake to show."
    assert "lc.norm.tok" not in captions["bleu_report"]


@pytest.mark.parametrize(
    ("scores", "title"),
    [((40.0, 35.0, 30.0), "Long sentences are harder."), ((30.0, 35.0, 40.0), "No fall with length.")],
)
def test_bleu_over_length_is_said_as_it_goes(scores: tuple[float, ...], title: str, fresh: Case) -> None:
    def change(metrics: dict[str, Any]) -> None:
        bounds = [(1, 8), (9, 16), (17, None)]
        metrics["tests"][metrics["headline"]]["bleu_by_length"] = [
            {"min": low, "max": high, "n": 40, "bleu": score} for (low, high), score in zip(bounds, scores, strict=True)
        ]

    _change(fresh, "mt", change)
    text = _insights(fresh)[title]
    assert "40.0" in text and "30.0" in text and "17 or more" in text


def test_a_search_that_loses_is_not_said_to_help(fresh: Case) -> None:
    _change(fresh, "mt", lambda m: m["tests"][m["headline"]].update(bleu_greedy=99.0))
    assert "Search does not help." in _insights(fresh) and "Search helps." not in _insights(fresh)


def test_the_page_says_which_claim_fails(fresh: Case) -> None:
    _change(fresh, "cls", lambda metrics: metrics["test"].update(accuracy=0.79))
    states = {claim["id"]: claim["state"] for claim in _values(fresh)["claims"]}
    assert states == {"cls-accuracy": "FAIL", "mt-bleu": "PASS"}


def test_the_footer_and_command_follow_both_runs(fresh: Case) -> None:
    _change(fresh, "mt", lambda metrics: metrics.update(seed=3, commit=None, dirty=None, commit_time=None, tgt="fr"))
    values = _values(fresh)
    footer = {item["label"]: item["value"] for item in values["footer"]}
    assert footer["Seed"] == "cls 0, one run; mt 3, one run"
    assert "mt none recorded" in footer["Commit"]
    assert values["reproduce"]["steps"][0][0] == "make all"
    assert values["commit_time"] == 1_767_225_600


def test_an_unknown_name_in_the_prose_is_named() -> None:
    with pytest.raises(UserError, match="'nonsense'"):
        context.fill("{nonsense}", {"a": "b"}, "cls.objective")


def test_recipe_words_find_nested_and_flat_settings() -> None:
    assert facts.recipe_words({"optimiser": {"name": "sgd", "learning_rate": 0.2}, "batch_size": 128}) == (
        "SGD, rate 0.2, 128 images a batch"
    )
    assert facts.recipe_words({"optimizer": "adamw", "peak_lr": 4e-3, "batch_tokens": 1536}) == (
        "AdamW, rate 0.004, 1,536 tokens a batch"
    )
    muon = {"optimiser": "muon", "learning_rate": 4e-3, "muon_learning_rate": 0.02, "batch_tokens": 1536}
    assert facts.recipe_words(muon) == "Muon, rate 0.02, 1,536 tokens a batch"
    assert facts.recipe_words({"epochs": 3}) == ""


def test_signed_and_duration_read_well() -> None:
    assert [facts.signed(x) for x in (1.25, -0.3, 0.01, -0.01)] == ["+1.2", "−0.3", "±0.0", "±0.0"]
    assert [facts.duration(x) for x in (45, 412.5, 7500)] == [
        f"45{facts.NBSP}s", f"6{facts.NBSP}min 52{facts.NBSP}s", f"2{facts.NBSP}h 05{facts.NBSP}min",
    ]  # fmt: skip


# --- Markdown ----------------------------------------------------------------------------------------------------


def test_markdown_shows_the_same_figures_and_every_picture_resolves(real: Case) -> None:
    source = _markdown(real)
    plain = _plain(source)
    values = _values(real)
    for section in values["sections"]:
        assert section["headline"]["value"] in plain and section["objective"] in plain
        for row in section["rows"]:
            for figure in row:
                assert figure["text"] in plain and figure["alt"] in plain
    links = re.findall(r"\]\((\.\./figures/[^)]+)\)", source)
    drawn = {p.stem for p in (real[0] / "figures").rglob("*.png")}
    assert {Path(link).stem for link in links} == drawn and len(links) == len(drawn)
    assert all((real[0] / "report" / link).resolve().is_file() for link in links)


def test_markdown_tables_keep_their_columns_and_details_hold_the_rest(real: Case) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(_markdown(real))
    width, cells = 0, 0
    for token in tokens:
        if token.type == "thead_open":
            width = 0
        if token.type == "th_open":
            width += 1
        if token.type == "tr_open":
            cells = 0
        if token.type == "td_open":
            cells += 1
        if token.type == "tr_close" and cells:
            assert cells == width
    html = [token.content for token in tokens if token.type == "html_block"]
    assert sum(block.count("<details>") for block in html) == sum(block.count("</details>") for block in html) == 5
    inline_html = {c.content for t in tokens for c in t.children or [] if c.type == "html_inline"}
    assert inline_html == {"<code>", "</code>"}


@pytest.mark.fault("decoded text aimed at Markdown and HTML", "it prints as itself")
def test_hostile_sentences_in_markdown_print_as_themselves(real: Case) -> None:
    metrics = json.loads((real[2] / "metrics.json").read_text())
    outputs = [row["output"] for row in metrics["examples"]]
    assert any(synthetic_run.HOSTILE in output for output in outputs)
    plain = _plain(_markdown(real))
    assert all(escape.visible(output) in plain for output in outputs)


def test_markdown_of_generated_data_says_so_first_and_passes_nothing(generated: Case) -> None:
    plain = _plain(_markdown(generated))
    assert "Generated stand-in data" in plain and plain.index("Generated stand-in") < plain.index("Objective")
    assert "PASS" not in plain and plain.count("NOT CHECKED") == 4
