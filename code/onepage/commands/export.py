"""``onepage export``: the weights of evaluated runs for a release, each model as one file with a card beside it.

The file (``runs/exported.py``) holds matrices in half precision. Vectors, such as the statistics of BatchNorm, stay
unchanged, because they are small and their range is wide. ``onepage translate`` and ``classify`` accept it as a model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from onepage import tasks
from onepage.errors import UserError
from onepage.files import sha256_file, write_bytes, write_text
from onepage.runs import exported, lookup, provenance
from onepage.terminal.options import PATH, out_option


@click.command()
@click.option("--run", type=PATH, help="Evaluated run folder. [of each task, the last evaluated]")
@click.option("--to", "folder", type=PATH, help="Folder to write into. [OUT/export]")
@out_option
def export(run: Path | None, folder: Path | None, out: Path) -> None:
    """Write the weights of evaluated runs, to a folder for each task in TO: SET.safetensors, and SET.md about it.

    Matrices are in half precision. `onepage translate --model FILE` and `onepage classify --model FILE` need no more.
    """
    chosen = {lookup.task_of(run): run} if run else lookup.last_evaluated(out)
    for task, which in chosen.items():
        if tasks.get(task).has("export"):
            click.echo(f"{task:<4} {which} in {write(which, task, (folder or out / 'export') / task)}")


def write(run: Path, task: str, folder: Path) -> Path:
    """Write the weights of ``run`` and their card into ``folder``; returns the path of the weights.

    Raises UserError for a run that is missing, damaged, of another task, not evaluated, or trained again since.
    """
    import torch
    from safetensors.torch import save

    from onepage.training import checkpoint
    from onepage.training.weights import digest_tensors

    lookup.identity(run, task)
    metrics, weights = lookup.told(run, "metrics.json"), checkpoint.load_weights(run)
    if not isinstance(metrics, dict) or metrics.get("weights_digest") != digest_tensors(weights):
        raise UserError(
            f"{run / 'metrics.json'} does not belong to the weights in model.pt; evaluate again: make {task}"
        )
    try:
        path = folder / f"{tasks.get(task).folder(metrics)}.safetensors"
        about = card(metrics, path)
    except (KeyError, TypeError, IndexError):
        raise UserError(f"{run / 'metrics.json'} is incomplete; delete it and run make again") from None
    kept = {
        name: (tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor).clone(
            memory_format=torch.contiguous_format
        )
        for name, tensor in weights.items()
    }
    text = (run / "metrics.json").read_text(encoding="utf-8")
    write_bytes(path, save(kept, exported.metadata(text, digest_tensors(kept))))
    write_text(path.with_suffix(".md"), about + f"| SHA-256 of the file | {sha256_file(path)} |\n")
    return path


def card(metrics: Mapping[str, Any], path: Path) -> str:
    """The card of the weights as Markdown, without its last row."""
    task = tasks.of(metrics)
    name = task.headline(metrics)
    measure = task.measures(metrics)[name]
    score, low, high = (measure.show(value) for value in (measure.value, *measure.interval))
    rows = {
        "model": f"{task.model}, {'on generated stand-in data, ' * metrics['generated']}{provenance.label(metrics)}",
        "score, in full precision": f"{name} {score} (95 % interval {low} to {high})",
        **task.module("export").describe(metrics),
        "precision": "matrices in half precision (fp16), all else as trained",
        "commit": f"{metrics['commit']}{' with local changes' * bool(metrics['dirty'])}",
        "recipe": metrics["recipe_hash"],
        "data": metrics["data_digest"],
        "weights, in full precision": metrics["weights_digest"],
    }
    return f"# {path.name}\n\n| | |\n|---|---|\n" + "".join(f"| {key} | {rows[key]} |\n" for key in rows)


COMMANDS = (export,)
