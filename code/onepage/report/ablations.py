"""The results of `make ablate` for the page: facts for its prose, and a table for the Markdown.

They come only from ``ablation.json`` beside the page's runs. Standard library only.
"""

from collections.abc import Mapping
from typing import Any

from onepage.errors import UserError
from onepage.files import read_json
from onepage.report.inputs import Shown
from onepage.runs import words
from onepage.runs.stamps import ablation_of
from onepage.tasks import Table, Task


def load(run: Shown) -> Mapping[str, Any]:
    """The results for the page's run (its task, set and data); {} if there are none, or they cannot be read."""
    path = ablation_of(run.run)
    try:
        found = read_json(path) if path.is_file() else {}
        same = all(found[key] == run.metrics[key] for key in ("task", "set", "generated", "data_digest"))
        rows = {row["name"]: row for row in found["variants"]}
        if same and all(_show(run.task, rows[name]["score"]) for name in run.task.module("facts").ABLATED):
            return found
    except (UserError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        pass
    return {}


def facts(found: Mapping[str, Any], task: Task) -> dict[str, str]:
    """{name: text} for the prose: score and validation loss of each variant, and the length of training.

    ``NAME_worse`` exists only if the interval of the variant lies below that of the whole model.
    """
    if not found:
        return {}
    rows = {row["name"]: row for row in found["variants"]}
    scores: dict[str, str] = {}
    for name in task.module("facts").ABLATED:
        row, key = rows[name], name.replace("-", "_")
        scores |= {key: _show(task, row["score"]), f"{key}_loss": words.number(row["loss"], 2)}
        scores |= {f"{key}_worse": scores[key]} if row["interval"][1] < rows["whole"]["interval"][0] else {}
    whole = rows["whole"]
    length = {"epochs": f"{whole['epochs']:g}", "updates": words.number(whole["updates"])}
    return {f"ablation_{name}": text for name, text in (scores | length).items()}


def table(found: Mapping[str, Any], task: Task, page: Mapping[str, Any]) -> Table:
    """A row for each variant: score, 95 % interval, n, validation loss, parameters."""
    columns = ("", page[task.name]["ablation"], f"95{words.NBSP}% interval", "n", "validation loss, nats", "parameters")
    rows = [
        [
            page["variants"].get(row["name"], row["name"]),
            _show(task, row["score"]),
            "{} to {}".format(*(_show(task, bound) for bound in row["interval"])),
            words.number(row["n"]),
            words.number(row["loss"], 2),
            words.number(row["parameters"]),
        ]
        for row in found["variants"]
    ]
    note = (
        "All variants have the same training except for the part named: "
        f"{words.number(found['variants'][0]['updates'])} updates, seed {found['seed']}, one run each, commit "
        f"{words.commit(found, 'unknown')}. The test sets were not read."
    )
    return Table(f"Ablation: {task.name}", columns, rows, note)


def _show(task: Task, score: float) -> str:
    return words.percent(score, 1) if task.percent else words.number(score, 1)
