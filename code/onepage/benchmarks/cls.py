"""``make bench-cls``: ResNet-18 trained by a plain loop (plain_cls.py) and by ours, on the same machine and images.

The contenders are the machine, the plain loop, and ours at each image size; at the smallest also ours with other
numbers of threads, and beside a busy process. Then each loop trains towards one validation accuracy: ours with its
recipe (or from the history of a finished run), the plain loop for some minutes.
"""

import contextlib
import dataclasses
import importlib.metadata
import math
import statistics
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from onepage.benchmarks import machine, ours, plain_cls, process, results
from onepage.benchmarks.process import Measurement, Say
from onepage.cls import augment
from onepage.cls.recipe import Recipe, Stage
from onepage.cls.resnet import ResNet18, initialise
from onepage.cls.train import predict, train
from onepage.data import of_plan
from onepage.data.images import ImageSet, split_indices
from onepage.errors import Interrupted, UserError
from onepage.files import read_json
from onepage.runs import history, provenance
from onepage.runs.plan import identity
from onepage.terminal.progress import clock
from onepage.training import seeding

IMAGES = {"cpu": 2048, "cuda": 32_000}  # per measurement of a rate; whole batches of every loop
SAME_SIZE = 32  # pixels at which both are measured
VALIDATION = 8  # validation images while only the rate is measured: they take under one percent of the time
SETTINGS: dict[str, Any] = {
    "repeats": 5,  # turns of each contender
    "target": 0.8,  # validation accuracy that both are timed to
    "plain_readings": 10,  # of the validation images, in the minutes of the plain loop
    "our_readings": 24,  # of the validation images, in our recipe
    "workers": 2,  # of the plain loop's DataLoader
}


# measurements, each in a process of its own


def plain_loop(plan: dict[str, Any], workers: int, images: int) -> dict[str, Any]:
    """Rates of the plain loop at 32 pixels."""
    threads, loop, found, train_index, _ = _plain(plan, workers)
    inputs = plain_cls.to_input(found.train_images[train_index[:images]])
    rates: dict[str, Any] = {"image_size": inputs.shape[-1], "threads": threads}
    rates["forward"] = machine.forward_rate(lambda some: plain_cls.predict(loop.model, some, loop.device), inputs)
    del inputs
    updates = math.ceil(images / plain_cls.BATCH_SIZE)
    rates["training"] = machine.training_rate(loop.updates(), updates, 2, loop.device)
    return rates | ours.memory()


def plain_curve(
    plan: dict[str, Any], workers: int, minutes: float, readings: int, target: float, run: str
) -> dict[str, Any]:
    """Train the plain loop for some minutes; readings go to ``run``/history.jsonl immediately."""
    _, loop, found, _, val_index = _plain(plan, workers)
    rows: list[dict[str, Any]] = []

    def add_row(row: dict[str, Any]) -> None:
        rows.append(row)
        history.write(Path(run) / "history.jsonl", rows)

    validation = found.train_images[val_index], found.train_labels[val_index]
    plain_cls.learning_curve(loop, *validation, minutes * 60, readings, target, add_row)
    return {}


def _plain(plan: dict[str, Any], workers: int) -> tuple[int, plain_cls.Loop, ImageSet, Any, Any]:
    """Threads, the loop, the images, and the indices for training and validation: those of our recipe."""
    threads = machine.use_all_cores()
    torch.manual_seed(plan["seed"])
    found, recipe = of_plan(plan), ours.recipe(plan)
    train_index, val_index = split_indices(len(found.train_images), recipe.validation_size, recipe.split_seed)
    parts = found.train_images[train_index], found.train_labels[train_index]
    loop = plain_cls.Loop(*parts, len(found.class_names), torch.device(plan["device"]), workers)
    return threads, loop, found, train_index, val_index


