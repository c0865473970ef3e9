"""The claims of report/claims.toml, and their state from metrics.json alone, as the page shows it.

``verify`` recomputes them. A claim about a set that the run was not trained on is NOT CHECKED, never PASS. Standard
library only.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.runs import words

PASS, FAIL, NOT_CHECKED = "PASS", "FAIL", "NOT CHECKED"


@dataclass(frozen=True)
class Reference:
    """A reference result: the folder ``report/reference/<result>``, its value, and the band around it.

    With the machine, software and settings of that result, the value must be exactly the same. Otherwise it must not
    fall below the band, [low, high], in the measure's own unit.
    """

    result: str
    value: float
    band: list[float]


@dataclass(frozen=True)
class Claim:
    """A table of claims.toml: on ``set`` (and ``options``), metrics.json has a number >= ``minimum`` at ``metric``."""

    id: str
    text: str
    task: str
    set: str
    metric: str
    minimum: float
    recomputed_from: str
    options: Mapping[str, str] = field(default_factory=dict)  # options of the task in the claim: src and tgt
    references: tuple[Reference, ...] = ()  # of different recipes; the model cards show the first

    def show(self, value: float) -> str:
        """``value`` in the measure's own unit, with one decimal; below the floor it is never printed as the floor."""
        scale, unit = (100, " %") if tasks.get(self.task).percent else (1, "")
        return words.score(scale * value, scale * self.minimum) + unit


@dataclass(frozen=True)
class Result:
    """The outcome of a claim: ``measured`` is the recomputed value, None if nothing was measured."""

    claim: Claim
    state: str
    measured: float | None
    reason: str

    def cells(self) -> tuple[str, ...]:
        """Its row in the printed table."""
        claim, measured = self.claim, "-" if self.measured is None else self.claim.show(self.measured)
        return claim.id, claim.text, ">= " + claim.show(claim.minimum), measured, self.state, self.reason


@dataclass(frozen=True)
class Check:
    """A check without a claim: ``text`` names it, ``state`` and ``reason`` are the outcome."""

    id: str
    text: str
    state: str
    reason: str

    def cells(self) -> tuple[str, ...]:
        """Its row in the printed table, without bound and measured value."""
        return self.id, self.text, "", "", self.state, self.reason


def load_claims(path: Path, kind: str = "claim") -> list[Claim]:
    """The claims of a claims.toml; raises UserError for a file that is missing, malformed or has unknown keys.

    ``kind`` "stand_in" reads the floors of the generated sets instead, which say nothing about the real sets.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        read = {name: [_claim(row) for row in tables.get(name, [])] for name in ("claim", "stand_in")}
        claims = read[kind]
    except FileNotFoundError:
        raise UserError(f"{path} is missing; restore it with: git checkout report/claims.toml") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}; fix the claim or restore the file with git") from None
    if not claims:
        raise UserError(f"{path} holds no [[{kind}]]; restore it with: git checkout report/claims.toml")
    for claim in claims:
        problem = _problem(claim)
        if problem:
            raise UserError(f"{path}: claim {claim.id}: {problem}")
    if len({claim.id for claim in claims}) < len(claims):
        raise UserError(f"{path}: two claims share an id; give each its own")
    return claims


def _claim(row: Mapping[str, Any]) -> Claim:
    """A claim from its table, with the inner tables ``references`` if there are any."""
    values = dict(row)
    if values.get("task") in tasks.TASKS:
        options = tasks.get(values["task"]).options
        values["options"] = {key: str(values.pop(key)) for key in options if key in values}
    tables = values.pop("references", [])
    if not isinstance(tables, list):
        raise TypeError(f"claim {row.get('id')!r:.60}: references must be a list of tables")
    try:
        return Claim(**values, references=tuple(Reference(**table) for table in tables))
    except TypeError as error:
        raise TypeError(f"claim {row.get('id')!r:.60}: {str(error).partition('() ')[2]}") from None


def _problem(claim: Claim) -> str:
    """What is wrong with a claim's values, or ""."""
    if claim.task not in tasks.TASKS:
        return f"no task {claim.task!r}"
    if not is_number(claim.minimum):
        return f"minimum must be a number, not {claim.minimum!r}"
    if tasks.get(claim.task).percent and not 0 <= claim.minimum <= 1:
        return f"minimum must be a share from 0 to 1, not {claim.minimum!r}"
    return next(filter(None, map(_unusable, claim.references)), "")


def _unusable(reference: Reference) -> str:
    """What is wrong with a reference's values, or ""."""
    band = reference.band
    if not isinstance(reference.result, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", reference.result):
        return f"references: result must name a folder of report/reference, not {reference.result!r}"
    if not is_number(reference.value) or not isinstance(band, list) or len(band) != 2 or not all(map(is_number, band)):
        return "references: value must be a number and band two numbers"
    if not band[0] <= reference.value <= band[1]:
        return f"references: value {reference.value} lies outside its band {band}"
    return ""


def is_number(value: object) -> bool:
    """Whether ``value`` is a number in the range of a float, and not true or false."""
    return isinstance(value, float) or (type(value) is int and abs(value) < 1e300)


def at(metrics: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of metrics.json, or None; a number in the path is an index of a list."""
    value: Any = metrics
    for part in path.split("."):
        if isinstance(value, list) and part.isdecimal() and len(part) < 10 and int(part) < len(value):
            value = value[int(part)]
        else:
            value = value.get(part) if isinstance(value, Mapping) else None
    return value


def status(claim: Claim, metrics: Mapping[str, Any] | None) -> Result:
    """The state of a claim from metrics.json alone, not recomputed, for the page."""
    if metrics is None:
        return Result(claim, NOT_CHECKED, None, f"not run; run: make {claim.task}")
    set_name, generated_set = str(metrics["set"]), tasks.get(claim.task).generated_set
    if set_name != claim.set or bool(metrics["generated"]) != (claim.set == generated_set):
        what = "generated data" if metrics["generated"] else "another set"
        return Result(claim, NOT_CHECKED, None, f"trained on {what} ({set_name}); the claim is about {claim.set}")
    if any(metrics.get(key) != wanted for key, wanted in claim.options.items()):
        trained, wanted = ("-".join(str(of.get(key)) for key in claim.options) for of in (metrics, claim.options))
        return Result(claim, NOT_CHECKED, None, f"trained on {trained}; the claim is about {wanted}")
    value = at(metrics, claim.metric)
    if not is_number(value):
        return Result(claim, FAIL, None, f"metrics.json has no number at {claim.metric}")
    return against_bound(claim, float(value), "recorded, not recomputed")


def against_bound(claim: Claim, value: float, how: str) -> Result:
    """PASS or FAIL of a value by the claim's bound; ``how`` names the source of the value."""
    if value >= claim.minimum:
        return Result(claim, PASS, value, how)
    return Result(claim, FAIL, value, f"below {claim.show(claim.minimum)}; {how}")
