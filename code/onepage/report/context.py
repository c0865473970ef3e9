"""The page as plain values: everything the three templates print, computed once from JSON, in the order of the page.

``build`` reads metrics.json and provenance.json of each run, seeds.json beside it, the pictures' figures.json,
report/page.toml (prose) and report/claims.toml, and returns a dict of texts, whole numbers, lists and dicts. Nothing in
it is markup: the templates escape whatever they print. A task's own texts come from its ``facts`` module. No torch,
no numpy.
"""

import re
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.report import ablations, provenance
from onepage.report.inputs import Shown, chosen, distinct, fill, load_page, load_runs
from onepage.runs import history, words
from onepage.runs.provenance import label
from onepage.verification import claims as held

SHORT = 250  # characters of an alternative text in Markdown
PIXELS = 6  # of Markdown for a millimetre of a picture: half of its 300 dpi, so it is sharp on a fine screen
Prose = Mapping[str, Any]
Names = Mapping[str, str]  # {name: text} that prose may use


def build(out: Path, runs: Sequence[Path], report: Path) -> dict[str, Any]:
    """The context of the page, from one run of each task, ``out``/figures, and the prose and claims in ``report``."""
    page = load_page(report / "page.toml")
    claims = held.load_claims(report / "claims.toml")
    shown = load_runs(runs, out)
    try:
        return _assemble(page, claims, shown)
    except (KeyError, IndexError, TypeError) as error:
        what = f"{type(error).__name__} {error}"
        raise UserError(
            f"page.toml, metrics.json or figures.json lacks what the page shows ({what}); see docs/extending.md"
        ) from error


def _assemble(page: Prose, claims: Sequence[held.Claim], shown: Sequence[Shown]) -> dict[str, Any]:
    ablated = {run.name: found for run in shown if (found := ablations.load(run))}
    names = {run.name: _names(page, run, ablated.get(run.name, {})) for run in shown}
    if not ablated:
        names[shown[0].name]["not_ablated"] = "make ablate"
    shared = Counter(name for known in names.values() for name in known)  # of several tasks: only with TASK_ before it
    every = {name: text for known in names.values() for name, text in known.items() if shared[name] == 1}
    every["figures"] = words.number(sum(len(run.pictures) for run in shown))
    every["command"] = provenance.command(shown)
    metrics = {run.name: run.metrics for run in shown}
    results = [held.status(claim, metrics[claim.task]) for claim in claims if claim.task in metrics]
    sections = [_section(page, run, names[run.name], results) for run in shown]
    heads = [section["headline"] for section in sections]
    every["scores"] = " and ".join(f"{head['value']}{words.NBSP}{head['unit']}" for head in heads)
    every |= provenance.achieved_with(shown)
    top = chosen(page, every)
    run_line = (
        distinct(shown, lambda run: f"profile {run.metrics['profile']}"),
        distinct(shown, lambda run: f"seed\u00a0{run.metrics['seed']} (n\u00a0=\u00a0{len(run.seeds)})"),
    )
    reproduce, challenges = page["reproduce"], page["challenges"]
    return {
        "title": fill(top["title"], every, "title").replace(words.NBSP, " "),  # a PDF's title holds none
        "subtitle": fill(page["subtitle"], every, "subtitle"),
        "language": page["language"],
        "band": _band(page, claims, [run for run in shown if run.generated]),
        "run_line": ", ".join(" and ".join(texts) for texts in run_line),
        "sections": sections,
        "grid": _grid(sections),
        "insights": _insights(page["insights"], names, every, shown),
        "challenges": {
            "heading": challenges["heading"],
            "columns": challenges["columns"],
            "rows": _cells(challenges["rows"], every, "challenges"),
        },
        "explore": page["explore"],
        "structure": page["structure"],
        "reproduce": {
            "heading": reproduce["heading"],
            "steps": _cells(reproduce["steps"], every, "reproduce"),
            "note": reproduce["note" if all(len(run.seeds) == 1 for run in shown) else "note_seeds"],
        },
        "claims": [_claim(page, result) for result in results],
        "footer": provenance.footer(shown, page.get("no_gpu", "")),
        "more": [{"task": run.name, "figures": _rest(run, names[run.name])} for run in shown],
        "tables": [
            *(_seed_table(page, run) for run in shown if len(run.seeds) > 1),
            *(ablations.table(ablated[run.name], run.task, page) for run in shown if run.name in ablated),
            *(table for run in shown for table in run.task.module("facts").tables(run.metrics, page)),
        ],
        "commit_time": next((run.metrics["commit_time"] for run in shown if run.metrics["commit_time"] is not None), 0),
        "subject": provenance.subject(shown),
        "runs": {run.name: {"run": label(run.metrics), "metrics_sha256": run.metrics_digest} for run in shown},
    }


