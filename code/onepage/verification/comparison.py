"""Comparison of a run with a reference result: to the last digit, or within a band. Standard library only.

A run with the recipe, data, seed and code of the reference, on a machine with its fingerprint, must have the same
scores. For any other run the band is statistical: if the reference has three seeds or more, the 95 % prediction
interval for one more seed (Student's t); with fewer, the 95 % interval of the score itself over test examples (Wilson
for accuracy, bootstrap for BLEU and chrF2).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_json
from onepage.runs.fingerprint import sha256_of
from onepage.tasks import Measure
from onepage.training.recipe import difference
from onepage.verification.claims import FAIL, NOT_CHECKED, PASS, Claim, Reference, is_number

# 97.5 % quantiles of Student's t by degrees of freedom; beyond the table the last one, which is a little too wide
STUDENT = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}
FEWEST_SEEDS = 3
# float addition in another order does not change a result
NOISE = 1e-6
# of metrics.json: a later commit can give the same results
COMMIT = ("commit", "commit_time", "dirty")
COLUMNS = ("measure", "reference", "here", "band", "result", "verdict")


@dataclass(frozen=True)
class Row:
    """One line of the comparison, its fields in the order of COLUMNS; ``state`` decides the exit code."""

    measure: str
    reference: str
    here: str
    band: str
    state: str
    verdict: str

    def cells(self) -> tuple[str, ...]:
        """Its row in the printed table."""
        return astuple(self)


def fingerprint(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str | None:
    """A digest of all that decides the bits besides recipe, data and seed: processor, software, threads, code.

    None if the run does not record all of these.
    """
    host, evaluate = provenance.get("host") or {}, provenance.get("evaluate") or {}
    elsewhere = evaluate.get("host") or host
    gpu = metrics["device"] != "cpu"
    parts = {
        "processors": [[h.get("cpu"), h.get("cpu_id"), h.get("system"), h.get("gpu") if gpu else None]
                       for h in (host, elsewhere)],
        "software": metrics["versions"],
        "arithmetic": [metrics["device"], metrics["precision"], metrics["threads"]]
        + [metrics[key] for key in ("processes", "processes_from_update") if key in metrics],
        "code": [metrics.get("program"), evaluate.get("program")],
    }  # fmt: skip
    if not all([host.get("cpu_id"), elsewhere.get("cpu_id"), *parts["code"]]):
        return None
    return sha256_of(parts)


def obstacle(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Why two runs cannot be compared, or "": another set or language pair, other data, another recipe or search."""
    for key, name in {"task": "task", "set": "set", **tasks.of(theirs).options}.items():
        if mine.get(key) != theirs.get(key):
            return f"other {name} ({theirs.get(key)} there, {mine.get(key)} here)"
    if mine["data_digest"] != theirs["data_digest"]:
        return "other data (digests differ)"
    # the numbers of threads and of processes decide last digits, not the experiment; except processes with local
    # BatchNorm, whose statistics cover a part of the batch
    aside = {"threads"} | (set() if mine.get("processes") or theirs.get("processes") else {"batch_norm"})
    local = [run["recipe"].get("batch_norm") == "local" and run.get("processes", 1) for run in (mine, theirs)]
    if local[0] != local[1] and mine.get("processes") != theirs.get("processes"):
        return f"other number of processes ({theirs.get('processes', 1)} there, {mine.get('processes', 1)} here)"
    recipes = [{key: value for key, value in run["recipe"].items() if key not in aside} for run in (mine, theirs)]
    searches = [run.get("decoding") or {} for run in (mine, theirs)]
    for name, differs in (("recipe", difference(*recipes)), ("decoding settings", difference(*searches))):
        if differs:
            return f"other {name} ({differs if len(differs) <= 160 else differs[:159] + '…'})"
    return ""


def must_be_exact(
    mine: Mapping[str, Any], theirs: Mapping[str, Any], here: Mapping[str, Any], there: Mapping[str, Any]
) -> bool:
    """Whether two runs, given as metrics.json and provenance.json, must agree to the last digit."""
    same = all(mine[key] == theirs[key] for key in ("recipe", "data_digest", "seed"))
    prints = fingerprint(mine, here), fingerprint(theirs, there)
    return same and prints[0] is not None and prints[0] == prints[1]


def band(name: str, reference: Measure, seeds: Sequence[Mapping[str, Any]]) -> tuple[float, float, str]:
    """(low, high, its basis) of a score, from the reference's seeds or from its own interval.

    ``seeds``: rows of seeds.json, each with ``measures`` {name: value}.
    """
    values = [row["measures"][name] for row in seeds if name in row["measures"]]
    if len(values) >= FEWEST_SEEDS:
        quantile = STUDENT.get(len(values) - 1, STUDENT[max(STUDENT)])
        half = quantile * statistics.stdev(values) * math.sqrt(1 + 1 / len(values))
        mean = statistics.fmean(values)
        return mean - half, mean + half, f"{len(values)} seeds"
    return *reference.interval, "binomial" if reference.percent else "bootstrap"


