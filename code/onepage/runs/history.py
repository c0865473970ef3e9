"""The history of a run: one JSON object per line, rewritten as a whole so that a resumed run duplicates no line."""

import json
from pathlib import Path
from typing import Any

from onepage.files import write_text


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows to ``path`` in one move."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def read(path: Path) -> list[dict[str, Any]]:
    """All rows of a history file."""
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
