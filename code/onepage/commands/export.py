"""``onepage export``: the weights of evaluated runs for use without this program, and what one must know to use them.

``weights.pt`` is a state dict that ``torch.load(..., weights_only=True)`` reads, ``tokenizer.model`` the pieces of a
model that has some. ``model.json`` says how inputs are prepared and what outputs mean (the task's module ``export``),
how well the model did, and which run it is.
"""

from pathlib import Path
from typing import Any

import click

from onepage import tasks
from onepage.errors import UserError
from onepage.files import read_json, write_bytes, write_json, write_with
from onepage.runs import lookup
from onepage.terminal.options import out_option

RUN = ("set", "generated", "profile", "seed", "commit", "dirty", "weights_digest")


@click.command()
@click.option("--run", type=click.Path(path_type=Path), help="Evaluated run folder. [of each task, the last evaluated]")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Folder to write into. [OUT/export]")
@out_option
def export(run: Path | None, folder: Path | None, out: Path) -> None:
    """Write the weights of evaluated runs for use without this program, to a folder for each task in TO.

    weights.pt holds plain tensors by name, tokenizer.model the pieces of a model that has some, and model.json what one
    must know to use them.
    """
    chosen = {lookup.task_of(run): run} if run else lookup.last_evaluated(out)
    for task, which in chosen.items():
        if not tasks.get(task).has("export"):
            continue
        target = (folder or out / "export") / task
        write(which, task, target)
        click.echo(f"{task:<4} {which} in {target}")


def write(run: Path, task: str, folder: Path) -> dict[str, Any]:
    """Write the weights of ``run`` into ``folder``; returns what model.json says.

    Raises UserError for a run that is missing, damaged, of another task, not evaluated, or trained again since.
    """
    import torch

    from onepage.training import checkpoint
    from onepage.training.weights import digest_tensors

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


COMMANDS = (export,)