def _relation(run: Path, reference: Path) -> tuple[Mapping[str, Any], Mapping[str, Any], str, bool]:
    """(metrics here, metrics there, why they cannot be compared or "", whether they must agree to the last digit)."""
    mine, theirs = (read_json(folder / "metrics.json") for folder in (run, reference))
    why = obstacle(mine, theirs)
    if why:
        return mine, theirs, why, False
    here, there = (read_json(folder / "provenance.json") for folder in (run, reference))
    return mine, theirs, "", must_be_exact(mine, theirs, here, there)


def beside_references(claim: Claim, value: float, run: Path, references: Path) -> tuple[str, str]:
    """(PASS or FAIL, why) of a claim's recomputed value, by its first reference that the run can be compared with.

    Raises UserError if one of them is not in the folder ``references``.
    """
    obstacles = []
    for reference in claim.references:
        folder = references / reference.result / claim.task
        if not (folder / "metrics.json").is_file():
            raise UserError(f"claim {claim.id} names {folder}, which is missing; restore it with git")
        where = f"reference {reference.result} ({claim.show(reference.value)})"
        _, _, why, exact = _relation(run, folder)
        if not why:
            return _beside(claim, reference, value, where, exact)
        obstacles.append(f"{where}: {why}")
    return PASS, f"not compared with {'; nor with '.join(obstacles)}"


def _beside(claim: Claim, reference: Reference, value: float, where: str, exact: bool) -> tuple[str, str]:
    """(PASS or FAIL, why) of a value that can be compared with ``reference``; ``where`` names it."""
    if exact:
        if abs(value - reference.value) <= NOISE:
            return PASS, f"exactly equal to {where}"
        return FAIL, f"differs from {where}, though machine, software and settings are the same"
    low, high = reference.band
    shown = f"band {claim.show(low)} to {claim.show(high)} of {where}"
    if value < low:
        return FAIL, f"below the {shown}"
    return PASS, f"within the {shown}" if value <= high else f"above the {shown}"


def compare(task: str, run: Path | None, reference: Path) -> list[Row]:
    """A row for each score of a task; ``reference`` is a folder of report/reference, already checked."""
    folder = reference / task
    if not folder.is_dir():
        return _not_compared(task, f"{reference.name} holds no run of {task}")
    if run is None or not (run / "metrics.json").is_file():
        return _not_compared(task, f"not run; run: make {task}")
    try:
        mine, theirs, why, exact = _relation(run, folder)
        if why:
            return _not_compared(task, why)
        return _exact(task, mine, theirs) if exact else _within(task, mine, theirs, read_json(folder / "seeds.json"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{run / 'metrics.json'} lacks what is compared ({error!r}); run make again") from error


def _not_compared(task: str, why: str) -> list[Row]:
    return [Row(task, "", "", "", NOT_CHECKED, f"not compared: {why}")]


def _exact(task: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[Row]:
    found = tasks.of(mine).measures(mine)
    rows = []
    for name, measure in tasks.of(theirs).measures(theirs).items():
        value = found[name].value if name in found else math.nan
        rows.append((name, repr(measure.value), repr(value), value == measure.value))
    kept = [{key: value for key, value in metrics.items() if key not in COMMIT} for metrics in (theirs, mine)]
    digests = {
        "weights, SHA-256": [str(metrics["weights_digest"]) for metrics in (theirs, mine)],
        "metrics.json but its commit, SHA-256": [sha256_of(part) for part in kept],
    }
    rows += [(name, there[:12], here[:12], there == here) for name, (there, here) in digests.items()]
    return [
        Row(f"{task} {name}", there, here, "exact", PASS if same else FAIL, "same" if same else "differs")
        for name, there, here, same in rows
    ]


def _within(
    task: str, mine: Mapping[str, Any], theirs: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]]
) -> list[Row]:
    rows = []
    found = tasks.of(mine).measures(mine)
    for name, expected in tasks.of(theirs).measures(theirs).items():
        low, high, basis = band(name, expected, seeds)
        value = found[name].value if name in found else None
        here = "-"
        if not is_number(value) or value is None:
            state, verdict = FAIL, "missing"
        else:
            here, state = expected.show(value), PASS if value >= low else FAIL  # "not <": NaN must fail
            verdict = "below" if state == FAIL else "above" if value > high else "within"
        shown = f"{expected.show(low)} to {expected.show(high)} ({basis})"
        rows.append(Row(f"{task} {name}", expected.show(expected.value), here, shown, state, verdict))
    return rows


def claimed(claim: Claim, metrics: Mapping[str, Any], seeds: Sequence[Mapping[str, Any]]) -> tuple[float, list[float]]:
    """(value, [low, high]) for a claim's table in ``references``, from a reference result with these metrics."""
    for name, measure in tasks.of(metrics).measures(metrics).items():
        if measure.path == claim.metric:
            low, high, _ = band(name, measure, seeds)
            return float(measure.value), [low, high]
    raise UserError(f"claim {claim.id}: {claim.metric} is not one of the task's measures")
