"""Checkpoints: how an interrupted training goes on as if nothing had happened.

Each is a file ``checkpoint-<update>.pt`` of tensors and plain values, read with ``weights_only`` so that a hostile one
runs no code, and a ``.json`` beside it, written last, with the file's SHA-256 and the recipe it belongs to. The newest
two are kept: a torn or corrupted one costs the updates since the one before, never the run.
"""

import json
from pathlib import Path
from typing import Any

import torch

from onepage.errors import UserError
from onepage.files import sha256_file, write_json, write_with
from onepage.training.recipe import difference

KEEP = 2


def save(folder: Path, update: int, state: dict[str, Any], identity: dict[str, Any]) -> None:
    """Write a checkpoint after ``update`` updates; ``identity`` says which run it belongs to (see ``latest``)."""
    path = folder / f"checkpoint-{update:08d}.pt"
    write_with(path, lambda file: torch.save(state, file))
    write_json(path.with_suffix(".json"), {"sha256": sha256_file(path), "update": update, **identity})
    for old in sorted(folder.glob("checkpoint-*.json"))[:-KEEP]:
        old.unlink(missing_ok=True)
        old.with_suffix(".pt").unlink(missing_ok=True)


def latest(folder: Path, identity: dict[str, Any], say: Any) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, or None when there is none to go on from.

    A damaged one is passed over with a line through ``say``. Raises UserError when it belongs to another recipe, naming
    what differs: going on from it would give a run that no recipe describes.
    """
    for meta_path in sorted(folder.glob("checkpoint-*.json"), reverse=True):
        path = meta_path.with_suffix(".pt")
        try:
            meta = json.loads(meta_path.read_text(encoding="utf-8"))
            whole = sha256_file(path) == meta["sha256"]
        except (OSError, ValueError, KeyError):
            whole = False
        if not whole:
            say(f"{path.name} is damaged; going on from the one before")
            continue
        if meta.get("hash") != identity["hash"]:
            what = difference(identity, {key: meta.get(key) for key in identity})
            raise UserError(f"{path} is of another recipe ({what}); move the folder away or run that recipe")
        return torch.load(path, map_location="cpu", weights_only=True)
    return None


def remove_all(folder: Path) -> None:
    """Remove the checkpoints of a finished run, and what a kill in the middle of writing one left."""
    for pattern in ("checkpoint-*", ".checkpoint-*.tmp"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def save_model(path: Path, weights: dict[str, torch.Tensor], identity: dict[str, Any]) -> None:
    """Write final weights (plain tensors by name) with the identity of their run."""
    write_with(path, lambda file: torch.save({"weights": weights, "identity": identity}, file))


def load_model(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read (weights, identity); raises UserError when the file is missing or damaged."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return content["weights"], content["identity"]
    except FileNotFoundError:
        raise UserError(f"{path} is missing; train first (make cls, make mt)") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        first = (str(error).splitlines() or ["unreadable"])[0]
        raise UserError(f"{path} is damaged ({first:.80}); delete it and run make again") from None
