"""Verification: whether the predictions give the page's numbers, and whether page and pictures come from these runs.

Every claim of report/claims.toml, and every other score in metrics.json for which this is possible, is recomputed from
predictions.npz and digest-checked data: if someone edits such a number, in predictions or metrics, verification fails.
The task's module ``recount`` computes it without the evaluation's code. ``provenance`` traces pictures and page to
their runs, ``comparison`` compares a run with a reference result. Large packages are imported only when needed.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_arrays, read_json
from onepage.runs import lookup, seeds
from onepage.verification import comparison
from onepage.verification.claims import (
    FAIL,
    NOT_CHECKED,
    PASS,
    Check,
    Claim,
    Result,
    against_bound,
    at,
    is_number,
    load_claims,
    status,
)

COLUMNS = ("id", "claim", "bound", "measured", "result", "reason")
_MALFORMED = (KeyError, TypeError, AttributeError)  # raised by a metrics.json of another program


class Evidence:
    """The content of a run folder, read and recomputed once; ``run`` None: there is no run of the task."""

    def __init__(self, task: str, run: Path | None, out: Path, data_dir: Path) -> None:
        self.task, self.run, self.data_dir = tasks.get(task), run, Path(data_dir)
        path = None if run is None else run / "predictions.npz"
        self.where = str(path.relative_to(out) if path is not None and path.is_relative_to(out) else path)
        there = run is not None and (run / "metrics.json").is_file()
        self.metrics: Mapping[str, Any] | None = read_json(run / "metrics.json") if run and there else None

    @cached_property
    def recounted(self) -> tasks.Recount | tuple[str, str]:
        """The recount, or (state, reason) if there can be none."""
        assert self.run is not None and self.metrics is not None
        path = self.run / "predictions.npz"
        if not path.is_file():
            return FAIL, f"{self.where} is missing; delete metrics.json there and run: make {self.task.name}"
        try:
            arrays = read_arrays(path)
        except UserError as error:
            return FAIL, str(error)
        try:
            found: tasks.Recount = self.task.module("recount").recount(self.metrics, self.data_dir, arrays)
        except UserError as error:  # without data there is no check, and no PASS
            return NOT_CHECKED, f"cannot recompute: {error}"
        except ValueError as error:
            return FAIL, f"{self.where} cannot be read ({error})"
        if self.metrics.get("data_digest") != found.data_digest:
            return FAIL, f"not trained on the data in {self.data_dir} (digests differ)"
        return found

    def recount(self, path: str) -> tuple[str, float | None, str]:
        """(state, recomputed score or None, reason if not PASS) of the score at ``path`` in metrics.json."""
        assert self.metrics is not None
        found = self.recounted
        if isinstance(found, tuple):
            return found[0], None, found[1]
        value = found.values.get(path)
        if path in found.problems:
            return FAIL, value, f"{self.where}: {found.problems[path]}"
        if value is None:
            named = [name for name in found.values if not any(part.isdecimal() for part in name.split("."))]
            return FAIL, None, f"{path} is not one of the recomputed scores: {', '.join(named)}"
        told = at(self.metrics, path)
        if not is_number(told) or not abs(value - told) <= self.task.tolerance:  # "not <=": NaN must fail
            return FAIL, value, f"metrics.json says {told!r} for {path}, the predictions give {value!r}"
        return PASS, value, ""


def gather(out: Path, data_dir: Path, runs: Sequence[Path]) -> dict[str, Evidence]:
    """The evidence of every task, with or without a run; files are named relative to ``out``."""
    given = lookup.by_task(runs)
    return {task: Evidence(task, given.get(task), Path(out), data_dir) for task in tasks.TASKS}


def check(claims: Sequence[Claim], evidence: Mapping[str, Evidence], references: Path) -> list[Result]:
    """Recompute every claim; ``references`` holds the reference results that claims name."""
    return [_check(claim, evidence[claim.task], references) for claim in claims]


def _check(claim: Claim, evidence: Evidence, references: Path) -> Result:
    if evidence.metrics is None or evidence.run is None:
        return status(claim, None)
    try:
        told = status(claim, evidence.metrics)
        if told.state == NOT_CHECKED or told.measured is None:
            return told
        state, value, reason = evidence.recount(claim.metric)
        if state != PASS or value is None:
            return Result(claim, state, value, reason)
        result = against_bound(claim, value, f"recomputed from {claim.recomputed_from}")
        if result.state != PASS or not claim.references:
            return result
        state, why = comparison.beside_references(claim, value, evidence.run, references)
    except _MALFORMED as error:
        return Result(claim, FAIL, None, f"metrics.json is not from this program ({type(error).__name__}: {error})")
    return Result(claim, state, value, f"{why}; {result.reason}")


def recounts(evidence: Mapping[str, Evidence]) -> list[Check]:
    """A check for each run: all scores that its task recomputes, claimed or not."""
    rows = []
    for task, found in evidence.items():
        if found.metrics is None:
            continue
        try:
            outcome = _recount_all(found)
        except _MALFORMED as error:
            outcome = FAIL, f"metrics.json is not from this program ({error!r})"
        text = f"metrics.json agrees with the predictions: {found.task.recounted}"
        rows.append(Check(f"{task}-recount", text, *outcome))
    return rows


def _recount_all(evidence: Evidence) -> tuple[str, str]:
    """(state, reason) of all scores of a run that can be recomputed."""
    found = evidence.recounted
    if isinstance(found, tuple):
        return found
    paths = sorted(found.values.keys() | found.problems.keys())
    wrong = [reason for state, _, reason in map(evidence.recount, paths) if state != PASS]
    if wrong or not paths:
        return FAIL, wrong[0] if wrong else "no score could be recomputed"
    return PASS, f"{len(paths)} recomputed"


def seed_checks(evidence: Mapping[str, Evidence]) -> list[Check]:
    """A check for each task with several seeds: scores, mean and sd in its seeds.json must be those of the runs."""
    rows = []
    for task, found in evidence.items():
        if found.metrics is None or found.run is None or not (found.run.parent / seeds.NAME).is_file():
            continue
        wrong = seeds.problem(found.run)
        content = {} if wrong else read_json(found.run.parent / seeds.NAME)
        if wrong or len(content["seeds"]) > 1:
            text = "mean and sd in seeds.json are those of the seeds' metrics.json"
            why = f"{wrong}; delete it and run: make {task}" if wrong else f"n = {len(content['seeds'])}"
            rows.append(Check(f"{task}-seeds", text, FAIL if wrong else PASS, why))
    return rows


def verify_all(
    claims: Path, out: Path, data_dir: Path, runs: Sequence[Path], *, files: bool = True
) -> tuple[list[Result], list[Check]]:
    """(claims, checks): all that ``make verify`` checks of runs; with ``files``, also pictures and page in ``out``."""
    from onepage.verification.provenance import check_files

    evidence = gather(out, data_dir, runs)
    results = check(load_claims(claims) + stand_ins(claims, evidence), evidence, claims.parent / "reference")
    checks = recounts(evidence)
    return results, checks + (seed_checks(evidence) + check_files(out, runs) if files else [])


def stand_ins(path: Path, evidence: Mapping[str, Evidence]) -> list[Claim]:
    """The floors of the generated sets that these runs were trained on; none for runs on real data."""
    read = {task: found.metrics for task, found in evidence.items() if isinstance(found.metrics, Mapping)}
    trained = {(task, metrics.get("set")) for task, metrics in read.items()}
    return [claim for claim in load_claims(path, "stand_in") if (claim.task, claim.set) in trained]


def exit_code(results: Sequence[Any], strict: bool = False) -> int:
    """1 if any ``state`` is FAIL (or, if strict, NOT CHECKED), otherwise 0."""
    states = {result.state for result in results}
    return int(FAIL in states or (strict and NOT_CHECKED in states))


def print_table(rows: Sequence[Any], columns: Sequence[str] = COLUMNS, title: str = "") -> None:
    """Print the ``cells()`` of each row to stdout: as a rich table on a terminal, otherwise filled cells in a line."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    cells = [row.cells() for row in rows]
    if not console.is_terminal:
        for row in cells:
            print("  ".join(cell for cell in row if cell))
        return
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number != 1 and column != "reason")
    style = {PASS: "green", FAIL: "bold red", NOT_CHECKED: "yellow"}
    for number, row in enumerate(cells):
        if number and "" in row and "" not in cells[number - 1]:
            table.add_section()  # between claims, which fill every cell, and checks
        # Text, not str, because rich would read square brackets in a reason as markup.
        table.add_row(*(Text(cell, style=style.get(cell, "")) for cell in row))
    console.print(table)
