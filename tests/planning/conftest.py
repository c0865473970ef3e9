"""A user's own recipe file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from onepage import tasks
from onepage.planning import recipes


@pytest.fixture
def own_recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file with the values of a task's quick recipe, and ``more`` below them."""

    def write(task: str, more: str = "") -> Path:
        path = tmp_path / "mine.toml"
        text = recipes.built_in(tasks.get(task), "quick").read_text(encoding="utf-8").partition("\n[")[0]
        path.write_text(f"{text}\n{more}\n", encoding="utf-8")
        return path

    return write
