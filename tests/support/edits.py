"""Changes the files of a run in place, like somebody who edits them by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change the content of a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def edit_arrays(path: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the arrays of an .npz file."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    change(arrays)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def touch(path: Path) -> None:
    """Change the bytes of a JSON file, but not its content."""
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
