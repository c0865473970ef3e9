"""Checkpoints, from which an interrupted training resumes to the same result.

Each is a file ``checkpoint-<update>.pt`` of tensors and plain values, read with ``weights_only`` so that a hostile file
runs no code, and a ``.json`` beside it, written last, with the file's SHA-256 and its recipe. The newest two are kept:
if the newest is damaged, training resumes from the one before.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from onepage.errors import UserError
from onepage.files import remove_temporaries, sha256_file, write_json, write_with
from onepage.runs import exported
from onepage.training.recipe import difference
from onepage.training.weights import digest_tensors

KEEP = 2
# what every checkpoint holds besides the state of the loop (see session.Session.save)
PARTS = {"loop": dict, "rows": list, "seconds": float, "sessions": int, "peak": int, "energy": dict, "started": str}
PARTS |= {"processes": list}


def save(folder: Path, update: int, state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Write a checkpoint after ``update`` updates; ``identity`` says which run it belongs to (see ``latest``)."""
    path = folder / f"checkpoint-{update:08d}.pt"
    write_with(path, lambda file: torch.save(state, file))
    write_json(path.with_suffix(".json"), {"sha256": sha256_file(path), "update": update, **identity})
    for old in sorted(folder.glob("checkpoint-*.json"))[:-KEEP]:
        _remove(old)


def latest(folder: Path, identity: dict[str, Any], say: Any) -> dict[str, Any] | None:
    """The newest undamaged checkpoint, or None if there is none.

    Damaged ones are reported through ``say`` and removed, with the remains of an interrupted write. Raises UserError,
    and removes nothing, if the newest undamaged one belongs to another recipe: a run resumed from it would match no
    recipe. The error names what differs. The number of processes may differ: see session.Session.restore.
    """
    found = sorted(folder.glob("checkpoint-*.json"), reverse=True)
    state, damaged = None, []
    for number, meta_path in enumerate(found, start=1):
        path = meta_path.with_suffix(".pt")
        meta = _meta_of_whole(path)
        if meta is not None and meta.get("hash") != identity["hash"] and not of_other_processes(identity, meta):
            what = what_differs(identity, meta)
            raise UserError(
                f"{path} was saved with a different recipe ({what}); undo that change, or move the run away"
            )
        state = _content(path) if meta is not None else None
        if state is not None:
            break
        damaged.append(meta_path)
        rest = "resuming from the one before" if number < len(found) else "none is left, training starts over"
        say(f"{path.name} is damaged; {rest}")
    for meta_path in damaged:
        _remove(meta_path)
    for path in folder.glob("checkpoint-*.pt"):
        if not path.with_suffix(".json").exists():
            path.unlink()
    remove_temporaries(folder)
    return state


def what_differs(mine: dict[str, Any], other: dict[str, Any]) -> str:
    """The differences between the identity ``other``, from disk, and ``mine``, for a message: keys with both values."""
    apart = {"hash", "program", "sha256", "update"}
    plain = [{key: value for key, value in one.items() if key not in apart} for one in (mine, other)]
    parts = [difference(*plain)] if plain[0] != plain[1] else []
    if mine.get("program") != other.get("program"):
        parts.append("the code that trains has changed")
    return ", ".join(parts)


def of_other_processes(mine: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two identities differ only in the number of processes, and so in their hash."""
    if mine.get("processes") == other.get("processes"):
        return False
    apart = {"hash", "processes", "sha256", "update"}
    plain = [{key: value for key, value in one.items() if key not in apart} for one in (mine, other)]
    return plain[0] == plain[1]


def _meta_of_whole(path: Path) -> dict[str, Any] | None:
    """The content of the .json beside a checkpoint, or None if it or the checkpoint is damaged."""
    try:
        meta = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return meta if sha256_file(path) == meta["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _content(path: Path) -> dict[str, Any] | None:
    """The state in a checkpoint, or None if it is not a complete state of this program, even with the right digest."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for a damaged file
        return None
    whole = isinstance(state, dict) and all(isinstance(state.get(name), kind) for name, kind in PARTS.items())
    return state if whole else None


def _remove(meta_path: Path) -> None:
    meta_path.unlink(missing_ok=True)  # first: without it, the other file is not a checkpoint
    meta_path.with_suffix(".pt").unlink(missing_ok=True)


def remove_all(folder: Path) -> None:
    """Remove the checkpoints of a finished run, and the remains of an interrupted write."""
    for path in folder.glob("checkpoint-*"):
        path.unlink(missing_ok=True)
    remove_temporaries(folder)


def save_model(path: Path, weights: dict[str, torch.Tensor], identity: dict[str, Any]) -> None:
    """Write final weights (plain tensors by name) with the identity of their run."""
    write_with(path, lambda file: torch.save({"weights": weights, "identity": identity}, file))


def load_model(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read (weights, identity); raises UserError when the file is missing or damaged."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        weights, identity = content["weights"], content["identity"]
        if not (isinstance(weights, dict) and isinstance(identity, dict)):
            raise TypeError("no weights by name")
        return weights, identity
    except FileNotFoundError:
        raise UserError(f"{path} is missing; train first, with make") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise UserError(f"{path} is damaged ({first:.80}); delete it and run make again") from None


def load_weights(model: Path) -> dict[str, torch.Tensor]:
    """The weights of a run, or of a file by ``make export``; raises UserError when they are missing or damaged."""
    if not model.is_file():
        return load_model(model / "model.pt")[0]
    from safetensors.torch import load_file

    about, weights = exported.read(model), load_file(model)
    if exported.digest_of(about.metrics_sha256, digest_tensors(weights)) != about.digest:
        raise UserError(f"{model} is damaged: its content does not match its digest; copy or export it again")
    return weights


@contextlib.contextmanager
def fitting(model: Path) -> Iterator[None]:
    """Around putting weights into the network of their recipe: a UserError where they do not fit it."""
    try:
        yield
    except (RuntimeError, LookupError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the weights of {model} do not fit its recipe ({reason:.100}); train it again") from None
