"""The headline of a task: its score, large, with the interval, the number of examples, and the floor it is held to."""

from collections.abc import Mapping
from typing import Any

from onepage.errors import UserError
from onepage.report import facts as words
from onepage.report.provenance import Task
from onepage.runs import seeds
from onepage.verification import claims as held


def fill(template: str, names: Mapping[str, str], where: str) -> str:
    """``template`` with its {names} filled in; raises UserError for a name this run has no figure for."""
    try:
        return template.format_map(names)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UserError(
            f"report/page.toml, {where}: {error} cannot be filled in; names: {', '.join(sorted(names))}"
        ) from None


def build(page: Mapping[str, Any], task: Task, names: Mapping[str, str], result: held.Result | None) -> dict[str, Any]:
    """The headline as texts. The score is cut to two decimals and not rounded, as the claims are; its interval rounded.

    ``result``: what became of the claim about this task, None where claims.toml makes none.
    """
    prose, metrics = page[task.task], task.metrics
    if task.task == "cls":
        score, unit = 100 * metrics["test"]["accuracy"], "%"
        bounds = [100 * bound for bound in metrics["test"]["accuracy_interval"]]
    else:
        bleu = metrics["tests"][metrics["headline"]]["bleu"]
        score, unit, bounds = bleu["score"], "BLEU", bleu["interval"]
    low, high = (words.number(bound, 2) for bound in bounds)
    return {
        "value": words.cut(score),
        "unit": unit,
        "label": fill(prose["headline"], names, f"{task.task}.headline"),
        "interval": f"95{words.NBSP}% interval {low} to {high}",
        "n": fill(prose["headline_n"], names, f"{task.task}.headline_n"),
        "seeds": mean(page, task),
        "claim": claim(page, result) if result else None,
        "verdict": _verdict(page, result) if result else "",
    }


def mean(page: Mapping[str, Any], task: Task) -> str:
    """The mean, sd and n of the headline over the task's seeds, as prose; "" where there is one seed."""
    if len(task.seeds) == 1:
        return ""
    name = seeds.headline(task.metrics)
    part, percent = task.several["summary"][name], seeds.measures(task.metrics)[name].percent
    middle, sd = (words.number(part[key] * (100 if percent else 1), 2) for key in ("mean", "sd"))
    return fill(page["seeds"], {"mean": middle, "sd": sd, "n": str(part["n"])}, "seeds")


def claim(page: Mapping[str, Any], result: held.Result) -> dict[str, str]:
    """A claim and what became of it, as texts."""
    said = result.claim
    digits = "" if result.measured is None else said.show(result.measured)
    return {
        "id": said.id,
        "set": page["sets"].get(said.set, said.set),
        "text": said.text,
        "bound": "≥ " + said.show(said.minimum),
        "floor": f"{said.minimum * 100:g}{words.NBSP}%" if said.measure == "accuracy" else f"{said.minimum:g} BLEU",
        "measured": digits or "–",
        "state": result.state,
        "reason": result.reason,
    }


def _verdict(page: Mapping[str, Any], result: held.Result) -> str:
    """How far the score, as shown, is from its floor; where it is not held to it, of which set the floor is."""
    names = claim(page, result)
    if result.measured is None:
        return fill(page["verdict"]["none"], names, "verdict.none")
    scale = 100 if result.claim.measure == "accuracy" else 1
    margin = float(words.cut(result.measured * scale)) - result.claim.minimum * scale
    side = "below" if result.state == held.FAIL else "above"
    unit = f"{words.NBSP}points" if result.claim.measure == "accuracy" else ""
    return fill(page["verdict"][side], names | {"margin": words.number(abs(margin), 2) + unit}, f"verdict.{side}")
