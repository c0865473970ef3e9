"""What one process of the ResNet-18 benchmark measures: the machine, the plain loop, or ours.

Ours is timed by running ``onepage.cls.train.train`` itself, shortened: its history says how many images were trained
on by when. So there is no second copy of the loop that could differ from it; what is timed besides is each reading of
eight validation images, under one percent.
"""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch

from onepage.benchmarks import machine, plain_cls
from onepage.benchmarks.process import Job, serve
from onepage.cls import augment
from onepage.cls.recipe import Recipe, Stage
from onepage.cls.resnet import ResNet18, initialise
from onepage.cls.train import predict, train
from onepage.data.images import ImageSet, load_images, split_indices
from onepage.planning import plan as plans
from onepage.runs import history, provenance
from onepage.training import seeding, session
from onepage.training.session import Interrupted

VALIDATION = 8  # images held out while only the rate is measured
PARTS = 3  # readings of a shortened run; what comes before the first warms up


def measure_machine(device: str, precisions: list[str]) -> dict[str, Any]:
    """Matrix-product peak in each precision and bandwidth of copying, on all cores."""
    threads, where = machine.use_all_cores(), torch.device(device)
    peaks = {precision: machine.matmul_peak(precision, where) for precision in precisions}
    return {"matmul": peaks, "copy_bytes_per_second": machine.copy_bandwidth(where), "threads": threads}


def plain_speed(data: dict[str, Any], seed: int, device: str, workers: int, images: int) -> dict[str, Any]:
    """Rates of the plain loop at 32 pixels."""
    threads, loop, image_set, train_index, _ = _plain(data, seed, device, workers)
    inputs = plain_cls.to_input(image_set.train_images[train_index[:images]])
    forward = plain_cls.forward_rate(loop.model, inputs, loop.device)
    size = inputs.shape[-1]
    del inputs
    rates = {"image_size": size, "threads": threads, "forward": forward}
    return rates | {"training": plain_cls.training_rate(loop, images), **_memory()}


def plain_curve(
    data: dict[str, Any], seed: int, device: str, workers: int, minutes: float, readings: int, target: float, run: str
) -> dict[str, Any]:
    """The plain loop for some minutes; readings go to ``run``/history.jsonl as they come."""
    threads, loop, image_set, _, val_index = _plain(data, seed, device, workers)
    rows: list[dict[str, Any]] = []

    def add_row(row: dict[str, Any]) -> None:
        rows.append(row)
        history.write(Path(run) / "history.jsonl", rows)

    val_images, val_labels = image_set.train_images[val_index], image_set.train_labels[val_index]
    plain_cls.learning_curve(loop, val_images, val_labels, minutes * 60, readings, target, add_row)
    return {"threads": threads, **_memory()}


def _plain(
    data: dict[str, Any], seed: int, device: str, workers: int
) -> tuple[int, plain_cls.Loop, ImageSet, Any, Any]:
    """Threads, the loop, the images, and indices for training and validation: those of our recipe."""
    threads = machine.use_all_cores()
    torch.manual_seed(seed)
    image_set = load_images(Path(data["dir"]), data["set"])
    train_index, val_index = split_indices(len(image_set.train_images), data["validation_size"], data["split_seed"])
    parts = image_set.train_images[train_index], image_set.train_labels[train_index]
    loop = plain_cls.Loop(*parts, len(image_set.class_names), torch.device(device), workers)
    return threads, loop, image_set, train_index, val_index


def ours_speed(data: dict[str, Any], plan: str, seed: int, size: int, images: int, run: str) -> dict[str, Any]:
    """Rates of our training and inference at one image size, in the precision and batch size of the recipe."""
    recipe, block = plans.settings_of(plans.read(Path(plan)), seed)
    image_set = load_images(Path(data["dir"]), data["set"])
    device = seeding.prepare(seed, recipe.threads, block["device"])
    model = ResNet18(len(image_set.class_names))
    initialise(model, seeding.keyed_generator(seed, "initialise"))
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    some = augment.resize(torch.from_numpy(image_set.train_images[:images].copy()).to(device), size)
    predict(model, some[:500], block["precision"])
    start = time.perf_counter()
    predict(model, some, block["precision"])
    forward = len(some) / (time.perf_counter() - start)
    del model, some

    session.SAVE_EVERY_SECONDS = session.EPOCH_SECONDS = math.inf  # the plain loop saves nothing either
    short = shortened(recipe, len(image_set.train_images), size, images)
    train(short, image_set, Path(run), block)
    first, *_, last = history.read(Path(run) / "history.jsonl")
    training = (last["images"] - first["images"]) / max(last["seconds"] - first["seconds"], 1e-9)
    return {"image_size": size, "threads": recipe.threads, "forward": forward, "training": training, **_memory()}


def shortened(recipe: Recipe, n: int, size: int, images: int) -> Recipe:
    """The recipe with one stage at ``size``, as long as measuring over ``images`` images takes, of a set of ``n``."""
    available = n - VALIDATION
    if recipe.train_images:
        available = min(available, recipe.train_images)
    updates = PARTS * max(1, round(images / (PARTS - 1) / recipe.batch_size))
    epochs = updates / max(1, available // recipe.batch_size)
    return dataclasses.replace(
        recipe, stages=(Stage(epochs, size),), validations=PARTS, validation_size=min(VALIDATION, n - 1)
    )


def ours_curve(data: dict[str, Any], plan: str, seed: int, readings: int, run: str) -> dict[str, Any]:
    """Our recipe whole, with more readings of the validation images; the parent stops it when it has seen enough."""
    recipe, block = plans.settings_of(plans.read(Path(plan)), seed)
    image_set = load_images(Path(data["dir"]), data["set"])
    try:
        train(dataclasses.replace(recipe, validations=max(readings, recipe.validations)), image_set, Path(run), block)
    except Interrupted:
        return {"threads": recipe.threads, **_memory()}
    return {"threads": recipe.threads, **_memory()}


def _memory() -> dict[str, Any]:
    """Peak memory of this process; worker processes of a DataLoader are not counted."""
    return {
        "peak_memory_bytes": provenance.peak_memory_bytes(),
        "peak_gpu_memory_bytes": provenance.peak_gpu_memory_bytes(),
    }


JOBS: dict[str, Job] = {
    "machine": measure_machine,
    "plain loop": plain_speed,
    "plain curve": plain_curve,
    "ours": ours_speed,
    "our curve": ours_curve,
}

if __name__ == "__main__":
    serve(JOBS)
