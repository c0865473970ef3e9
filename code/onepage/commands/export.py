"""The weights of an evaluated run for use without this program: plain tensors, and what one must know to use them.

``weights.pt`` is a state dict that ``torch.load(..., weights_only=True)`` reads. ResNet-18's names are torchvision's,
whose ``resnet18`` takes it once its stem is the CIFAR one; the Transformer's are those of ``onepage.mt.transformer``,
and its pieces are sentencepiece's (``tokenizer.model``). ``model.json`` says how inputs are prepared and what outputs
mean, how well the model did, and which run it is.
"""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from onepage.errors import UserError
from onepage.files import read_json, write_bytes, write_json, write_with
from onepage.runs import lookup as trained
from onepage.training import checkpoint
from onepage.training.weights import digest_tensors

ORIGIN = ("set", "generated", "profile", "seed", "commit", "dirty", "weights_digest")


def export(run: Path, task: str, folder: Path) -> dict[str, Any]:
    """Write the weights of ``run`` into ``folder``; returns what model.json says.

    Raises UserError for a run that is missing, damaged, of another task, not evaluated, or trained again since.
    """
    block = trained.identity(run, task)
    metrics = read_json(run / "metrics.json")
    weights, _ = checkpoint.load_model(run / "model.pt")
    if not isinstance(metrics, dict) or metrics.get("weights_digest") != digest_tensors(weights):
        raise UserError(f"{run / 'metrics.json'} is of other weights than model.pt; evaluate them (make {task})")
    try:
        about = _cls(metrics) if task == "cls" else _mt(metrics, weights)
        origin = {key: metrics[key] for key in ORIGIN}
    except (KeyError, TypeError, IndexError):
        raise UserError(f"{run / 'metrics.json'} lacks what it should say; delete it and run make again") from None
    tokenizer = weights.pop("tokenizer", None)
    if tokenizer is not None:
        write_bytes(folder / "tokenizer.model", tokenizer.numpy().tobytes())
    plain = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in weights.items()}
    write_with(folder / "weights.pt", lambda file: torch.save(plain, file))
    about |= {"run": origin | {key: block[key] for key in ("data_digest",) if key in block}}
    write_json(folder / "model.json", about)
    return about


def _cls(metrics: dict[str, Any]) -> dict[str, Any]:
    from onepage.cls.augment import MEAN, STD

    test = metrics["test"]
    return {
        "task": "cls",
        "architecture": "torchvision's resnet18 with conv1 of 3x3, stride 1, padding 1, and no max-pool",
        "input": {
            "image_size": metrics["train"]["image_sizes"][-1],
            "resized": "from 32x32, bilinear, antialiased",
            "mean": list(MEAN),
            "std": list(STD),
        },
        "classes": metrics["class_names"],
        "temperature": test["calibrated"]["temperature"],
        "test": {"n": test["n"], "accuracy": test["accuracy"], "interval": test["accuracy_interval"]},
    }


def _mt(metrics: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, Any]:
    from onepage.mt.tokenizer import END, PAD, START, UNKNOWN
    from onepage.mt.transformer import Sizes

    model, test = metrics["model"], metrics["tests"][metrics["headline"]]
    names = {field.name for field in dataclasses.fields(Sizes)}
    if "tokenizer" not in weights:
        raise KeyError("tokenizer")
    return {
        "task": "mt",
        "architecture": "pre-norm Transformer, one embedding for source, target and output, sinusoidal positions",
        "sizes": {key: value for key, value in model.items() if key in names},
        "pieces": {"pad": PAD, "unknown": UNKNOWN, "start": START, "end": END},
        "languages": [metrics["src"], metrics["tgt"]],
        "decoding": metrics["decoding"],
        "test": {"set": metrics["headline"], "n": test["n"], "bleu": test["bleu"]},
    }