def our_loop(plan: dict[str, Any], size: int, images: int, run: str, threads: int = 0) -> dict[str, Any]:
    """Rates of our training and inference at one image size, in the precision and batch size of the recipe.

    ``threads``: if not 0, instead of the recipe's.
    """
    recipe, found = ours.recipe(plan), of_plan(plan)
    recipe = dataclasses.replace(recipe, threads=threads or recipe.threads)
    device = seeding.prepare(plan["seed"], recipe.threads, plan["device"])
    model = ResNet18(len(found.class_names))
    initialise(model, seeding.keyed_generator(plan["seed"], "initialise"))
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    some = augment.resize(torch.from_numpy(found.train_images[:images].copy()).to(device), size)
    forward = machine.forward_rate(partial(predict, model, precision=plan["precision"]), some)
    del model, some
    ours.save_no_checkpoints()
    train(shortened(recipe, len(found.train_images), size, images), found, Path(run), identity(plan))
    rates = {"image_size": size, "threads": recipe.threads, "forward": forward}
    return rates | {"training": ours.rate(run, "images"), **ours.memory()}


def shortened(recipe: Recipe, n: int, size: int, images: int) -> Recipe:
    """The recipe with one stage at ``size``, to measure over ``images`` images, of a set of ``n``."""
    available = n - VALIDATION
    if recipe.train_images:
        available = min(available, recipe.train_images)
    updates = ours.PARTS * max(1, round(images / (ours.PARTS - 1) / recipe.batch_size))
    epochs = updates / max(1, available // recipe.batch_size)
    return dataclasses.replace(
        recipe, stages=(Stage(epochs, size),), validations=ours.PARTS, validation_size=min(VALIDATION, n - 1)
    )


def our_curve(plan: dict[str, Any], readings: int, run: str) -> dict[str, Any]:
    """Train our whole recipe, with more validations; the parent stops it at the target."""
    recipe = ours.recipe(plan)
    more = dataclasses.replace(recipe, validations=max(readings, recipe.validations))
    with contextlib.suppress(Interrupted):
        train(more, of_plan(plan), Path(run), identity(plan))
    return {}


# the benchmark


def run(plan: dict[str, Any], out: Path, minutes: float, from_run: Path | None = None) -> dict[str, Any]:
    """Measure everything; returns the result to keep. On a UserError, nothing is kept.

    ``minutes``: training of the plain loop. ``from_run``: a run of this machine, whose history has our time.
    """
    recipe, found = ours.recipe(plan), of_plan(plan)
    train_index, val_index = split_indices(len(found.train_images), recipe.validation_size, recipe.split_seed)
    curve = run_of_this_machine(from_run, found.digest) if from_run else None
    device, precision, images = plan["device"], plan["precision"], IMAGES[plan["device"]]
    settings = SETTINGS | {"images": images, "minutes": minutes, "seed": plan["seed"]}
    sizes = sorted({SAME_SIZE, *(stage.image_size for stage in recipe.stages)}, reverse=True)
    result = results.about(device, found) | {
        "training_images": len(train_index),
        "validation_images": len(val_index),
        "settings": settings,
        "plain": plain_cls.ABOUT | {"workers": settings["workers"]},
        "ours": {"profile": plan["profile"], "precision": precision, "recipe": plan["recipe"]},
        "forward_flops": {str(size): machine.forward_flops(ResNet18(), size) for size in sizes},
    }
    result["versions"]["torchvision"] = importlib.metadata.version("torchvision")
    plain = {"plan": plan, "workers": settings["workers"]}
    contenders = {
        "machine": Measurement(machine.measure, {"device": device, "precision": precision}),
        "plain": Measurement(plain_loop, plain | {"images": images}),
    }
    for size in sizes:
        contenders[f"ours-{size}"] = Measurement(our_loop, {"plan": plan, "size": size, "images": images})
    if device == "cpu":
        smallest = {"plan": plan, "size": sizes[-1], "images": images}
        for threads in machine.other_threads(recipe.threads):
            contenders[f"threads-{threads}"] = Measurement(our_loop, smallest | {"threads": threads})
        contenders["busy"] = Measurement(our_loop, smallest, beside_busy=True)
    with process.session("cls", result, out) as (folder, say):
        result["samples"] = process.take_turns(contenders, settings["repeats"], folder, say)
        target, seconds = settings["target"], minutes * 60
        if curve is None:
            say(f"ours trains to {target * 100:g} % validation accuracy")
            training = Measurement(our_curve, {"plan": plan, "readings": settings["our_readings"]})
            curve = followed("ours", training, folder / "ours", say, target)
        say(f"the plain loop trains for {results.duration(seconds)}, validation not counted")
        given = plain | {"minutes": minutes, "readings": settings["plain_readings"], "target": target}
        theirs = followed("plain loop", Measurement(plain_curve, given), folder / "plain", say, seconds=seconds)
        result["curves"] = {"ours": curve, "plain": theirs}
    return result


def run_of_this_machine(run: Path, data_digest: str) -> dict[str, Any]:
    """The curve of a finished run; raises UserError for a run of other data, or of another machine."""
    plan, written = read_json(run / "run.json"), read_json(run / "provenance.json")
    if plan.get("task") != "cls" or plan.get("data_digest") != data_digest:
        raise UserError(f"{run} was not trained on these images; give a run made by make cls")
    host = written.get("host") or {}
    if host != provenance.host():
        raise UserError(
            f"{run} was trained on another machine ({host.get('cpu')}); train it here, or leave out BENCH_RUN"
        )
    about = {key: plan[key] for key in ("profile", "seed", "commit", "dirty", "recipe", "threads", "precision")}
    return {"rows": history.read(run / "history.jsonl"), "from_run": about}


def followed(
    name: str, training: Measurement, folder: Path, say: Say, target: float = 2.0, seconds: float = 0.0
) -> dict[str, Any]:
    """Train, print each reading, and stop at the first with ``target``. Returns the readings."""
    path = folder / "run" / "history.jsonl"
    rows: list[dict[str, Any]] = []

    def watch() -> bool:
        there = path.is_file() and path.stat().st_size  # rewritten as a whole, at first empty
        new = history.read(path)[len(rows) :] if there else []
        rows.extend(new)
        for row in new:
            left = f"  {clock(max(0.0, seconds - row['seconds']))} left" if seconds else ""
            say(f"{name}: {row['val_accuracy']:.2%} after {row['images']:,} images, {clock(row['seconds'])}{left}")
        return any(row["val_accuracy"] >= target for row in rows)

    training.measure(folder, watch)
    watch()
    return {"rows": rows}


def summarise(result: Mapping[str, Any]) -> dict[str, Any]:
    """Medians, shares of the peak, ratios and times to the target, from what was measured."""
    samples, flops, peaks = result["samples"], result["forward_flops"], machine.peaks(result)
    found: dict[str, Any] = {"peaks": peaks, "contenders": {}}
    key = "peak_memory_bytes" if result["device"] == "cpu" else "peak_gpu_memory_bytes"
    for name, taken in samples.items():
        if name == "machine":
            continue
        precision = "fp32" if name == "plain" else result["ours"]["precision"]
        row: dict[str, Any] = {key: taken[0][key] for key in ("image_size", "threads")} | {"precision": precision}
        for what, passes in (("forward", 1), ("training", machine.TRAINING_PASSES)):
            row[what] = [sample[what] for sample in taken]
            rate = statistics.median(row[what])
            row[f"{what}_share"] = rate * flops[str(row["image_size"])] * passes / peaks[precision]
        row["memory"] = max(sample[key] for sample in taken)
        found["contenders"][name] = row
    plain, mine = found["contenders"]["plain"], found["contenders"][f"ours-{SAME_SIZE}"]
    found["ratios"] = {
        what: statistics.median(mine[what]) / statistics.median(plain[what]) for what in ("forward", "training")
    }
    target = result["settings"]["target"]
    found["time_to"] = {name: results.time_to(curve["rows"], target) for name, curve in result["curves"].items()}
    reached, theirs = found["time_to"]["ours"], result["curves"]["plain"]["rows"]
    if reached and theirs:  # a lower bound if the plain loop did not reach it
        found["ratios"]["time_to"] = (found["time_to"]["plain"] or theirs[-1]["seconds"]) / reached
    return found
