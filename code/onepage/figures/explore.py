"""The data of report.html: one compact JSON file for each task, beside its pictures.

A part of the page has a ``kind``, for which report/templates/report.js has a function, a ``picture``, which replaces it
without JavaScript and in print, and data. Large arrays are bytes in base64; images are one WebP sprite.
"""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onepage.figures import curves
from onepage.files import sha256_file, write_text

NAME = "explore.json"
QUALITY = 80  # of the sprite, WebP
Part = dict[str, Any]
Line = tuple[str, Sequence[float], np.ndarray]  # of a curve: its name, x, and values (seeds, x)


def write(run: Path, folder: Path, parts: Sequence[Part]) -> None:
    """Write the ``parts`` of the evaluated ``run`` to ``folder``/explore.json."""
    content = {"metrics_sha256": sha256_file(run / "metrics.json"), "parts": parts}
    write_text(folder / NAME, json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


def encoded(array: np.ndarray) -> str:
    """The bytes of a uint8 array, in base64."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=np.uint8).tobytes()).decode()


def sprite(images: np.ndarray, columns: int) -> str:
    """Images (n, h, w, 3), uint8, in rows of ``columns`` in one WebP, as a data: address; "" for none."""
    n, high, wide, _ = images.shape
    if not n:
        return ""
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, high, wide, 3), np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, high, wide, 3).swapaxes(1, 2).reshape(rows * high, columns * wide, 3)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def panel(title: str, unit: str, lines: Sequence[Line], *, small: bool = False) -> dict[str, Any]:
    """A panel of curves; ``small``: a strip beneath the others."""
    shown = [
        {"name": name, "x": _numbers(x), "seeds": [_numbers(row) for row in np.atleast_2d(values)]}
        for name, x, values in lines
    ]
    return {"title": title, "unit": unit, "small": small, "lines": shown}


def learning(picture: str, x: str, histories: curves.Histories, panels: Sequence[dict[str, Any]]) -> Part:
    """The part of the learning curves over ``x``, a key of the history."""
    part: Part = {"kind": "curves", "picture": picture, "x": x, "seeds": len(histories), "panels": list(panels)}
    seconds = curves.values(histories, "seconds").mean(axis=0)
    return part | {"at": _numbers([row[x] for row in histories[0]]), "seconds": _numbers(seconds)}


def _numbers(values: Any) -> list[float | None]:
    """With five significant digits; None for NaN."""
    return [None if np.isnan(value) else float(f"{value:.5g}") for value in np.asarray(values, dtype=float)]
