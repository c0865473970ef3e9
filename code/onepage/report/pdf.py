"""PDF from LaTeX or typst: the choice of the engine, and an isolated, repeatable and checked compilation.

LaTeX runs under latexmk in a temporary folder with relative names, without shell escape and without the user's
configuration. Apart from the TeX installation, it can read and write only that folder. The clock is the commit's time,
so the same sources give the same bytes. Both engines must put everything on one page, LaTeX without overfull boxes;
otherwise ``DoesNotFit`` is raised, and the caller tries a smaller size.
"""

import contextlib
import functools
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from onepage.errors import UserError
from onepage.files import HOME, write_bytes

PACKAGES = ("geometry.sty", "graphicx.sty", "xcolor.sty", "hyperref.sty", "glyphtounicode.tex")
TIMEOUT = 180  # seconds for one compilation; it takes about two
DPI = 150  # of the page's picture
# Fonts of page and pictures: those of the repository and, in typst for other scripts, one of matplotlib's wheel.
_FONTS = HOME / "figures" / "fonts"


class DoesNotFit(Exception):
    """The result has more than one page, or an overfull box; ``str(error)`` says which."""


def resolve_engine(wanted: str) -> str:
    """The engine, "latex" or "typst", for a setting ("auto" or either); raises UserError, with a remedy, for none."""
    no_latex, no_typst = _latex_lacks(), _typst_lacks()
    if wanted != "typst" and not no_latex:
        return "latex"
    if wanted != "latex" and not no_typst:
        return "typst"
    if wanted == "latex":
        raise UserError(f"PDF_ENGINE=latex: no {no_latex}; run: make setup-tex, or use PDF_ENGINE=auto")
    if wanted == "typst":
        raise UserError(f"PDF_ENGINE=typst: no {no_typst}; run: make setup, or use PDF_ENGINE=auto")
    raise UserError(
        f"no PDF engine: LaTeX lacks {no_latex}, typst lacks {no_typst}; run: make setup (typst) or make setup-tex"
    )


