"""The page as plain values: everything the three templates print, computed once from JSON, in the order of the page.

``build`` reads metrics.json and provenance.json of both runs, seeds.json beside each, the pictures' figures.json,
report/page.toml (prose) and report/claims.toml, and returns a dict of texts, whole numbers, lists and dicts. Nothing in
it is markup: the templates escape whatever they print. No torch, no numpy.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onepage.errors import UserError
from onepage.files import read_json, sha256_file
from onepage.report import ablations, directions, headline
from onepage.report import facts as words
from onepage.report import provenance as origin
from onepage.report.headline import fill
from onepage.report.provenance import Task
from onepage.runs import provenance, seeds
from onepage.verification import claims as held

# The pictures on the page, row by row: the left column, the right column. Everything else drawn goes to the Markdown.
ROWS = {
    "cls": [["curves_cls"], ["confusion_matrix", "gradcam_0"], ["preds_grid", "miscls_grid"]],
    "mt": [["curves_mt", "bleu_report"], ["attention", "masks_demo"], ["decodes_table"]],
}
_NAME = re.compile(r"[A-Za-z0-9_]+")


def load_task(task: str, run: Path, out: Path) -> Task:
    """Read a run and its pictures; raises UserError for a run that is not there and pictures of another run."""
    path = run / "metrics.json"
    if not path.is_file():
        raise UserError(f"{task}: not run: make {task} ({path} is missing)")
    metrics = read_json(path)
    if metrics.get("task") != task:
        raise UserError(f"{path} is of task {metrics.get('task')!r}, not {task!r}; give the {task} run")
    manifest_path = out / "figures" / task / "figures.json"
    if not manifest_path.is_file():
        raise UserError(f"{task}: pictures not drawn: make {task} ({manifest_path} is missing)")
    manifest = read_json(manifest_path)
    digest = sha256_file(path)
    if manifest.get("metrics_sha256") != digest:
        raise UserError(f"{manifest_path}: drawn from other metrics than {path}; draw again: make {task}")
    pictures = {str(row["name"]): row for row in manifest["figures"]}
    for name, row in pictures.items():
        if not _NAME.fullmatch(name):
            raise UserError(f"{manifest_path}: {name!r} is no name for a picture; draw again: make {task}")
        for kind in ("pdf", "png"):
            picture = manifest_path.parent / f"{name}.{kind}"
            if not picture.is_file() or sha256_file(picture) != row[f"sha256_{kind}"]:
                state = "is not the picture that was drawn" if picture.is_file() else "is missing"
                raise UserError(f"{picture} {state}; delete {manifest_path} and run: make {task}")
    return Task(task, metrics, read_json(run / "provenance.json"), digest, pictures, seeds.load(run, digest))


def load_page(path: Path) -> dict[str, Any]:
    """report/page.toml; raises UserError when it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; restore it with: git checkout report/page.toml") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}; mend the line or restore the file with git") from None


def build(out: Path, cls_run: Path, mt_run: Path, report: Path) -> dict[str, Any]:
    """The context of the page, from two runs, ``out``/figures, and the prose and claims in the folder ``report``."""
    page = load_page(report / "page.toml")
    claims = held.load_claims(report / "claims.toml")
    tasks = [load_task("cls", cls_run, out), load_task("mt", mt_run, out)]
    ablated = [ablations.load(run, task.metrics) for run, task in zip((cls_run, mt_run), tasks, strict=True)]
    try:
        names = {
            "cls": words.cls_facts(tasks[0].metrics, tasks[0].provenance, page) | ablations.facts(ablated[0]),
            "mt": words.mt_facts(tasks[1].metrics, tasks[1].provenance, page) | ablations.facts(ablated[1]),
        }
        if not any(ablated):
            names["cls"]["not_ablated"] = "make ablate"
        return _assemble(page, claims, tasks, names) | {
            "directions": directions.table(mt_run, tasks[1].metrics, page),
            "ablations": [ablations.table(found, page["variants"]) for found in ablated if found],
        }
    except (KeyError, IndexError, TypeError) as error:
        what = f"{type(error).__name__} {error}"
        raise UserError(
            f"metrics.json, figures.json or page.toml lacks what the page shows ({what}); run make again"
        ) from error


