"""The weights of an evaluated run for use without this program: plain tensors, and what one must know to use them.

``weights.pt`` is a state dict that ``torch.load(..., weights_only=True)`` reads, ``tokenizer.model`` the pieces of a
model that has some. ``model.json`` says how inputs are prepared and what outputs mean (the task's module ``export``),
how well the model did, and which run it is.
"""

from pathlib import Path
from typing import Any

import torch

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_json, write_bytes, write_json, write_with
from onepage.runs import lookup
from onepage.training import checkpoint
from onepage.training.weights import digest_tensors

RUN = ("set", "generated", "profile", "seed", "commit", "dirty", "weights_digest")


def export(run: Path, task: str, folder: Path) -> dict[str, Any]:
    """Write the weights of ``run`` into ``folder``; returns what model.json says.

    Raises UserError for a run that is missing, damaged, of another task, not evaluated, or trained again since.
    """
    values = lookup.identity(run, task)
    metrics = read_json(run / "metrics.json")
    weights, _ = checkpoint.load_model(run / "model.pt")
    if not isinstance(metrics, dict) or metrics.get("weights_digest") != digest_tensors(weights):
        raise UserError(f"{run / 'metrics.json'} is of other weights than model.pt; evaluate them (make {task})")
    try:
        about = {"task": task} | tasks.get(task).module("export").describe(metrics, weights)
        about["run"] = {key: metrics[key] for key in RUN}
    except (KeyError, TypeError, IndexError):
        raise UserError(f"{run / 'metrics.json'} lacks what it should say; delete it and run make again") from None
    about["run"] |= {key: values[key] for key in ("data_digest",) if key in values}
    tokenizer = weights.pop("tokenizer", None)
    if tokenizer is not None:
        write_bytes(folder / "tokenizer.model", tokenizer.numpy().tobytes())
    plain = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}
    write_with(folder / "weights.pt", lambda file: torch.save(plain, file))
    write_json(folder / "model.json", about)
    return about