def _latex_lacks() -> str:
    """What LaTeX lacks to typeset the page, or ""."""
    missing = [program for program in ("pdflatex", "latexmk", "kpsewhich") if not shutil.which(program)]
    if missing:
        return ", ".join(missing)
    try:
        found = subprocess.run(
            ["kpsewhich", *PACKAGES], capture_output=True, text=True, timeout=60, env=_environment(Path(), 0)
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"a kpsewhich that runs ({error})"
    present = {Path(line).name for line in found.splitlines()}
    return ", ".join(package for package in PACKAGES if package not in present)


def _typst_lacks() -> str:
    missing = [name for name in ("typst", "matplotlib", "fontTools") if importlib.util.find_spec(name) is None]
    return ", ".join(f"the Python package {name.lower()}" for name in missing)


def compile_latex(source: str, pictures: Mapping[str, Path], commit_time: int, log: Path) -> bytes:
    """The PDF of ``source``, whose pictures are named relative to a figures/ folder ({"cls/a.pdf": file}).

    Raises UserError with LaTeX's first error (its log is then kept at ``log``) and DoesNotFit.
    """
    with tempfile.TemporaryDirectory(prefix="onepage-") as name:
        folder = Path(name)
        (folder / "report.tex").write_text(source, encoding="utf-8")
        _copy(pictures, folder / "figures")
        _copy({path.name: path for path in (*_FONTS.glob("onepage*"), *_FONTS.glob("*.ttf"))}, folder / "figures/fonts")
        pdflatex = "pdflatex -no-shell-escape -halt-on-error -interaction=nonstopmode %O %S"
        command = ["latexmk", "-norc", "-pdf", f"-pdflatex={pdflatex}", "-silent", "report.tex"]
        try:
            subprocess.run(
                command, cwd=folder, env=_environment(folder, commit_time), timeout=TIMEOUT,
                stdin=subprocess.DEVNULL, capture_output=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise UserError(f"latexmk did not finish within {TIMEOUT} s; try PDF_ENGINE=typst") from None
        except OSError as error:
            raise UserError(f"latexmk cannot be run ({error}); run: make setup-tex, or use PDF_ENGINE=typst") from None
        text = _read(folder / "report.log")
        pdf = folder / "report.pdf"
        written = re.search(r"^Output written on report\.pdf \((\d+) pages?", text, re.MULTILINE)
        if written is None or not pdf.is_file():
            write_bytes(log, text.encode("utf-8"))
            first = next((line for line in text.splitlines() if line.startswith("!")), "! no log was written")
            raise UserError(f"LaTeX failed: {first[:200]} (log: {log}); fix it, or use PDF_ENGINE=typst")
        overfull = re.search(r"^Overfull .*$", text, re.MULTILINE)
        if overfull:
            raise DoesNotFit(overfull[0])
        if written[1] != "1":
            raise DoesNotFit(f"{written[1]} pages")
        return pdf.read_bytes()


def compile_typst(source: str, pictures: Mapping[str, Path], commit_time: int) -> bytes:
    """The PDF of ``source`` (pictures in ../figures/), tagged, without fonts of the system.

    The source must end with ``#context [#metadata(counter(page).final().first()) <pages>]``. Raises as above.
    """
    import typst

    with tempfile.TemporaryDirectory(prefix="onepage-") as name:
        folder = Path(name)
        main = folder / "report" / "report.typ"
        main.parent.mkdir()
        main.write_text(source, encoding="utf-8")
        _copy(pictures, folder / "figures")
        try:
            compiler = _typst_compiler(main)
            pages = compiler.query("<pages>", field="value", one=True)
            if pages.strip() != "1":
                raise DoesNotFit(f"{pages.strip()} pages")
            content = compiler.compile(format="pdf", timestamp=commit_time)
        except (typst.TypstError, RuntimeError) as error:  # a query raises the latter
            raise UserError(f"typst failed: {str(error).splitlines()[0][:200]}; try PDF_ENGINE=latex") from error
    assert isinstance(content, bytes)
    return content


def image(content: bytes, source: Path, about: str) -> bytes | None:
    """The page as PNG at DPI dots per inch, with ``about`` in its metadata; None if pdftoppm cannot make it.

    Made by typst from its ``source``, which is beside ../figures/, or by pdftoppm from the PDF ``content`` of LaTeX.
    """
    found = _by_typst(source) if source.suffix == ".typ" else _by_pdftoppm(content)
    if found is None:
        return None
    chunk = b"iTXtSource\0\0\0\0\0" + about.encode()  # PNG, 11.3.3.4; behind the header, which takes 33 bytes
    length, check = (struct.pack(">I", value) for value in (len(chunk) - 4, zlib.crc32(chunk)))
    return found[:33] + length + chunk + check + found[33:]


def _by_pdftoppm(content: bytes) -> bytes | None:
    if not shutil.which("pdftoppm"):
        return None
    with tempfile.TemporaryDirectory(prefix="onepage-") as name, contextlib.suppress(OSError, SubprocessError):
        (Path(name) / "page.pdf").write_bytes(content)
        command = ["pdftoppm", "-png", "-singlefile", "-r", str(DPI), "page.pdf", "page"]
        subprocess.run(command, cwd=name, capture_output=True, timeout=TIMEOUT, check=True)
        return (Path(name) / "page.png").read_bytes()
    return None


def _by_typst(source: Path) -> bytes:
    content: bytes = _typst_compiler(source).compile(format="png", ppi=DPI)
    return content


def _typst_compiler(source: Path) -> Any:
    """A compiler of report/report.typ, which reads nothing outside the folder above, and no fonts of the system."""
    import typst

    fonts = [str(folder) for folder in font_folders()]
    return typst.Compiler(str(source), root=str(source.parent.parent), font_paths=fonts, ignore_system_fonts=True)


@functools.cache
def font_folders() -> tuple[Path, Path]:
    """The font folders of typst: the repository and matplotlib's wheel, both pinned, without the system's fonts."""
    spec = importlib.util.find_spec("matplotlib")  # does not import it
    if spec is None or spec.origin is None:
        raise UserError("the Python package matplotlib is missing; run: make setup")
    return _FONTS, Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


@functools.cache
def typst_settable() -> Callable[[str], bool]:
    """Whether typst's fonts have a character."""
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    known: set[int] = set()
    for path in zip(font_folders(), ("OnepageSans-Regular.ttf", "DejaVuSans.ttf"), strict=True):
        with TTFont(path[0] / path[1], lazy=True) as font:
            known |= font.getBestCmap().keys()
    return lambda character: ord(character) in known


def _environment(folder: Path, commit_time: int) -> dict[str, str]:
    """The environment of TeX: the PATH, a fixed clock, no user configuration, no files but its own."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR") if key in os.environ}
    return kept | {
        "SOURCE_DATE_EPOCH": str(commit_time),
        "FORCE_SOURCE_DATE": "1",
        "openin_any": "p",
        "openout_any": "p",
        "max_print_line": "10000",  # one log line per message, so that the log can be parsed
        "TEXMFHOME": str(folder / "no-texmf"),
        "TZ": "UTC",
        "LC_ALL": "C",
    }


def _copy(pictures: Mapping[str, Path], folder: Path) -> None:
    for name, path in pictures.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
