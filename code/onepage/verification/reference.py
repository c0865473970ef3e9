"""Reference results: verified runs, one of each task, and their page, in ``report/reference/<name>``, small, for git.

A result is written completely beside its place, then moved there, and never edited by hand: manifest.json lists the
digest of every file, and ``problems`` finds what does not agree with it or with the metrics. It holds predictions, so
that claims can be recomputed without training, but no weights and no copies of test data. Pictures are those of the
Markdown page, at screen resolution.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_arrays, read_json, sha256_file, write_json, write_text, write_with
from onepage.runs import lookup, provenance, seeds, stamps
from onepage.verification import comparison, pictures
from onepage.verification.claims import FAIL, PASS, Check, Claim, Result
from onepage.verification.provenance import PAGE_IMAGE, mismatches, read

FORM = 1  # version of the folder's format
MAX_BYTES = 3_000_000  # of the whole folder
RUN_FILES = ("metrics.json", "history.jsonl", "run.json", "provenance.json")
PREDICTIONS = "predictions.npz"  # results of an earlier version lack it
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def place(name: str, out: Path) -> Path:
    """The folder of the result ``name``; raises UserError for a missing or bad name."""
    if not _NAME.fullmatch(name):
        raise UserError(f"NAME={name!r} is not a folder name; use letters, digits, dots and dashes: two-core-epyc")
    return out / "report" / "reference" / name


def write(
    name: str, out: Path, given: Sequence[Path], results: Sequence[Result], checks: Sequence[Any]
) -> tuple[Path, list[str]]:
    """Write ``out``/report/reference/``name`` from the existing page and runs; returns the folder and remarks.

    given: run folders. results, checks: the outcome of ``verify`` for these runs; none may be FAIL. An older result
    with that name is replaced. Raises UserError, and changes nothing, for a bad name, runs or a page that fail
    verification, and a result over 3 MB.
    """
    target = place(name, out)
    failed = [result.claim.id for result in results if result.state == FAIL]
    failed += [check.id for check in checks if check.state == FAIL]
    if failed:
        raise UserError(f"{', '.join(failed)} failed, so no reference result is written; see: make verify")
    page, runs = out / "report", lookup.by_task(given)
    _is_of(page / "report.pdf", out, runs)
    remarks = [f"{result.claim.id}: {result.state}: {result.reason}" for result in results if result.state != PASS]
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{name}.*.tmp"):  # left by a killed process
        shutil.rmtree(left, ignore_errors=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{name}.", suffix=".tmp", dir=target.parent))
    try:
        folder = aside / name
        folder.mkdir()
        for task, run in runs.items():
            remarks += _copy_run(task, run, folder / task)
        shutil.copyfile(page / "report.pdf", folder / "report.pdf")
        image = page / PAGE_IMAGE
        if image.is_file():
            shutil.copyfile(image, folder / PAGE_IMAGE)
        else:
            remarks.append(f"{PAGE_IMAGE} is left out: pdftoppm gave no picture of the page")
        text = pictures.keep((page / "report.md").read_text(encoding="utf-8"), page, folder)
        write_text(folder / "report.md", _headed(text, name, image.is_file()))
        write_json(folder / "claims.json", [_claim_row(result, name) for result in results])
        _write_manifest(name, folder, list(runs), read_json(page / "report.json").get("engine"))
        wrong = problems(folder)
        if wrong:
            raise UserError(f"{name}: {wrong[0]}; nothing was written")
        _swap(folder, target, aside / "old")
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error}); free space or choose another place") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target, remarks


def _is_of(pdf: Path, out: Path, runs: Mapping[str, Path]) -> None:
    """Raise UserError unless the page exists and shows exactly these runs."""
    if not pdf.is_file():
        raise UserError(f"{pdf} is missing; run: make report")
    shown = {fields["metrics"] for fields in read(pdf)}
    if shown != {sha256_file(run / "metrics.json") for run in runs.values()} or mismatches(pdf, [], out):
        raise UserError(f"{pdf} is not the page of these runs; run: make report")


def _copy_run(task: str, run: Path, folder: Path) -> list[str]:
    """Copy the files of a run to keep, and list the other seeds of its recipe; returns remarks."""
    folder.mkdir()
    metrics = read_json(run / "metrics.json")
    for name in (*RUN_FILES, PREDICTIONS):
        if not (run / name).is_file():
            raise UserError(f"{run / name} is missing; run: make {task}")
        if name != PREDICTIONS:
            shutil.copyfile(run / name, folder / name)
    _copy_arrays(run / PREDICTIONS, folder / PREDICTIONS, getattr(tasks.get(task).module("recount"), "COPIED", ()))
    rows = [row for _, row in seeds.comparable(run)[0]]
    write_json(folder / "seeds.json", rows)
    if tasks.get(task).has("ablation"):
        ablated = stamps.ablation_of(run)
        if not ablated.is_file():  # a page without it says "not measured"
            raise UserError(f"{ablated} is missing; run: make ablate")
        if read_json(ablated).get("program") != metrics["program"]:
            raise UserError(f"{ablated} and {run} are from different versions of the training code; run: make ablate")
        shutil.copyfile(ablated, folder / ablated.name)
    remarks = [f"{task}: {len(rows)} seed{'s' if len(rows) > 1 else ''} (n = {len(rows)})"]
    if metrics["commit"] is None or metrics["dirty"]:
        remarks.append(f"{task}: {'commit unknown' if metrics['commit'] is None else 'trained with local changes'}")
    return remarks


def _copy_arrays(source: Path, target: Path, without: tuple[str, ...]) -> None:
    """Copy an .npz without the arrays whose names have these endings."""
    import numpy as np

    kept = {name: array for name, array in read_arrays(source).items() if not name.endswith(without)}
    write_with(target, lambda file: np.savez_compressed(file, **kept))  # type: ignore[arg-type]


def _headed(markdown: str, name: str, image: bool) -> str:
    """The Markdown page with a note below its title, and its picture if ``image`` is true."""
    head, line, rest = markdown.partition("\n")
    note = f"A reference result, written by `make reference NAME={name}` and not edited. [The page as PDF](report.pdf)."
    shown = f"\n\n![The page]({PAGE_IMAGE})" if image else ""
    return f"{head}{line}\n{note}{shown}\n{rest}"


def _claim_row(result: Result, name: str) -> dict[str, Any]:
    """A row of claims.json; it names no comparison with the result that this one replaces."""
    claim, reason = result.claim, result.reason
    if result.state == PASS and name in [reference.result for reference in claim.references]:
        reason = f"recomputed from {claim.recomputed_from}"
    said = {key: getattr(claim, key) for key in ("id", "text", "task", "set", "metric", "minimum")}
    return said | {"measured": result.measured, "state": result.state, "reason": reason}


def _write_manifest(name: str, folder: Path, held: Sequence[str], engine: str | None) -> None:
    rows = {}
    for task in held:
        metrics, recorded = (read_json(folder / task / file) for file in ("metrics.json", "provenance.json"))
        rows[task] = {
            "run": provenance.label(metrics),
            "commit": metrics["commit"],
            "hardware": provenance.processor(metrics, recorded),
            "fingerprint": comparison.fingerprint(metrics, recorded),
        }
    files = {str(path.relative_to(folder)): sha256_file(path) for path in _files(folder)}
    write_json(folder / "manifest.json", {"name": name, "form": FORM, "engine": engine, "tasks": rows, "files": files})


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "manifest.json"]


def _swap(new: Path, target: Path, old: Path) -> None:
    """Move ``target`` to ``old`` and ``new`` to ``target``; if that fails, move ``old`` back."""
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


# --- checking a result that is there ---------------------------------------------------------------------------------


def load(folder: Path) -> None:
    """Raise UserError, with the first problem, unless ``folder`` holds a valid reference result."""
    if not (folder / "manifest.json").is_file():
        raise UserError(f"{folder} holds no reference result (manifest.json is missing); see report/reference")
    wrong = problems(folder)
    if wrong:
        raise UserError(f"{folder}: {wrong[0]}; restore it with git")


def kept_runs(folder: Path) -> list[Path]:
    """The run folders inside a valid reference result, to verify it without training.

    Raises UserError for a result without predictions.
    """
    runs = [folder / task for task in _tasks(read_json(folder / "manifest.json"))]
    if not all((run / PREDICTIONS).is_file() for run in runs):
        raise UserError(
            f"{folder} was written by an earlier version, without predictions; see report/reference/README.md"
        )
    return runs


def traced(folder: Path) -> Check:
    """The check that represents a valid reference result, which ``load`` has examined."""
    text = f"page, pictures and metrics in {folder} are of the same runs"
    return Check("reference", text, PASS, f"{len(_files(folder))} files, by metadata and digest")


def problems(folder: Path) -> list[str]:
    """What is wrong with a reference result; [] if it is complete, small, and its files agree."""
    try:
        manifest = read_json(folder / "manifest.json")
        listed = dict(manifest["files"])
        wrong = [] if manifest["form"] == FORM else [f"it has format {manifest['form']}; this program reads {FORM}"]
        there = {str(path.relative_to(folder)): path for path in _files(folder)}
        wrong += [f"{name} is missing" for name in sorted(listed.keys() - there.keys())]
        wrong += [f"{name} is not in its manifest" for name in sorted(there.keys() - listed.keys())]
        wrong += [
            f"{name} was edited" for name in sorted(there.keys() & listed) if sha256_file(there[name]) != listed[name]
        ]
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > MAX_BYTES:
            wrong.append(f"it takes {size:,} bytes, more than {MAX_BYTES:,}")
        needed = {"report.md", "report.pdf", "claims.json"}
        held = _tasks(manifest)
        needed |= {f"{task}/{file}" for task in held for file in (*RUN_FILES, "seeds.json")}
        others = {name.partition("/")[0] for name in listed} & tasks.TASKS.keys() - set(held)
        wrong += [f"{task} is not in its manifest" for task in sorted(others)] if held else ["it holds no run"]
        wrong += [f"{name} is not part of it" for name in sorted(needed - listed.keys())]
        return wrong or _inconsistent(folder, manifest)
    except (UserError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        return [f"it is not a reference result of this program ({error})"]


def _tasks(manifest: Mapping[str, Any]) -> list[str]:
    """The tasks whose runs a result holds; an older result lacks newer tasks."""
    return [task for task in tasks.TASKS if task in manifest["tasks"]]


def _inconsistent(folder: Path, manifest: Mapping[str, Any]) -> list[str]:
    """Contradictions between the files of a result."""
    wrong = []
    shown = {fields["run"]: fields["metrics"] for fields in read(folder / "report.pdf")}
    text = (folder / "report.md").read_text(encoding="utf-8")
    for task in _tasks(manifest):
        metrics, run = (read_json(folder / task / name) for name in ("metrics.json", "run.json"))
        recorded, rows = (read_json(folder / task / name) for name in ("provenance.json", "seeds.json"))
        digest, label = sha256_file(folder / task / "metrics.json"), provenance.label(metrics)
        if shown.get(label) != digest:
            wrong.append(f"report.pdf does not show {task}/metrics.json")
        differing = [key for key, value in run.items() if metrics.get(key) != value]
        if differing:
            wrong.append(f"{task}/run.json and {task}/metrics.json differ in {', '.join(differing)}")
        own = [row for row in rows if row["metrics_sha256"] == digest]
        values = {name: measure.value for name, measure in tasks.of(metrics).measures(metrics).items()}
        if len(own) != 1 or not values.items() <= own[0]["measures"].items():  # an earlier version measured more
            wrong.append(f"{task}/seeds.json does not hold {task}/metrics.json")
        if manifest["tasks"][task]["run"] != label:
            wrong.append(f"manifest.json names another {task} run")
        if manifest["tasks"][task]["fingerprint"] != comparison.fingerprint(metrics, recorded):
            wrong.append(f"manifest.json has another fingerprint of the {task} run")
        drawn = sorted((folder / pictures.FOLDER / task).glob("*.png"))
        wrong += [
            f"{path.relative_to(folder)} does not show {task}/metrics.json"
            for path in drawn
            if [fields["metrics"] for fields in read(path)] != [digest]
        ]
        for line in (folder / task / "history.jsonl").read_text(encoding="utf-8").splitlines():
            json.loads(line)
    links = [link for link, *_ in pictures.PICTURE.findall(text)] + re.findall(r"\]\(([^)\s]+)\)", text)
    wrong += [f"report.md points to {link}, which is not there" for link in links if not _resolves(folder, link)]
    return wrong


def _resolves(folder: Path, link: str) -> bool:
    return re.match(r"https?:|#", link) is not None or (folder / link).is_file()


def toml(claim: Claim, folder: Path) -> str:
    """The line for this result in the claim's ``references`` in report/claims.toml."""
    metrics, rows = (read_json(folder / claim.task / name) for name in ("metrics.json", "seeds.json"))
    value, (low, high) = comparison.claimed(claim, metrics, rows)
    return f'{{ result = "{folder.name}", value = {value!r}, band = [{low!r}, {high!r}] }},'