def _assemble(
    page: Mapping[str, Any],
    claims: Sequence[held.Claim],
    tasks: Sequence[Task],
    names: Mapping[str, Mapping[str, str]],
) -> dict[str, Any]:
    everything = {f"{task}_{name}": text for task, known in names.items() for name, text in known.items()}
    both = {**names["cls"], **names["mt"], **everything}
    both["figures"] = words.number(sum(len(task.pictures) for task in tasks))
    for task in tasks:
        both[f"{task.task}_recipe"] = words.recipe_words(task.metrics["recipe"]) or "see the recipe"
    both["command"] = origin.command(tasks)
    generated = [task for task in tasks if task.metrics["generated"]]
    results = [held.status(claim, next(t.metrics for t in tasks if t.task == claim.task)) for claim in claims]
    band = ""
    if generated:
        sets = " and ".join(f"{task.metrics['set']} ({task.task})" for task in generated)
        silent = [page["sets"].get(c.set, c.set) for c in claims if c.task in {task.task for task in generated}]
        band = fill(page["band"], {"sets": sets, "real": " or ".join(dict.fromkeys(silent))}, "band")
    sections = [_section(page, task, names[task.task], results) for task in tasks]
    insights = page["insights"]
    heading = insights["heading_generated" if len(generated) == len(tasks) else "heading"]
    return {
        "title": page["title"],
        "subtitle": page["subtitle"],
        "language": page["language"],
        "band": band,
        "run_line": ", ".join(
            " and ".join(origin.distinct(tasks, of))
            for of in (
                lambda t: f"profile {t.metrics['profile']}",
                lambda t: f"seed\u00a0{t.metrics['seed']} (n\u00a0=\u00a0{len(t.seeds)})",
            )
        ),
        "sections": sections,
        "grid": _grid(sections),
        "insights": {"heading": heading, "items": _insights(insights, names, tasks)},
        "challenges": {
            "heading": page["challenges"]["heading"],
            "columns": page["challenges"]["columns"],
            "rows": [[fill(cell, both, "challenges") for cell in row] for row in page["challenges"]["rows"]],
        },
        "structure": page["structure"],
        "reproduce": {
            "heading": page["reproduce"]["heading"],
            "steps": [[fill(cell, both, "reproduce") for cell in row] for row in page["reproduce"]["steps"]],
            "note": page["reproduce"]["note" if all(len(task.seeds) == 1 for task in tasks) else "note_seeds"],
        },
        "claims": [headline.claim(page, result) for result in results],
        "footer": origin.footer(tasks),
        "more": [{"task": task.task, "figures": _rest(task)} for task in tasks],
        "tables": _tables(page, tasks),
        "seeds": [_seed_table(page, task) for task in tasks if len(task.seeds) > 1],
        "commit_time": next((t.metrics["commit_time"] for t in tasks if t.metrics["commit_time"] is not None), 0),
        "subject": origin.subject(tasks),
        "runs": {t.task: {"run": provenance.label(t.metrics), "metrics_sha256": t.metrics_digest} for t in tasks},
    }


def _section(
    page: Mapping[str, Any], task: Task, names: Mapping[str, str], results: Sequence[held.Result]
) -> dict[str, Any]:
    prose, metrics, key = page[task.task], task.metrics, task.task
    generated = bool(metrics["generated"])
    result = next((r for r in results if r.claim.task == key), None)
    objective = prose["objective_generated" if generated and "objective_generated" in prose else "objective"]
    return {
        "task": key,
        "generated": int(generated),
        "heading": prose["heading"],
        "model": fill(prose["model"], names, f"{key}.model"),
        "objective": fill(objective, names, f"{key}.objective"),
        "headline": headline.build(page, task, names, result),
        "facts": [{"label": label, "value": names[name]} for name, label in prose["facts"].items() if name in names],
        "rows": [[_figure(page, task, names, name) for name in row] for row in ROWS[key]],
    }


