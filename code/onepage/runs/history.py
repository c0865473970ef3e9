"""The history of a run: one JSON object per line, rewritten as a whole so that a resumed run duplicates no line."""

import json
from pathlib import Path
from typing import Any

from onepage.errors import UserError
from onepage.files import write_text


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write all rows to ``path`` in one move."""
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def read(path: Path) -> list[dict[str, Any]]:
    """All rows of a history file, oldest first; raises UserError if there are none, or they cannot be read."""
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete {path.parent} and run: make all") from None
    if not rows:
        raise UserError(f"{path} is empty; delete {path.parent} and run: make all")
    return rows
