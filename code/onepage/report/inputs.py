"""The inputs of the page: records and pictures of one run for each task, and the prose of report/page.toml."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_json, sha256_file
from onepage.runs import seeds

_NAME = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class Shown:
    """A run that the page shows: its task, its records, and its pictures by name.

    several: seeds.json beside the run, {} if there is none.
    """

    task: tasks.Task
    run: Path
    metrics: Mapping[str, Any]
    metrics_digest: str
    provenance: Mapping[str, Any]
    pictures: Mapping[str, Mapping[str, Any]]
    several: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def generated(self) -> bool:
        """Whether the run's data is a generated stand-in."""
        return bool(self.metrics["generated"])

    @property
    def seeds(self) -> list[int]:
        """The seeds that the page reports: first the one shown, then the others of its recipe."""
        shown = int(self.metrics["seed"])
        return [shown, *(seed for seed in self.several.get("seeds", []) if seed != shown)]


def distinct(runs: Sequence[Shown], show: Callable[[Shown], str]) -> list[str]:
    """``show`` of each run, with the task's name before it where they differ."""
    texts = [show(run) for run in runs]
    return texts[:1] if len(set(texts)) == 1 else each(runs, show)


def each(runs: Sequence[Shown], show: Callable[[Shown], str]) -> list[str]:
    """``show`` of each run, with the task's name before it."""
    return [f"{run.name} {show(run)}" for run in runs]


def load_runs(runs: Sequence[Path], out: Path) -> list[Shown]:
    """The runs and their pictures below ``out``; one run for each task that the page shows, in the order of the list.

    Raises UserError for a missing run, a run of another task, and pictures of another run.
    """
    sections = [task for task in tasks.every() if task.page]
    if len(runs) != len(sections):
        names = ", ".join(task.name for task in sections)
        raise UserError(f"the page shows one run of each of {names}, in this order; it was given {len(runs)}")
    lacking = [task.name for task in sections if not task.has("facts")]
    if lacking:
        raise UserError(f"code/onepage/{lacking[0]}/facts.py is missing; write it, or set page=False in task.py")
    return [_load(task, Path(run), out) for task, run in zip(sections, runs, strict=True)]


def _load(task: tasks.Task, run: Path, out: Path) -> Shown:
    name, path = task.name, run / "metrics.json"
    if not path.is_file():
        raise UserError(f"{name} was not run ({path} is missing); run: make {name}")
    metrics = read_json(path)
    if metrics.get("task") != name:
        raise UserError(f"{path} is of task {metrics.get('task')!r}, not {name!r}; give the {name} run")
    digest = sha256_file(path)
    pictures = _pictures(name, out / "figures" / name / "figures.json", path, digest)
    provenance = read_json(run / "provenance.json")
    return Shown(task, run, metrics, digest, provenance, pictures, seeds.load(run, digest))


def _pictures(task: str, manifest_path: Path, metrics_path: Path, digest: str) -> dict[str, Mapping[str, Any]]:
    """The rows of figures.json by name; checks that each picture exists, is unchanged, and shows these metrics."""
    if not manifest_path.is_file():
        raise UserError(f"{task} was not drawn ({manifest_path} is missing); run: make {task}")
    manifest = read_json(manifest_path)
    if manifest.get("metrics_sha256") != digest:
        raise UserError(f"{manifest_path} was not drawn from {metrics_path}; draw again: make {task}")
    pictures = {str(row["name"]): row for row in manifest["figures"]}
    for name, row in pictures.items():
        if not _NAME.fullmatch(name):
            raise UserError(f"{manifest_path}: {name!r} is not the name of a picture; draw again: make {task}")
        for kind in ("pdf", "png"):
            picture = manifest_path.parent / f"{name}.{kind}"
            if not picture.is_file() or sha256_file(picture) != row[f"sha256_{kind}"]:
                state = "is not the picture that was drawn" if picture.is_file() else "is missing"
                raise UserError(f"{picture} {state}; delete {manifest_path} and run: make {task}")
    return pictures


def load_page(path: Path) -> dict[str, Any]:
    """report/page.toml; raises UserError if it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; restore it with: git checkout report/page.toml") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}; fix the line or restore the file with git") from None


def fill(template: str, names: Mapping[str, str], where: str) -> str:
    """``template`` with its {names} filled in; raises UserError for a name without a figure in this run."""
    try:
        return template.format_map(names)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UserError(
            f"report/page.toml, {where}: {error} cannot be filled in; names: {', '.join(sorted(names))}"
        ) from None


def chosen(entry: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """``entry``, with the replacements of ``with.NAME`` or ``without.NAME`` if the run has or lacks that figure."""
    others = [other for name, other in entry.get("with", {}).items() if name in names]
    others += [other for name, other in entry.get("without", {}).items() if name not in names]
    return {**entry, **others[0]} if others else entry