def _names(page: Prose, run: Shown, ablated: Mapping[str, Any]) -> dict[str, str]:
    """Every {name} that prose may use about a run: plain, for the task's own section, and with TASK_ before it."""
    metrics = run.metrics
    names = {
        "set": page["sets"].get(metrics["set"], metrics["set"]),
        "model": metrics["model"]["name"],
        "parameters": words.number(metrics["model"]["parameters"]),
        "train_n": words.number(metrics["train"]["n"]),
        "time": provenance.training_time(run),
        **run.task.module("facts").facts(metrics, page),
        **ablations.facts(ablated, run.task),
        **{name: str(text) for row in run.pictures.values() for name, text in row.get("facts", {}).items()},
        **_readings(run),
    }
    return names | {f"{run.name}_{name}": text for name, text in names.items()}


def _readings(run: Shown) -> dict[str, str]:
    """The number of intervals between readings of the validation loss, and of those in which it rose."""
    losses = [row["val_loss"] for row in history.read(run.run / "history.jsonl")]
    rises = sum(after > before for before, after in pairwise(losses))
    return {"intervals": words.number(len(losses) - 1), "rises": words.number(rises)}


def _band(page: Prose, claims: Sequence[held.Claim], generated: Sequence[Shown]) -> str:
    """The band across the top of a page with generated data; "" for real data."""
    if not generated:
        return ""
    sets = " and ".join(f"{run.metrics['set']} ({run.name})" for run in generated)
    tasks = {run.name for run in generated}
    silent = dict.fromkeys(page["sets"].get(claim.set, claim.set) for claim in claims if claim.task in tasks)
    return fill(page["band"], {"sets": sets, "real": " or ".join(silent)}, "band")


def _cells(rows: Sequence[Sequence[str | list[str]]], names: Names, where: str) -> list[list[str]]:
    """The cells of a table filled in; of a cell with several texts the first whose names are all known."""

    def of(cell: str | list[str]) -> str:
        texts = [cell] if isinstance(cell, str) else cell
        known = (text for text in texts if set(re.findall(r"{(\w+)}", text)) <= names.keys())
        return fill(next(known, texts[-1]), names, where)

    return [[of(cell) for cell in row] for row in rows]


def _section(page: Prose, run: Shown, names: Names, results: Sequence[held.Result]) -> dict[str, Any]:
    prose, key = page[run.name], run.name
    result = next((r for r in results if r.claim.task == key), None)
    objective = prose["objective_generated" if run.generated and "objective_generated" in prose else "objective"]
    return {
        "task": key,
        "heading": prose["heading"],
        "model": fill(prose["model"], names, f"{key}.model"),
        "objective": fill(objective, names, f"{key}.objective"),
        "headline": _headline(page, run, names, result),
        "facts": [{"label": label, "value": names[name]} for name, label in prose["facts"].items() if name in names],
        "rows": [[_figure(page, run, names, name) for name in row] for row in run.task.module("facts").ROWS],
    }


def _headline(page: Prose, run: Shown, names: Names, result: held.Result | None) -> dict[str, Any]:
    """The headline as texts. Scores have one decimal, as everywhere.

    ``result``: the outcome of the claim about this task; None if claims.toml makes none.
    """
    prose, task = page[run.name], run.task
    measure, scale = task.measures(run.metrics)[task.headline(run.metrics)], _scale(task)
    kind = f"95{words.NBSP}% {'Wilson' if task.percent else 'bootstrap'} interval"
    return {
        "value": words.score(scale * measure.value, scale * result.claim.minimum if result else float("-inf")),
        "unit": task.unit,
        "label": fill(prose["headline"], names, f"{run.name}.headline"),
        "interval": f"{kind} {words.interval([scale * bound for bound in measure.interval], 1)}",
        "n": fill(prose["headline_n"], names, f"{run.name}.headline_n"),
        "seeds": _mean(page, run),
        "claim": _claim(page, result) if result else None,
        "verdict": _verdict(page, result) if result else "",
    }


def _mean(page: Prose, run: Shown) -> str:
    """The mean, sd and n of the headline over the task's seeds, as prose; "" where there is one seed."""
    if len(run.seeds) == 1:
        return ""
    part = run.several["summary"][run.task.headline(run.metrics)]
    middle, sd = (words.number(_scale(run.task) * part[key], 2) for key in ("mean", "sd"))
    return fill(page["seeds"], {"mean": middle, "sd": sd, "n": str(part["n"])}, "seeds")


def _claim(page: Prose, result: held.Result) -> dict[str, str]:
    """A claim and its outcome, as texts."""
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


