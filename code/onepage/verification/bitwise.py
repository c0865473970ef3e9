"""Digests of the results of a run, and whether two runs are bit-identical.

Content is hashed, not files, because archives contain names and times. A tensor or an array counts with name, type,
shape and bytes. Values that a repetition may change are left out: seconds of training, and the commit of the start.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from onepage.errors import UserError
from onepage.files import read_arrays, read_json
from onepage.runs import history
from onepage.tasks import TASKS
from onepage.training import checkpoint
from onepage.training.weights import digest_tensors
from onepage.verification.comparison import COMMIT

SHOWN = 4  # differences named for each part


def results(run: Path) -> dict[str, dict[str, Any]]:
    """The results of an evaluated run, {part: {name: tensor, array or number}}.

    A task may have no explain.npz. Raises UserError if another file is missing, or one is damaged.
    """
    run = Path(run)
    weights, _ = checkpoint.load_model(run / "model.pt")
    metrics = read_json(run / "metrics.json")
    try:
        rows = history.read(run / "history.jsonl")
        return {
            "weights": dict(weights),
            "history": _flat([{key: value for key, value in row.items() if key != "seconds"} for row in rows]),
            "predictions": read_arrays(run / "predictions.npz"),
            "explanations": read_arrays(run / "explain.npz") if (run / "explain.npz").is_file() else {},
            "metrics": _flat({key: value for key, value in metrics.items() if key not in COMMIT}),
        }
    except AttributeError as error:
        again = f"make {' '.join(TASKS)}"
        raise UserError(f"{run} is not from this program ({error}); train and evaluate it again: {again}") from None


def digests(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """SHA-256 (64 hex digits) of each part of ``results``."""
    return {part: _digest(values) for part, values in found.items()}


def differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The differences in one part of two runs: names, with the values or the size of the difference."""
    said = []
    for name in sorted(set(mine) | set(other)):
        if name not in mine or name not in other:
            said.append(f"{name} only in the {'second' if name in other else 'first'}")
        elif _digest({name: mine[name]}) != _digest({name: other[name]}):
            said.append(f"{name} {_how(mine[name], other[name])}")
    return said


def show(run: Path, again: Path | None, say: Callable[[str], object]) -> int:
    """Print the digests of one run, or of two with their differences; returns the exit status, 1 if two differ."""
    first = results(run)
    if again is None:
        for part, digest in digests(first).items():
            say(f"{digest}  {part:<12}  {run}")
        return 0
    second = results(again)
    mine, other = digests(first), digests(second)
    differing = [part for part in first if mine[part] != other[part]]
    for part in first:
        say(f"{mine[part]}  {part:<12}  {run}")
        say(f"{other[part]}  {part:<12}  {again}  {'DIFFERS' if part in differing else 'equal'}")
        if part in differing:
            found = differences(first[part], second[part])
            more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            say(f"  {len(found)} of {len(first[part] | second[part])}: {'; '.join(found[:SHOWN])}{more}")
    what = f"differ in {', '.join(differing)}" if differing else "are bit-identical"
    say(f"{run} and {again} {what}")
    return int(bool(differing))


def _digest(values: Mapping[str, Any]) -> str:
    if all(isinstance(value, Tensor) for value in values.values()):
        return digest_tensors(values)  # the value of weights_digest in metrics.json
    digest = hashlib.sha256()
    for name in sorted(values):
        value = values[name]
        if isinstance(value, np.ndarray):
            digest.update(f"{name} {value.dtype} {value.shape}\n".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(f"{name} {json.dumps(value)}\n".encode())
    return digest.hexdigest()


def _how(mine: Any, other: Any) -> str:
    """The difference between two values of one name, as text."""
    if not hasattr(mine, "shape"):  # then neither has
        return f"{mine!r:.60} | {other!r:.60}"
    a, b = np.asarray(mine), np.asarray(other)
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype} {a.shape} | {b.dtype} {b.shape}"
    bits = [np.ascontiguousarray(one).view(f"V{one.dtype.itemsize}") for one in (a, b)]  # here -0.0 differs from 0.0
    changed = f"in {int((bits[0] != bits[1]).sum()):,} of {a.size:,}"
    if a.dtype.kind not in "iuf":
        return changed
    return f"{changed}, by {np.abs(a.astype(np.float64) - b.astype(np.float64)).max():.3g} at most"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """{"a.0.b": number} of nested dicts and lists."""
    if not isinstance(value, dict | list) or not value:
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {key: leaf for k, v in items for key, leaf in _flat(v, f"{name}.{k}" if name else str(k)).items()}
