"""Render the page: report.md, report.html, and report.tex or report.typ with the PDF made from it.

Reads JSON and pictures, no models or arrays: no torch, no numpy. The text is as large as the page allows, and at least
6.5 pt; if the page does not fit at that size, rendering fails.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from onepage import tasks
from onepage.errors import UserError
from onepage.files import HOME, write_bytes, write_json
from onepage.report import context, escape, interactive, pdf

# Settings of the text, from large to small: its size in points, and the distance of baselines in sizes.
SETTINGS = (*((size, 1.22) for size in (8.0, 7.8, 7.6, 7.4, 7.2, 7.0, 6.75, 6.5)), (6.5, 1.12), (6.5, 1.04))


@dataclass(frozen=True)
class Paper:
    """A sheet of paper, in mm; the two columns of 93 mm, the gutter between them and the margins make up its width."""

    label: str
    width: float
    height: float
    gutter: float
    margin: float  # at top and bottom


PAPERS = {"a4": Paper("A4", 210, 297, 7, 9), "letter": Paper("US Letter", 215.9, 279.4, 7, 6)}
ENGINES = {"latex": "LaTeX", "typst": "typst"}


def render(out: Path, runs: Sequence[Path], engine: str, paper: str = "a4") -> Path:
    """Write the page of ``runs``, one of each task that it shows, in the order of ``tasks.TASKS``, to ``out``/report.

    The files are report.md, report.html, the source for ``engine`` ("latex" or "typst"), page.png if a program can make
    it, report.json (engine, paper, runs, and the digests of the other files, for ``make verify``), and report.pdf,
    which is written last. Returns its path. Raises UserError for a missing run or picture, and if setting the page
    fails.
    """
    out = Path(out)
    values = context.build(out, runs, HOME / "report") | sheet(engine, paper)
    target = out / "report"
    pictures = {
        f"{figure['file']}.pdf": out / "figures" / f"{figure['file']}.pdf"
        for section in values["sections"]
        for row in section["rows"]
        for figure in row
    }
    clock = values["commit_time"]
    make: Callable[[str], bytes]
    if engine == "latex":
        name, escaper = "report.tex", escape.latex
        make = lambda source: pdf.compile_latex(source, pictures, clock, target / "report.log")  # noqa: E731
    else:
        name, escaper = "report.typ", _typst
        make = lambda source: pdf.compile_typst(source, pictures, clock)  # noqa: E731
    markdown = _fill("report.md.j2", escape.markdown, values)
    html = _fill("report.html.j2", escape.html, values | interactive.values(values, out, HOME / "report" / "templates"))
    source, content = _largest_that_fits(f"{name}.j2", escaper, values, make)
    files = {"report.md": markdown.encode(), "report.html": html.encode(), name: source.encode()}
    for file, data in files.items():
        write_bytes(target / file, data)
    picture = pdf.image(content, target / name, values["subject"])
    if picture is not None:
        write_bytes(target / "page.png", picture)
        files["page.png"] = picture
    for stale in {"report.tex", "report.typ", "report.log", "page.png"} - files.keys():
        (target / stale).unlink(missing_ok=True)  # the other engine's source, an old failure's log
    digests = {file: hashlib.sha256(data).hexdigest() for file, data in (files | {"report.pdf": content}).items()}
    write_json(target / "report.json", {"engine": engine, "paper": paper, "runs": values["runs"], "files": digests})
    write_bytes(target / "report.pdf", content)
    return target / "report.pdf"


def set_by(engine: str, paper: str) -> str:
    """``LaTeX, A4``."""
    return f"{ENGINES[engine]}, {PAPERS[paper].label}"


def sheet(engine: str, paper: str) -> dict[str, Any]:
    """Engine and paper for the templates: as text, and as lengths in mm."""
    kind = PAPERS[paper]
    lengths = {"width": kind.width, "height": kind.height, "gutter": kind.gutter, "margin": kind.margin}
    lengths |= {"side": (kind.width - kind.gutter) / 2 - 93, "text": 186 + kind.gutter}
    return {
        "paper": {"name": paper} | {name: f"{length:g}" for name, length in lengths.items()},
        "set_by": set_by(engine, paper),
    }


def setting(size: float, leading: float) -> dict[str, str]:
    """One of SETTINGS for the templates: size and leading in points."""
    return {"size": f"{size:g}", "leading": f"{leading * size:.3f}"}


def _largest_that_fits(
    template: str,
    escaper: Callable[[str], escape.Safe],
    values: Mapping[str, Any],
    make: Callable[[str], bytes],
) -> tuple[str, bytes]:
    """The source and PDF at the largest size that fits, by bisection; the smallest is tried last."""
    fits: tuple[str, bytes] | None = None
    problem = ""
    low, high = 0, len(SETTINGS)  # all before low are too large, all from high on need no trying
    while low < high:
        middle = (low + high) // 2
        source = _fill(template, escaper, {**values, **setting(*SETTINGS[middle])})
        try:
            fits, high = (source, make(source)), middle
        except pdf.DoesNotFit as error:
            problem, low = str(error), middle + 1
    if fits is None:
        raise UserError(f"the page does not fit at {SETTINGS[-1][0]} pt ({problem}); shorten report/page.toml")
    return fits


def _fill(template: str, escaper: Callable[[str], escape.Safe], values: Mapping[str, Any]) -> str:
    environment = escape.environment(HOME / "report" / "templates", escaper)
    environment.filters["string"] = lambda text: escape.typst_string(str(text), pdf.typst_settable())
    environment.filters["path"] = _path
    environment.filters["plain"] = _plain
    environment.filters["columns"] = _columns
    environment.filters["markup"] = escape.Safe  # for the result of a macro, which has escaped its values
    try:
        return environment.get_template(template).render(values)
    except jinja2.TemplateError as error:
        raise UserError(f"report/templates/{template}: {error}; fix it or restore it with git") from error


def _columns(rows: Sequence[Any], number: int) -> list[Sequence[Any]]:
    """``rows`` in columns of the same height, down the first, then the next; the last may be shorter."""
    height = -(-len(rows) // number)
    return [rows[start * height : (start + 1) * height] for start in range(number)]


def _path(text: str) -> escape.Safe:
    """A picture's path, task/name, checked to contain no markup of any format."""
    if not re.fullmatch(r"[A-Za-z0-9_]+/[A-Za-z0-9_]+", text):
        raise UserError(f"{text!r} is not the path of a picture; draw again: make {' '.join(tasks.TASKS)}")
    return escape.Safe(text)


def _plain(value: str | int) -> escape.Safe:
    """A number or a name in a format's code, not in its text; checked."""
    if not re.fullmatch(r"[A-Za-z0-9.]+", str(value)):
        raise UserError(f"{value!r} is neither a number nor a name; fix report/templates or report/page.toml")
    return escape.Safe(value)


def _typst(text: str) -> escape.Safe:
    return escape.typst(text, pdf.typst_settable())
