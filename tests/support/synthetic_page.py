"""Two made-up runs with pictures and a page, as after drawing and rendering, but without the seconds that these take.

The program draws the pictures (a ``Book`` with one blank sheet). The page is a blank PDF with the metadata that
rendering writes, and a short Markdown file with pictures.
"""

import hashlib
import json
from pathlib import Path

import pypdf

import synthetic_run
from onepage.figures.sheet import Book
from onepage.figures.style import onepage_style
from onepage.files import read_json, sha256_file, write_json
from onepage.runs import stamps
from onepage.runs.provenance import short_form

LABELS = {"cls": "cls/cifar10/quick/seed0", "mt": "mt/multi30k-en-de/quick/seed0"}
MARKDOWN = """# A page

Accuracy 87.0 %.

<img src="../figures/cls/one.png" alt="one, of a &#91;bracket&#93; and &#124; more" width="270">

**One.** Caption. [link](https://example.org)

<img src="../figures/mt/one.png" alt="two" width="270">
"""


def write(out: Path) -> tuple[Path, Path, Path]:
    """Write everything and return (out, cls run, mt run)."""
    cls_run = synthetic_run.write_cls_run(out / "runs" / LABELS["cls"])
    mt_run = synthetic_run.write_mt_run(out / "runs" / LABELS["mt"])
    draw(cls_run, out / "figures" / "cls")
    draw(mt_run, out / "figures" / "mt")
    page(out, cls_run, mt_run)
    return out, cls_run, mt_run


def draw(run: Path, folder: Path) -> None:
    """Draw one picture and write its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    with onepage_style():
        book = Book(run, folder)
        book.add("one", book.sheet(20, 10, "one"), "a blank picture")
        book.close()


def ablations(*runs: Path) -> None:
    """Write the file that `make ablate` leaves beside each run, without variants."""
    for run in runs:
        path = stamps.ablation_of(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"program": read_json(run / "metrics.json")["program"], "variants": []})


def page(out: Path, cls_run: Path, mt_run: Path) -> None:
    """Write report.md, report.json and report.pdf."""
    folder = out / "report"
    folder.mkdir(parents=True, exist_ok=True)
    origin = []
    for run in (cls_run, mt_run):
        metrics, provenance = read_json(run / "metrics.json"), read_json(run / "provenance.json")
        origin.append(short_form(metrics, sha256_file(run / "metrics.json"), provenance))
    writer = pypdf.PdfWriter()
    writer.add_blank_page(595, 842)
    writer.add_metadata({"/Subject": "; ".join(origin)})
    writer.write(folder / "report.pdf")
    (folder / "report.md").write_text(MARKDOWN, encoding="utf-8")
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("report.md", "report.pdf")}
    (folder / "report.json").write_text(json.dumps({"engine": "latex", "files": files}), encoding="utf-8")
