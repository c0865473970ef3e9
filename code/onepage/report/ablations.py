"""What `make ablate` found, for the page: a sentence on each task's parts, and a table for the Markdown.

Read from ``ablation.json`` beside the page's runs, and from nothing else. Standard library only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage.errors import UserError
from onepage.files import read_json
from onepage.report import facts as words
from onepage.runs.stamps import ABLATION

KINDS = {"cls": ("whole", "no-shortcuts"), "mt": ("whole", "no-causal-mask", "one-head")}


def beside(run: Path) -> Path:
    """Where the findings of a run's task and data lie, if there are any."""
    return run.resolve().parents[1] / ABLATION


def load(run: Path, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was found of the page's ``run`` (its task, set and data); {} where nothing was, or it cannot be read."""
    path = beside(run)
    try:
        found = read_json(path) if path.is_file() else {}
        same = all(found[key] == metrics[key] for key in ("task", "set", "generated", "data_digest"))
        rows = {row["name"]: row for row in found["variants"]} if found else {}
        if not (same and all(_shown(found["task"], rows[kind]) for kind in KINDS[found["task"]])):
            return {}
    except (UserError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return {}
    return found


def facts(found: Mapping[str, Any]) -> dict[str, str]:
    """What the prose may say: the score of each variant, the training they had, and on how many it is scored."""
    if not found:
        return {}
    task, rows = found["task"], {row["name"]: row for row in found["variants"]}
    named = {f"ablation_{kind.replace('-', '_')}": _shown(task, rows[kind]) for kind in KINDS[task]}
    whole = rows["whole"]
    length = {
        "epochs": f"{whole['epochs']:g}",
        "updates": words.number(whole["updates"]),
        "n": words.number(whole["n"]),
    }
    return {f"{task}_{name}": text for name, text in named.items()} | {
        f"{task}_ablation_{name}": text for name, text in length.items()
    }


def table(found: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rows for the Markdown: variant, score, 95 % interval, n, validation loss, parameters; {} where nothing was found.

    ``names``: what page.toml calls the variants.
    """
    if not found:
        return {}
    task = found["task"]
    rows = [
        [
            names.get(row["name"], row["name"]),
            _shown(task, row),
            "{} to {}".format(*(_show(task, bound) for bound in row["interval"])),
            words.number(row["n"]),
            words.number(row["loss"], 2),
            words.number(row["parameters"]),
        ]
        for row in found["variants"]
    ]
    commit = str(found.get("commit") or "unknown")[:10] + (" with local changes" if found.get("dirty") else "")
    return {
        "task": task,
        "rows": rows,
        "updates": words.number(found["variants"][0]["updates"]),
        "seed": str(found["seed"]),
        "commit": commit,
    }


def _shown(task: str, row: Mapping[str, Any]) -> str:
    return _show(task, row["score"])


def _show(task: str, score: float) -> str:
    return words.percent(score, 1) if task == "cls" else words.number(score, 1)
