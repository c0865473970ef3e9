"""Several seeds of one recipe, and the mean, standard deviation and n of their scores. Standard library only.

Seeds are comparable if everything but the seed is the same: recipe, decoding settings, data, device, precision,
threads, libraries, and the code of training and evaluation. ``write`` writes them to seeds.json beside the run folders,
for pictures and page. Reference results keep the same rows, and compute their bands from them.
"""

import contextlib
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_json, sha256_file, write_json
from onepage.runs import history

NAME = "seeds.json"
_FOLDER = re.compile(r"seed\d+")
# What must agree: its key in metrics.json, and its name in messages
_SAME = {
    "task": "task",
    "set": "set",
    "recipe": "recipe",
    "decoding": "decoding settings",
    "data_digest": "data",
    "device": "device",
    "precision": "precision",
    "threads": "number of threads",
    "processes": "number of processes",
    "processes_from_update": "number of processes",
    "versions": "library versions",
    "program": "training code",
}


def comparable(run: Path) -> tuple[list[tuple[Path, dict[str, Any]]], list[str]]:
    """([(folder, row)] of each evaluated seed beside ``run``, and of ``run``, that is comparable; what was left out).

    Rows are sorted by seed: ``seed``, ``metrics_sha256``, ``weights_digest``, ``measures`` {name: value}. What was left
    out reads "seed3 (other recipe)". Raises UserError when ``run`` itself is not evaluated or cannot be read.
    """
    own = read_json(run / "metrics.json")
    rows, left_out = [(run, _row(run, own))], []
    neighbours = run.parent.glob("seed*/metrics.json") if _FOLDER.fullmatch(run.name) else ()
    for other in sorted(path.parent for path in neighbours):
        if other.name == run.name:
            continue
        try:
            metrics = read_json(other / "metrics.json")
            why = _difference(run, own, other, metrics)
            if why:
                left_out.append(f"{other.name} ({why})")
            else:
                rows.append((other, _row(other, metrics)))
        except UserError:
            left_out.append(f"{other.name} (cannot be read)")
    return sorted(rows, key=lambda found: found[1]["seed"]), left_out


def _row(run: Path, metrics: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return {
            "seed": metrics["seed"],
            "metrics_sha256": sha256_file(run / "metrics.json"),
            "weights_digest": metrics["weights_digest"],
            "measures": {name: measure.value for name, measure in tasks.of(metrics).measures(metrics).items()},
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{run / 'metrics.json'} lacks a score ({error!r}); delete it and run make again") from error


def _difference(run: Path, own: Mapping[str, Any], other: Path, metrics: Any) -> str:
    """Why two evaluated runs are not two seeds of the same experiment; "" if they are."""
    if not isinstance(metrics, Mapping):
        return "cannot be read"
    for key, name in {**_SAME, **tasks.of(own).options}.items():
        if metrics.get(key) != own.get(key):
            return f"other {name}"
    if other.name != f"seed{metrics.get('seed')}":
        return f"holds seed {metrics.get('seed')}"  # a copy would count twice
    if _evaluated_by(other) != _evaluated_by(run):
        return "other evaluation code"
    return ""


def _evaluated_by(run: Path) -> Any:
    provenance = read_json(run / "provenance.json") if (run / "provenance.json").is_file() else {}
    return (provenance.get("evaluate") or {}).get("program") if isinstance(provenance, Mapping) else None


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """{measure: {"mean", "sd", "n"}} over the rows that have it; sd is the sample's (n - 1), None for n = 1."""
    names = dict.fromkeys(name for row in rows for name in row["measures"])
    found = {}
    for name in names:
        values = [row["measures"][name] for row in rows if name in row["measures"]]
        sd = statistics.stdev(values) if len(values) > 1 else None
        found[name] = {"mean": statistics.fmean(values), "sd": sd, "n": len(values)}
    return found


def gather(run: Path) -> tuple[dict[str, Any], list[str]]:
    """(the content of seeds.json for the seeds beside ``run``; what was left out of it, and why).

    The rows of ``comparable``, each with ``history``, the rows of its history.jsonl; a seed whose history cannot be
    read is left out, and is an error if it is ``run``.
    """
    found, left_out = comparable(run)
    rows = []
    for folder, row in found:
        try:
            rows.append(row | {"history": history.read(folder / "history.jsonl")})
        except UserError:
            if folder == run:
                raise
            left_out.append(f"{folder.name} (history.jsonl cannot be read)")
    return {"seeds": [row["seed"] for row in rows], "rows": rows, "summary": summary(rows)}, left_out


def write(run: Path) -> tuple[dict[str, Any], list[str]]:
    """Write seeds.json beside ``run``; returns its content and what was left out of it."""
    content, left_out = gather(run)
    put(run.parent, content)
    return content, left_out


def put(folder: Path, content: Mapping[str, Any]) -> None:
    """Write seeds.json, unless it has this content and is newer than its prerequisites in make.

    While a seed is missing, make runs this each time; pictures and page are then not made again.
    """
    path = folder / NAME
    with contextlib.suppress(OSError, UserError):
        sources = [*folder.glob("seed*/metrics.json"), *folder.glob("plan/seeds.json")]
        newest = max(source.stat().st_mtime_ns for source in (path, *sources))
        if newest == path.stat().st_mtime_ns and read_json(path) == content:
            return
    write_json(path, content)


def load(run: Path, metrics_sha256: str) -> dict[str, Any]:
    """seeds.json beside ``run``, whose metrics.json has the given digest; {} if there is none (one seed).

    Raises UserError if it cannot be read, or is older than the run.
    """
    path = run.parent / NAME
    if not path.is_file():
        return {}
    content: dict[str, Any] = read_json(path)
    try:
        if metrics_sha256 in [row["metrics_sha256"] for row in content["rows"]]:
            return content
    except (KeyError, TypeError):
        raise UserError(f"{path} is not from this program; delete it and run make again") from None
    raise UserError(f"{path} is older than {run.name}; delete it and run make again")


def problem(run: Path) -> str:
    """What is wrong with seeds.json beside ``run``, or "": rows must be what ``gather`` finds, mean and sd theirs.

    A seed that was trained later, and is not listed yet, is no problem.
    """
    path = run.parent / NAME
    try:
        content = read_json(path)
        first = run.parent / f"seed{int(content['rows'][0]['seed'])}"
        found = {row["seed"]: row for row in gather(first)[0]["rows"]}
        for row in content["rows"]:
            if row != found.get(row["seed"]):
                return f"{path}: seed {row['seed']} is not what its run says"
        if content["seeds"] != [row["seed"] for row in content["rows"]]:
            return f"{path} lists other seeds than it holds"
        return "" if content["summary"] == summary(content["rows"]) else f"{path}: mean or sd is not that of its rows"
    except UserError as error:
        return f"{path}: {error}"
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OSError) as error:
        return f"{path} is not from this program ({error!r})"


def words(content: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """A line on two or more seeds for the console: the seeds, and the mean, sd and n of the headline."""
    task = tasks.of(metrics)
    name = task.headline(metrics)
    part, show = content["summary"][name], task.measures(metrics)[name].show
    seeds = ", ".join(str(seed) for seed in content["seeds"])
    return f"seeds {seeds}: {name}, mean {show(part['mean'], 2)}, sd {show(part['sd'], 2)}, n = {part['n']}"
