"""The list of tasks: a folder that is no task gets one line."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from onepage import tasks
from onepage.errors import UserError


@pytest.fixture
def ghost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line in the list, without a folder."""
    monkeypatch.setitem(tasks.TASKS, "ghost", "a task")


@pytest.mark.fault("a task without a usable record", "`code/onepage/.../task.py has no usable TASK (...); ...`")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "has no attribute 'TASK'"),
        ({"TASK": SimpleNamespace(name="tony")}, "its name is 'tony'"),
    ],
)
def test_a_bad_record_is_named(ghost: None, given: dict, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"code/onepage/ghost/task\.py has no usable TASK \(No module named .*ghost"):
        tasks.get("ghost")
    module = ModuleType("onepage.ghost.task")
    vars(module).update(given)
    monkeypatch.setitem(sys.modules, "onepage.ghost", ModuleType("onepage.ghost"))
    monkeypatch.setitem(sys.modules, "onepage.ghost.task", module)
    with pytest.raises(UserError, match=says):
        tasks.get("ghost")


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(UserError, match="'ghost' is not a task; choose one of cls, mt"):
        tasks.get("ghost")
