"""The recount of each task is independent of the code that computed the scores."""

import ast
from pathlib import Path

import pytest

from onepage import tasks
from onepage.verification import recount

PACKAGE = Path(tasks.__file__).parent


@pytest.mark.parametrize("task", tasks.TASKS)
def test_recount_imports_neither_evaluate_nor_scores(task: str) -> None:
    for path in (PACKAGE / task / "recount.py", Path(recount.__file__)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {alias.name for node in found for alias in node.names}
        names |= {str(node.module) for node in found if isinstance(node, ast.ImportFrom)}
        ours = {name for name in names if name.startswith("onepage.") and name != f"onepage.{task}.recount"}
        assert ours <= {"onepage.data", "onepage.tasks"} and not names & {"evaluate", "scores"}
