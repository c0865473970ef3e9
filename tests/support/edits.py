"""Changes the files of a run in place, like somebody who edits them by hand."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np


def edit(path: Path, change: Callable[[Any], object] = lambda content: None, **keys: Any) -> Any:
    """Change the content of a JSON file, then set keys of it (None removes one); returns the new content."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    if keys:
        content = {key: value for key, value in (content | keys).items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")  # ASCII: a test may put half a surrogate pair into it
    return content


@contextlib.contextmanager
def edited(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of an .npz file, written back when the block ends."""
    with np.load(path) as file:
        arrays = dict(file)
    yield arrays
    np.savez(path, **arrays)  # type: ignore[arg-type]


def edit_arrays(path: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    """Change the arrays of an .npz file."""
    with edited(path) as arrays:
        change(arrays)


def touch(path: Path) -> None:
    """Change the bytes of a JSON file, but not its content."""
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