def _grid(sections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of pictures across both columns; ``height``, in mm, is that of a row's tallest: captions then align."""
    rows = zip(*(section["rows"] for section in sections), strict=True)
    return [
        {"height": max((figure["height"] for part in row for figure in part), key=float), "parts": list(row)}
        for row in rows
    ]


def _seed_table(page: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """For the Markdown: a row for each score of a task, with its value for each seed, their mean and deviation."""
    rows, summary = task.several["rows"], task.several["summary"]
    table = []
    for name, measure in seeds.measures(task.metrics).items():
        test, _, score = name.partition(" ")
        label = f"{words.test_name(test, page)} {score}" if task.task == "mt" else f"{name}, %"
        part = summary[name]
        values = [*(row["measures"].get(name) for row in rows), part["mean"], part["sd"]]
        scale = 100 if measure.percent else 1
        table.append([label, *("–" if value is None else words.number(value * scale, 2) for value in values)])
    table.append(["weights", *(row["weights_digest"][:10] for row in rows), "", ""])
    columns = ["", *(f"seed {row['seed']}" for row in rows), "mean", "sd (n − 1)"]
    return {"task": task.task, "columns": columns, "rows": table}


def _figure(page: Mapping[str, Any], task: Task, names: Mapping[str, str], name: str) -> dict[str, Any]:
    """One picture of the page: its file, size, text alternative and caption."""
    prose = page[task.task]["captions"][name]
    real_name = f"attention_layer{names['layer']}_head1" if name == "attention" else name
    if real_name not in task.pictures:
        raise UserError(f"{task.task}: the picture {real_name} was not drawn; draw again: make {task.task}")
    text = fill(_caption(prose, names), names, f"{task.task}.captions.{name}")
    mark = page["caption_mark"] if task.metrics["generated"] else ""
    return _picture(task, real_name) | {
        "title": fill(prose["title"], names, f"{task.task}.captions.{name}"),
        "text": mark + text,
    }


def _caption(prose: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The caption's words for what this run shows: without a mistake, with a rise, without a fall."""
    if "text_perfect" in prose and "confused_true" not in names:
        return str(prose["text_perfect"])
    if "text_rise" in prose and "low_range" in names:
        return str(prose["text_rise"])
    if "text_flat" in prose and "fall_from" not in names:
        return str(prose["text_flat"])
    return str(prose["text"])


def _picture(task: Task, name: str) -> dict[str, Any]:
    row = task.pictures[name]
    return {
        "task": task.task,
        "name": name,
        "file": f"{task.task}/{name}",
        "width": f"{float(row['width_mm']):g}",
        "height": f"{float(row['height_mm']):g}",
        "alt": str(row["alt"]),
    }


def _rest(task: Task) -> list[dict[str, Any]]:
    """The pictures that are not on the page, for the Markdown's collapsible part, in the manifest's order."""
    shown = {name for row in ROWS[task.task] for name in row}
    if task.task == "mt":
        shown.add(f"attention_layer{task.metrics['model']['decoder_layers']}_head1")
    return [_picture(task, name) for name in task.pictures if name not in shown]


def _insights(
    prose: Mapping[str, Any], names: Mapping[str, Mapping[str, str]], tasks: Sequence[Task]
) -> list[dict[str, str]]:
    """The insights whose figures these runs have, in page.toml's order: what was not measured is not said."""
    both = {**names["cls"], **names["mt"]}
    mixed = len({bool(task.metrics["generated"]) for task in tasks}) > 1  # else the heading says it for all
    items = []
    for key in prose["order"]:
        entry = prose[key]
        needed = set(re.findall(r"{(\w+)}", entry["text"]))
        if not needed <= both.keys():
            continue
        loss = both["gain"][0] != "+" if key == "beam" else False
        title = entry["title_loss"] if loss else entry["title"]
        marked = mixed and any(task.metrics["generated"] and needed & names[task.task].keys() for task in tasks)
        text = fill(entry["text"], both, f"insights.{key}")
        items.append({"title": title, "text": prose["mark"] + text if marked else text})
    return items[: prose["most"]]


def _tables(page: Mapping[str, Any], tasks: Sequence[Task]) -> dict[str, Any]:
    """Tables for the Markdown alone: what a picture on the page shows, as numbers and text."""
    cls, mt = tasks[0].metrics, tasks[1].metrics
    return {
        "scores": _scores(cls["test"]),
        "classes": [
            [row["name"], words.number(row["n"]), words.percent(row["recall"]), words.percent(row["precision"])]
            for row in cls["test"]["per_class"]
        ],
        "confusions": [
            f"{row['true']} → {row['predicted']} {row['count']} ({words.percent(row['share'])})"
            for row in cls["test"]["top_confusions"]
        ],
        "tests": [
            [
                words.test_name(name, page),
                words.number(t["n"]),
                words.number(t["bleu"]["score"], 1),
                "{} to {}".format(*(words.number(bound, 1) for bound in t["bleu"]["interval"])),
                words.number(t["bleu_greedy"], 1),
                words.number(t["chrf2"]["score"], 1),
                words.number(t["ter"]["score"], 1) if t.get("ter") else "–",
                words.number(t["bleu_lc_norm_tok"]["score"], 1) if t.get("bleu_lc_norm_tok") else "–",
            ]
            for name, t in mt["tests"].items()
        ],
        "precisions": [
            [
                words.test_name(name, page),
                *(words.number(value, 1) for value in t["bleu"]["precisions"]),
                words.number(t["bleu"]["brevity_penalty"], 3),
                words.number(t["bleu"]["hypothesis_length"]),
                words.number(t["bleu"]["reference_length"]),
            ]
            for name, t in mt["tests"].items()
        ],
        "signature": mt["tests"][mt["headline"]]["bleu"]["signature"],
        "examples": [
            [row["kind"], words.number(row["chrf"], 1), row["source"], row["reference"], row["output"]]
            for row in mt["examples"]
        ],
    }


def _scores(test: Mapping[str, Any]) -> list[list[str]]:
    """Accuracy and calibration of the test images: as trained, at the fitted temperature, over several views."""
    after = test["calibrated"]
    rows = []
    for name, part in (
        ("single image", test),
        (f"at temperature {words.number(after['temperature'], 2)}, fitted on validation", test | after),
        *((test[key]["method"], test[key]) for key in ("tta", "tta_shifts") if key in test),
    ):
        interval = "{} to {}".format(*(words.percent(bound, 2) for bound in part["accuracy_interval"]))
        measured = [words.number(part[key], 3) if key in part else "–" for key in ("nll", "brier")]
        ece = words.percent(part["ece"], 2) if "ece" in part else "–"
        rows.append([name, words.percent(part["accuracy"], 2), interval, *measured, ece])
    return rows
