"""The list of tasks, and the record of a task, which all other code reads.

A task is a folder, ``onepage/<name>/``. Its module ``task`` holds its record, ``TASK``: plain values and functions of
plain values, without torch or numpy. The other modules have the same names in every task; ``Task.module`` imports them
when they are used:

===========  ==========================================================================================================
module       what other code calls
===========  ==========================================================================================================
recipe       ``Recipe``, and ``EVALUATION``: {table of a recipe: its dataclass} that evaluation alone reads
train        ``train(recipe, data, run, plan, program, ranks)`` writes model.pt
evaluate     ``evaluate(data, run, settings, say)`` writes metrics.json; ``settings``: the tables of EVALUATION
budget       ``measure(recipe, data, plan)``, ``fit(recipe, data, rates, minutes)``, ``summary(recipe)``
ablation     ``VARIANTS`` {name: changed keys of the recipe}, ``score(data, run, settings)``, ``show(score)``
draw         ``draw(run, folder)`` writes figures.json
explore      ``parts(run)``, what report.html lets a reader explore (see figures/explore.py)
facts        its part of the page, without torch and numpy: ``facts(metrics, page)``, {name: text} of the prose;
             ``ROWS``, the rows of pictures, whose names may hold {names} of facts; ``ABLATED``, the variants that
             the prose speaks of; ``tables(metrics, page)``, its ``Table`` records
recount      ``recount(metrics, data_dir, arrays)`` gives a ``Recount``; optionally ``COPIED``, endings of the arrays
             that are copies of test data, which reference results leave out
export       ``describe(metrics)``, {row of the card: text} of exported weights
command      ``COMMANDS``: its own commands of the command line
===========  ==========================================================================================================

A task may leave out explore, budget, ablation, export and command (``Task.has``) and, when the page does not show it,
facts.
"""

import importlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

from onepage.errors import UserError

# name: what it is, as make help prints it. A new task is a folder and a line here.
TASKS = {
    "cls": "ResNet-18 on CIFAR-10",
    "mt": "the Transformer on Multi30k",
}


class Measure(NamedTuple):
    """A score of a run: its value, its 95 % interval over test examples, and how it is shown."""

    value: float
    interval: tuple[float, float]
    percent: bool
    """Whether it is a share of 1, shown in per cent; otherwise a score from 0 to 100."""
    path: str = ""
    """Where metrics.json has its value, dotted."""

    def show(self, value: float, digits: int = 1) -> str:
        """``value`` in the measure's unit; means and standard deviations over seeds have more digits than a score."""
        return f"{100 * value:.{digits}f} %" if self.percent else f"{value:.{digits}f}"


class Table(NamedTuple):
    """A table of report.md and report.html, below the page; all cells are texts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    """A sentence below it."""


class Recount:
    """Scores recomputed from predictions, by their path in metrics.json, and problems of the arrays."""

    def __init__(self, data_digest: str):
        self.data_digest = data_digest
        self.values: dict[str, float] = {}
        self.problems: dict[str, str] = {}


class Task(NamedTuple):
    """What the rest of the program knows about a task."""

    name: str
    """The task's folder, and its word in make and on the command line."""
    model: str
    """What messages call its model: "ResNet-18"."""
    real_set: str
    """The data set it is trained on."""
    generated_set: str
    """The generated stand-in for it."""
    measures: Callable[[Mapping[str, Any]], dict[str, Measure]]
    """The scores in metrics.json that are compared and averaged, by name; the headline is one of them."""
    headline: Callable[[Mapping[str, Any]], str]
    """The name, among ``measures``, of the score that the page shows large."""
    percent: bool
    """Whether the headline, the subject of claims, is a share of 1; otherwise a score from 0 to 100."""
    unit: str
    """The unit of the headline in print: "%" or "BLEU"."""
    tolerance: float
    """Largest difference between a recomputed score and the one in metrics.json."""
    recounted: str
    """The scores that ``recount`` recomputes, in words."""
    options: Mapping[str, str] = {}
    """Keys of the plan, run.json and metrics.json that distinguish its data sets besides their name (src and tgt), and
    the name of each in messages."""
    page: bool = True
    """Whether report/page.toml has a section for it, and the page shows its run."""

    def __hash__(self) -> int:
        return hash(self.name)

    def module(self, role: str) -> ModuleType:
        """The task's module with that name (see above)."""
        return importlib.import_module(f"onepage.{self.name}.{role}")

    def has(self, role: str) -> bool:
        """Whether the task has a module with that name; some are optional."""
        return importlib.util.find_spec(f"onepage.{self.name}.{role}") is not None

    def folder(self, values: Mapping[str, Any]) -> str:
        """The folder of its runs on one data set: ``multi30k-en-de``; ``values``: a plan, run.json or metrics.json."""
        return "-".join(str(values[key]) for key in ("set", *self.options))


@cache
def get(name: str) -> Task:
    """The record of a task; raises UserError for an unknown name."""
    if name not in TASKS:
        raise UserError(f"{name!r:.40} is not a task; choose one of {', '.join(TASKS)}")
    try:
        task: Task = importlib.import_module(f"onepage.{name}.task").TASK
        if task.name != name:
            raise TypeError(f"its name is {task.name!r}")
    except (ImportError, AttributeError, TypeError, NameError, SyntaxError) as error:
        raise UserError(f"code/onepage/{name}/task.py has no usable TASK ({error}); see docs/extending.md") from error
    return task


def of(values: Mapping[str, Any]) -> Task:
    """The record of the task of a plan, run.json or metrics.json."""
    return get(str(values["task"]))


def every() -> list[Task]:
    """The records of all tasks, in the order of the list."""
    return [get(name) for name in TASKS]
