"""Checks that pictures and page match the runs that their metadata name.

A file matches if the metrics.json of its run has the digest in the file's metadata, and if its manifest (figures.json,
report.json, manifest.json) has the digest of its bytes. pillow and pypdf read the files; a hostile file may have large
or malformed chunks and objects.
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onepage.errors import UserError
from onepage.files import read_json, sha256_file
from onepage.runs import provenance
from onepage.tasks import TASKS
from onepage.verification.claims import FAIL, PASS, Check

PAGE = "the page in report matches the runs that it names"
PAGE_IMAGE = "page.png"  # picture of the page, without a short form
PNG, PDF = b"\x89PNG\r\n\x1a\n", b"%PDF-"


def read(path: Path) -> list[dict[str, str]]:
    """The short forms in a PNG or PDF: one for a picture, one per task for the page; [] for none.

    Raises UserError for a file that is missing, neither PNG nor PDF, or damaged.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a picture or page of this program") from None
    if head.startswith(PNG):
        text_of = _png
    elif PDF in head:
        text_of = _pdf
    else:
        raise UserError(f"{path} is neither PNG nor PDF; give a picture or page of this program")
    try:
        text = text_of(path)
    except Exception as error:  # both libraries raise many kinds for a damaged file
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} is damaged ({first:.80}); draw it again: make {' '.join(TASKS)} report") from None
    return provenance.parse(text)


def _png(path: Path) -> str:
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        image.load()  # text may follow the pixels; also detects truncated files
        return str(getattr(image, "text", {}).get("Source", ""))


def _pdf(path: Path) -> str:
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # the user needs no messages about its repairs
    about: Mapping[str, Any] = pypdf.PdfReader(path).metadata or {}
    texts = [str(about.get(key) or "") for key in ("/Keywords", "/Subject")]  # pictures, the page
    return next((text for text in texts if provenance.parse(text)), "")


def mismatches(path: Path, forms: Sequence[Mapping[str, str]], out: Path, runs: Sequence[Path] = ()) -> list[str]:
    """Why ``path`` does not match the runs that it names; [] if it matches.

    A run is searched among ``runs``, below ``out``/runs, and beside the file (a reference result).
    """
    found = []
    for fields in forms:
        name, digest = fields["run"], fields["metrics"]
        places = [*runs, out / "runs" / name, path.parent / name.partition("/")[0]]
        digests = [sha256_file(place / "metrics.json") for place in places if _label(place) == name]
        if not digests:
            found.append(f"{name} is not among the runs")
        elif digest not in digests:
            found.append(f"{name} has other numbers now (metrics {digests[0][:12]}, in the file {digest[:12]})")
    expected = listed(path.parent).get(path.name)
    if expected is not None and sha256_file(path) != expected:
        found.append("its bytes are not those that were written")
    return found


def _label(run: Path) -> str:
    """The run's path under runs/, from its metrics.json; "" if that is missing or not from this program."""
    try:
        return provenance.label(read_json(run / "metrics.json"))
    except (UserError, KeyError, TypeError):
        return ""


def listed(folder: Path) -> dict[str, str]:
    """{file name: SHA-256} from the manifest of a folder of pictures, of the page, or of a reference result."""
    names: dict[str, str] = {}
    for manifest in (folder / "figures.json", folder / "report.json", folder / "manifest.json"):
        if not manifest.is_file():
            continue
        content: Any = read_json(manifest)
        try:
            names |= {str(file): str(digest) for file, digest in content.get("files", {}).items()}
            for row in content.get("figures", []):
                names |= {f"{row['name']}.{kind}": str(row[f"sha256_{kind}"]) for kind in ("png", "pdf")}
        except (KeyError, TypeError, AttributeError):
            raise UserError(f"{manifest} is not from this program; delete it and run: make report") from None
    return names


def explain(path: Path, out: Path) -> list[str]:
    """The output of ``onepage provenance`` for a file: its short form, one field per line, and that it matches.

    Raises UserError, after printing the short form, for a file that does not match its run on disk.
    """
    forms = read(path)
    if not forms:
        raise UserError(f"{path} does not say where it comes from; give a picture or page of this program")
    lines = [str(path)]
    for fields in forms:
        lines += [f"  {name:<10} {value}" for name, value in fields.items()]
    wrong = mismatches(path, forms, out)
    if wrong:
        print("\n".join(lines))
        raise UserError(f"{path} does not match the run on disk: {'; '.join(wrong)}")
    return [*lines, f"matches {' and '.join(fields['run'] for fields in forms)} on disk"]


def check_files(out: Path, runs: Sequence[Path]) -> list[Check]:
    """A row for the pictures of each task and one for the page, if they exist.

    Other pictures in these folders, which name no run, are ignored.
    """
    out, rows = Path(out), []
    places = [
        (f"{task}-figures", f"figures/{task}", f"the pictures in figures/{task} match the run that they name", task)
        for task in TASKS
    ]
    for name, folder, what, goal in [*places, ("page", "report", PAGE, "report")]:
        try:
            seen, wrong = _faults(out / folder, out, runs)
        except UserError as error:
            seen, wrong = 0, [str(error)]
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            rows.append(Check(name, what, FAIL, f"{wrong[0]}{more}; run: make {goal}"))
        elif seen:
            rows.append(Check(name, what, PASS, f"{seen} files, by metadata and digest"))
    return rows


def _faults(folder: Path, out: Path, runs: Sequence[Path]) -> tuple[int, list[str]]:
    """The number of files checked in a folder, and what is wrong with them."""
    names = listed(folder)
    there = {path.name for kind in ("png", "pdf") for path in folder.glob(f"*.{kind}")}
    seen, wrong = 0, []
    for name in sorted(there | names.keys()):
        path = folder / name
        forms: list[dict[str, str]] = []
        if not path.is_file():
            faults = ["is missing"]
        elif name in names:
            drawn = path.suffix in (".png", ".pdf") and name != PAGE_IMAGE
            forms = read(path) if drawn else []
            faults = ["names no run"] if drawn and not forms else mismatches(path, forms, out, runs)
        else:
            with contextlib.suppress(UserError):  # files of others may be damaged
                forms = read(path)
            if not forms:
                continue
            faults = mismatches(path, forms, out, runs)
        seen += 1
        wrong += [f"{path.relative_to(out)}: {fault}" for fault in faults]
    return seen, wrong
