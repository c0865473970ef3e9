"""report.html: the page to explore, in one file that loads no other file and sends no request.

It contains the pictures as WebP, the data as JSON, and style and program as text. Its Content-Security-Policy allows
only the digests of these two: nothing else can be loaded or run. Without JavaScript it is a report with every picture.
Reads JSON and pictures; no torch, no numpy.
"""

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from onepage.errors import UserError
from onepage.files import read_json
from onepage.report.escape import Safe, visible

LIMIT = 5_000_000  # bytes of report.html
ROOM = 200_000  # of them for tables and prose
WIDE = 100.0  # mm; a wider picture is embedded at half its 300 dpi
QUALITY = 88  # of the WebP
SCALE = 7.2  # CSS pixels for a millimetre of a picture
DATA = "explore.json"  # beside the pictures of a task
POLICY = "default-src 'none'; img-src data:; style-src {}; script-src {}; base-uri 'none'; form-action 'none'"


def values(context: Mapping[str, Any], out: Path, templates: Path) -> dict[str, Any]:
    """What report.html.j2 prints besides the ``context`` of the page; pictures and data are in ``out``/figures.

    Raises UserError for a picture that cannot be read, and for data of another run.
    """
    style, script = ((templates / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    parts = {section["task"]: _parts(section["task"], out, context["runs"]) for section in context["sections"]}
    block = json_block({f"{task}-{part['kind']}": part for task, found in parts.items() for part in found})
    pictures = _pictures(context, out, LIMIT - ROOM - sum(map(len, (style, script, block))))
    explored = {
        task: [
            {"id": f"{task}-{part['kind']}", "figure": pictures.pop(f"{task}/{part['picture']}", None)}
            | context["explore"][part["kind"]]
            for part in found
        ]
        for task, found in parts.items()
    }
    return {
        "policy": POLICY.format(_digest(style), _digest(script)),
        "style": Safe(style),
        "script": Safe(script),
        "data": block,
        "parts": explored,
        "pictures": {task: [row for row in pictures.values() if row["task"] == task] for task in parts},
    }


def json_block(data: Any) -> Safe:
    """``data`` as JSON without characters of HTML, for a script element.

    It is ASCII only, so that half a surrogate pair is valid text too.
    """
    text = json.dumps(_visible(data), separators=(",", ":"), allow_nan=False)
    return Safe(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _visible(data: Any) -> Any:
    """``data`` with a visible form of characters that hide or reorder text."""
    if isinstance(data, str):
        return visible(data)
    if isinstance(data, dict):
        return {key: _visible(value) for key, value in data.items()}
    return [_visible(value) for value in data] if isinstance(data, list) else data


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _parts(task: str, out: Path, runs: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """The parts of a task to explore; [] if it has none."""
    path = out / "figures" / task / DATA
    if not path.is_file():
        return []
    content = read_json(path)
    if not isinstance(content, dict) or content.get("metrics_sha256") != runs[task]["metrics_sha256"]:
        raise UserError(
            f"{path} does not belong to the run shown; delete it and figures.json beside it, then run: make {task}"
        )
    return list(content["parts"])


def _pictures(context: Mapping[str, Any], out: Path, room: int) -> dict[str, dict[str, Any]]:
    """{task/name: picture}, those of the printed page first; without an address once ``room`` bytes are used up."""
    rows = [figure for section in context["sections"] for row in section["rows"] for figure in row]
    found: dict[str, dict[str, Any]] = {}
    for figure in rows + [figure for part in context["more"] for figure in part["figures"]]:
        wide, high = (float(figure[side]) for side in ("width", "height"))
        address = _address(out / "figures" / f"{figure['file']}.png", halve=wide > WIDE)
        room -= len(address)
        shown = {"wide": round(SCALE * wide), "high": round(SCALE * high), "address": Safe(address * (room >= 0))}
        found[figure["file"]] = {"title": "", "text": "", **figure, **shown}
    return found


def _address(path: Path, halve: bool) -> str:
    """A PNG as a data: address of a smaller WebP."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            small = image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); draw it again: make {path.parent.name}") from None
    if halve:
        small = small.resize((max(1, small.width // 2), max(1, small.height // 2)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
