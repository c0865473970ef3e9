"""A run that can classify, made in a moment: random weights, few channels unless asked, a made-up evaluation."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from edits import edit
from onepage.cls import evaluate
from onepage.cls.recipe import Recipe, Stage
from onepage.cls.resnet import ResNet18, initialise
from onepage.cls.train import predict
from onepage.commands.main import main
from onepage.training import checkpoint
from onepage.training.recipe import as_dict
from onepage.training.seeding import keyed_generator
from onepage.training.weights import digest_tensors
from small_training import Narrow
from synthetic_run import write_cls_run

TEMPERATURE = 0.7
RECIPE = Recipe(
    stages=(Stage(1.0, 8), Stage(1.0, 16)), batch_size=8, optimiser="sgd", sgd_learning_rate=0.1,
    weight_decay=0.0, validations=1, threads=1,
)  # fmt: skip


def write_run(
    folder: Path, *, seed: int = 0, generated: bool = False, device: str = "cpu", network: type[ResNet18] = Narrow
) -> Path:
    """Write an evaluated run into ``folder`` and return it: tested at 16 pixels, temperature 0.7."""
    write_cls_run(folder, generated=generated, seed=seed)
    model = network()
    initialise(model, keyed_generator(seed))
    usual = torch.stack([torch.from_numpy(np.array(photo(16, 16, k)).transpose(2, 0, 1)) for k in range(100, 116)])
    model.fc.weight.data.mul_(100.0)  # an untrained net gives all pictures the same class; this changes that
    model.fc.bias.data.sub_(predict(model, usual, "fp32").mean(0))
    weights = model.state_dict()
    checkpoint.save_model(folder / "model.pt", weights, {})
    edit(folder / "run.json", recipe=as_dict(RECIPE), device=device, precision="fp32")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    metrics["test"]["calibrated"]["temperature"] = TEMPERATURE
    about = {"recipe": as_dict(RECIPE), "device": device, "precision": "fp32"}
    edit(folder / "metrics.json", weights_digest=digest_tensors(weights), test=metrics["test"], **about)
    return folder


def saved(image: Image.Image, path: Path, **options: Any) -> Path:
    """Write ``image`` to ``path`` and return the path."""
    image.save(path, **options)
    return path


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB picture with detail at several scales and four different corners."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells in (2, 4, 8):
        noise = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) / 3
    return Image.fromarray(picture.astype(np.uint8))


def classify(run: Path, *arguments: object, network: type[ResNet18] = Narrow) -> Result:
    """Run the command in this process, with a run of ``network``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "ResNet18", network)
        return CliRunner().invoke(main, ["classify", "--model", str(run), *map(str, arguments)])


def said(result: Result) -> list[str]:
    """The lines on standard error after the first, which names the model."""
    first, *rest = result.stderr.splitlines()
    assert first.startswith("onepage: classified by ") and "the answer is always one of: airplane, " in first
    return rest


def table(result: Result) -> list[tuple[str, str, float]]:
    """The lines of output: (file, class, probability)."""
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    return [(name, label, float(share)) for name, label, share in rows]
