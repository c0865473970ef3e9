"""Made-up runs with blank pictures of the right sizes, and the page made of them, for the tests of the report."""

import html
import json
import shutil
from pathlib import Path
from typing import Any

import pypdf
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image

import synthetic_run
from onepage import tasks
from onepage.figures import explore as gather
from onepage.files import HOME, read_json, sha256_file
from onepage.report import context, escape, interactive, pdf, render
from onepage.runs import seeds

HALF, FULL = 45, 93
SQUARE = (HALF, HALF)
SIZES = {
    "cls": {"curves_cls": (FULL, 43), "confusion_counts": (FULL, 85), "reliability_cls": (FULL, HALF)}
    | dict.fromkeys(("confusion_matrix", "gradcam_mistakes"), SQUARE)
    | dict.fromkeys(("preds_grid", "miscls_grid"), (HALF, 42))
    | dict.fromkeys(("gradcam_0", "gradcam_1"), SQUARE),
    "mt": {"curves_mt": (HALF, 43), "bleu_report": (HALF, 43), "decodes_table": (FULL, 42)}
    | dict.fromkeys(("attention_heads", "masks_demo"), SQUARE)
    | dict.fromkeys(("attention_layer3_head1", "attention_layer1_head2"), SQUARE),
}
Case = tuple[Path, Path, Path]  # out, cls run, mt run
ENGINES = [
    pytest.param("latex", marks=pytest.mark.skipif(bool(pdf._latex_lacks()), reason="no LaTeX here: make setup-tex")),
    pytest.param("typst", marks=pytest.mark.skipif(bool(pdf._typst_lacks()), reason="no typst wheel here")),
]


def write_blank(path: Path, width: float, height: float) -> None:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(width * 72 / 25.4, height * 72 / 25.4)
    writer.write(path)


def write_figures(out: Path, task: str, run: Path) -> None:
    """Write blank pictures in the sizes that the page expects, and their manifest."""
    folder = out / "figures" / task
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, (width, height) in SIZES[task].items():
        write_blank(folder / f"{name}.pdf", width, height)
        Image.new("RGB", (4, 3), "white").save(folder / f"{name}.png")
        digests = {f"sha256_{kind}": sha256_file(folder / f"{name}.{kind}") for kind in ("png", "pdf")}
        alt = f"{name} of 'a' | <b>\"x\"</b> _y_"
        facts = {"heads_focused": "12", "heads_all": "12", "heads_rest": "10"}
        said = {"facts": facts} if name == "attention_heads" else {}
        rows.append({"name": name, "width_mm": width, "height_mm": height, "alt": alt, **digests, **said})
    manifest = {"task": task, "run": "r", "metrics_sha256": sha256_file(run / "metrics.json"), "figures": rows}
    (folder / "figures.json").write_text(json.dumps(manifest), encoding="utf-8")


def write_case(out: Path, generated: bool = False) -> Case:
    cls_run = synthetic_run.write_cls_run(out / "runs/cls/x/quick/seed0", generated=generated)
    mt_run = synthetic_run.write_mt_run(out / "runs/mt/x/quick/seed0", generated=generated)
    write_figures(out, "cls", cls_run)
    write_figures(out, "mt", mt_run)
    return out, cls_run, mt_run


def several(out: Path) -> Case:
    """Three seeds of both tasks."""
    case = write_case(out)
    for seed in (1, 2):
        synthetic_run.write_cls_run(case[1].parent / f"seed{seed}", seed=seed)
        synthetic_run.write_mt_run(case[2].parent / f"seed{seed}", seed=seed)
    for run in case[1:]:
        seeds.write(run)
    return case


def elsewhere(case: Case, place: Path) -> Case:
    """Copy a case to the folder ``place``."""
    shutil.copytree(case[0], place)
    return place, place / case[1].relative_to(case[0]), place / case[2].relative_to(case[0])


def change_run(case: Case, task: str, change: Any) -> None:
    """Change a run's metrics.json, and its pictures' manifest to match."""
    run = case[1] if task == "cls" else case[2]
    metrics = json.loads((run / "metrics.json").read_text())
    change(metrics)
    (run / "metrics.json").write_text(json.dumps(metrics))
    write_figures(case[0], task, run)


def values_of(case: Case) -> dict[str, Any]:
    return context.build(case[0], case[1:], HOME / "report")


def rendered(case: Case, engine: str, paper: str = "a4") -> Path:
    return render.render(case[0], case[1:], engine, paper)


def insights(case: Case, most: int = 0) -> dict[str, str]:
    """{title: text} of the page's insights; ``most`` replaces the limit in page.toml."""
    with pytest.MonkeyPatch.context() as patched:
        if most:
            load = context.load_page
            change = lambda page: page | {"insights": page["insights"] | {"most": most}}  # noqa: E731
            patched.setattr(context, "load_page", lambda path: change(load(path)))
        return {item["title"]: item["text"] for item in values_of(case)["insights"]["items"]}


def captions(case: Case) -> dict[str, str]:
    return {f["name"]: f["text"] for s in values_of(case)["sections"] for row in s["rows"] for f in row}


def accuracies(case: Case) -> list[float]:
    """Test accuracy of every seed, in per cent."""
    return [100 * read_json(path)["test"]["accuracy"] for path in sorted(case[1].parent.glob("seed*/metrics.json"))]


def markdown_of(case: Case) -> str:
    return render._fill("report.md.j2", escape.markdown, values_of(case) | render.sheet("latex", "a4"))


def html_of(case: Case) -> str:
    values = values_of(case)
    more = interactive.values(values, case[0], HOME / "report" / "templates")
    return render._fill("report.html.j2", escape.html, values | more)


def explore(case: Case) -> None:
    """Write the data that readers explore on the page, as drawing does."""
    for task, run in zip(("cls", "mt"), case[1:], strict=True):
        gather.write(run, case[0] / "figures" / task, tasks.get(task).module("explore").parts(run))


def source_of(case: Case, engine: str, paper: str = "a4") -> str:
    """The page's source for ``engine``, at the smallest setting."""
    template, escaper = {"latex": ("report.tex.j2", escape.latex), "typst": ("report.typ.j2", render._typst)}[engine]
    small = render.setting(*render.SETTINGS[-1])
    return render._fill(template, escaper, values_of(case) | render.sheet(engine, paper) | small)


def plain_text(source: str) -> str:
    """A Markdown page as a reader sees it: its text and alternative texts, in order."""
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    return "\n".join("".join(map(words_of, token.children or [])) for token in tokens if token.type == "inline")


def words_of(token: Token) -> str:
    if token.children:
        return "".join(map(words_of, token.children))
    return html.unescape(token.content) if token.type == "html_inline" else token.content
