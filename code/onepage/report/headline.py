"""The headline of a task: its score, large, with the interval, the number of examples, and the floor it is held to."""

from collections.abc import Mapping
from typing import Any

from onepage import tasks
from onepage.report.inputs import Shown
from onepage.report.prose import fill
from onepage.runs import words
from onepage.verification import claims as held


def build(page: Mapping[str, Any], run: Shown, names: Mapping[str, str], result: held.Result | None) -> dict[str, Any]:
    """The headline as texts. The score is cut to two decimals and not rounded, as the claims are; its interval rounded.

    ``result``: what became of the claim about this task, None where claims.toml makes none.
    """
    prose, task = page[run.name], run.task
    measure, scale = task.measures(run.metrics)[task.headline(run.metrics)], _scale(task)
    return {
        "value": words.cut(scale * measure.value),
        "unit": task.unit,
        "label": fill(prose["headline"], names, f"{run.name}.headline"),
        "interval": f"95{words.NBSP}% interval {words.interval([scale * bound for bound in measure.interval], 2)}",
        "n": fill(prose["headline_n"], names, f"{run.name}.headline_n"),
        "seeds": mean(page, run),
        "claim": claim(page, result) if result else None,
        "verdict": _verdict(page, result) if result else "",
    }


def mean(page: Mapping[str, Any], run: Shown) -> str:
    """The mean, sd and n of the headline over the task's seeds, as prose; "" where there is one seed."""
    if len(run.seeds) == 1:
        return ""
    part = run.several["summary"][run.task.headline(run.metrics)]
    middle, sd = (words.number(_scale(run.task) * part[key], 2) for key in ("mean", "sd"))
    return fill(page["seeds"], {"mean": middle, "sd": sd, "n": str(part["n"])}, "seeds")


def claim(page: Mapping[str, Any], result: held.Result) -> dict[str, str]:
    """A claim and what became of it, as texts."""
    said, task = result.claim, tasks.get(result.claim.task)
    unit = f"{words.NBSP}%" if task.percent else f" {task.unit}"
    return {
        "id": said.id,
        "set": page["sets"].get(said.set, said.set),
        "text": said.text,
        "bound": "≥ " + said.show(said.minimum),
        "floor": f"{_scale(task) * said.minimum:g}{unit}",
        "measured": words.NONE if result.measured is None else said.show(result.measured),
        "state": result.state,
        "reason": result.reason,
    }


def _verdict(page: Mapping[str, Any], result: held.Result) -> str:
    """How far the score, as shown, is from its floor; where it is not held to it, of which set the floor is."""
    names = claim(page, result)
    if result.measured is None:
        return fill(page["verdict"]["none"], names, "verdict.none")
    task = tasks.get(result.claim.task)
    margin = float(words.cut(_scale(task) * result.measured)) - _scale(task) * result.claim.minimum
    side = "below" if result.state == held.FAIL else "above"
    unit = f"{words.NBSP}points" if task.percent else ""
    return fill(page["verdict"][side], names | {"margin": words.number(abs(margin), 2) + unit}, f"verdict.{side}")


def _scale(task: tasks.Task) -> int:
    return 100 if task.percent else 1