def _verdict(page: Prose, result: held.Result) -> str:
    """The distance of the score, as shown, from its floor; for an unchecked claim, the floor and its set."""
    names = _claim(page, result)
    if result.measured is None:
        return fill(page["verdict"]["none"], names, "verdict.none")
    task = tasks.get(result.claim.task)
    floor = _scale(task) * result.claim.minimum
    margin = float(words.score(_scale(task) * result.measured, floor).replace(",", "")) - floor
    side = "below" if result.state == held.FAIL else "above"
    unit = f"{words.NBSP}points" if task.percent else ""
    return fill(page["verdict"][side], names | {"margin": _margin(abs(margin)) + unit}, f"verdict.{side}")


def _margin(margin: float) -> str:
    """A distance from a floor, with as many digits as the score has, at least one."""
    return words.number(margin, 1) if margin >= 0.05 or not margin else words.number(margin, 6).rstrip("0")


def _scale(task: tasks.Task) -> int:
    return 100 if task.percent else 1


def _grid(sections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of pictures across all columns; ``height``, in mm, of the tallest in each row: captions then align."""
    counts = {section["task"]: len(section["rows"]) for section in sections}
    if len(set(counts.values())) > 1:
        raise UserError(f"ROWS in the tasks' facts.py differ in number ({counts}); give each task the same number")
    rows = zip(*(section["rows"] for section in sections), strict=True)
    return [
        {"height": max((figure["height"] for part in row for figure in part), key=float), "parts": list(row)}
        for row in rows
    ]


def _seed_table(page: Prose, run: Shown) -> tasks.Table:
    """A row for each score of a task, with its value for each seed, their mean and deviation."""
    rows, summary = run.several["rows"], run.several["summary"]
    table = []
    for name, measure in run.task.measures(run.metrics).items():
        first, *rest = name.split(" ")
        label = " ".join([page["tests"].get(first, first), *rest]) + (", %" if measure.percent else "")
        part, scale = summary[name], 100 if measure.percent else 1
        values = [*(row["measures"].get(name) for row in rows), part["mean"], part["sd"]]
        table.append([label, *(words.NONE if value is None else words.number(value * scale, 2) for value in values)])
    table.append(["weights", *(row["weights_digest"][:10] for row in rows), "", ""])
    columns = ["", *(f"seed {row['seed']}" for row in rows), "mean", "sd (n − 1)"]
    return tasks.Table(f"Every seed: {run.name}", columns, table)


def _figure(page: Prose, run: Shown, names: Names, name: str) -> dict[str, Any]:
    """One picture of the page: its file, size, text alternative and caption."""
    where = f"{run.name}.captions.{name}"
    prose = chosen(page[run.name]["captions"][name], names)
    drawn = fill(name, names, where)
    if drawn not in run.pictures:
        raise UserError(f"{run.name}: the picture {drawn} was not drawn; draw again: make {run.name}")
    mark = page["caption_mark"] if run.generated else ""
    text = {"title": fill(prose["title"], names, where), "text": mark + fill(prose["text"], names, where)}
    return _picture(run, drawn) | text


def _picture(run: Shown, name: str) -> dict[str, Any]:
    row = run.pictures[name]
    alt = str(row["alt"])
    # Markdown's alternative text is the first sentences of the description, which stands whole below the picture.
    first = re.match(rf".{{1,{SHORT - 1}}}\.(?= |$)", alt)
    return {
        "task": run.name,
        "name": name,
        "file": f"{run.name}/{name}",
        "width": f"{float(row['width_mm']):g}",
        "height": f"{float(row['height_mm']):g}",
        "pixels": round(PIXELS * float(row["width_mm"])),
        "alt": alt,
        "short": first[0] if first else textwrap.shorten(alt, SHORT, placeholder="…"),
    }


def _rest(run: Shown, names: Names) -> list[dict[str, Any]]:
    """The pictures that are not on the page, for the Markdown's collapsible part, in the manifest's order."""
    shown = {name.format_map(names) for row in run.task.module("facts").ROWS for name in row}
    return [_picture(run, name) for name in run.pictures if name not in shown]


def _insights(prose: Prose, names: Mapping[str, Names], every: Names, shown: Sequence[Shown]) -> dict[str, Any]:
    """The insights whose figures these runs have, in page.toml's order. Those that were not measured, or may be chance
    (a name in ``needs``), are left out."""
    generated = [run.name for run in shown if run.generated]
    mixed = 0 < len(generated) < len(shown)  # else the heading says it for all
    items = []
    for key in prose["order"]:
        entry = chosen(prose[key], every)
        needed = {*re.findall(r"{(\w+)}", entry["text"]), *entry.get("needs", ())}
        if needed <= every.keys():
            marked = mixed and any(needed & names[task].keys() for task in generated)
            text = fill(entry["text"], every, f"insights.{key}")
            items.append({"title": entry["title"], "text": prose["mark"] + text if marked else text})
    heading = prose["heading_generated" if len(generated) == len(shown) else "heading"]
    return {"heading": heading, "items": items[: prose["most"]]}
