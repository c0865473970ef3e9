"""``make bench-gpu``: an update of each task's recipe; on a GPU also without CUDA graphs and without determinism.

It measures the time of an update, its kernels, and its share of the matrix-product peak; on a GPU also the time to 94 %
validation accuracy. On a CPU, which launches no kernels, torch's operators are counted.
"""

import contextlib
import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from onepage.benchmarks import cls, machine, mt, ours, process, results
from onepage.benchmarks.process import Measurement
from onepage.cls.resnet import ResNet18
from onepage.cls.train import train as train_cls
from onepage.data import of_plan
from onepage.mt.train import sizes_of
from onepage.mt.train import train as train_mt
from onepage.runs.plan import identity
from onepage.training import seeding

UNITS = {"cls": "images", "mt": "target_tokens"}  # of each task's history
UPDATES = {"cpu": 2, "cuda": 500}  # of each part of a measured training
COUNTED = (1, 3)  # the same for both training runs whose kernels are counted; outside these both launch the same
EVENTS = {
    "cpu": (ProfilerActivity.CPU, DeviceType.CPU, "operators"),
    "cuda": (ProfilerActivity.CUDA, DeviceType.CUDA, "kernels"),
}
COPIES = ("Memcpy", "Memset")  # no kernels
COMPARED = {  # {gain: (task, the slower way, the faster way)}
    "CUDA graphs, ResNet-18": ("cls", "eager", "recipe"),
    "non-deterministic kernels, ResNet-18": ("cls", "eager", "fastest"),
    "non-deterministic kernels, the Transformer": ("mt", "recipe", "fastest"),
}
SETTINGS: dict[str, Any] = {
    "repeats": 3,  # turns of each contender
    "target": 0.94,  # validation accuracy that ResNet-18 is timed to, on a GPU
    "readings": 24,  # of the validation images until then
}


@contextlib.contextmanager
def kernels_of(how: str) -> Iterator[None]:
    """Within, for ``how`` "fastest": kernels may be non-deterministic, and are chosen by timing."""
    prepare = seeding.prepare

    def prepare_fastest(seed: int, threads: int, device: str) -> torch.device:
        where = prepare(seed, threads, device)
        torch.set_deterministic_debug_mode("default")
        torch.backends.cudnn.benchmark = True
        return where

    try:
        if how == "fastest":
            seeding.prepare = prepare_fastest
        yield
    finally:
        seeding.prepare = prepare


def shortened(plan: dict[str, Any], size: int, how: str, updates: int) -> Callable[[Path], None]:
    """The training of a plan, in three parts of so many updates; ``size``: pixels of the images of ResNet-18.

    ``how``: "recipe", as it says; "eager", without CUDA graphs; "fastest", without determinism either.
    """
    data = of_plan(plan)
    if plan["task"] == "cls":
        images = ours.recipe(plan)
        images = dataclasses.replace(images, cuda_graph=images.cuda_graph and how == "recipe")
        seen = updates * (ours.PARTS - 1) * images.batch_size
        images = cls.shortened(images, len(data.train_images), size, seen)
        return lambda run: train_cls(images, data, run, identity(plan))
    pairs = dataclasses.replace(ours.recipe(plan), updates=ours.PARTS * updates, validations=ours.PARTS)
    return lambda run: train_mt(pairs, mt.barely_validated(data), run, identity(plan))


# measurements, each in a process of its own


def rates(plan: dict[str, Any], size: int, how: str, updates: int, run: str) -> dict[str, float]:
    """Updates, and images or target tokens, per second of a training run."""
    ours.save_no_checkpoints()
    with kernels_of(how):
        shortened(plan, size, how, updates)(Path(run))
    return {"updates": ours.rate(run, "step"), "units": ours.rate(run, UNITS[plan["task"]])}


def launches(plan: dict[str, Any], size: int, how: str, run: str) -> dict[str, float]:
    """Kernels (on a CPU: operators) per update: the difference between two training runs of different length."""
    ours.save_no_checkpoints()
    activity, kind, _ = EVENTS[plan["device"]]
    with kernels_of(how):  # not counted: constants that the first training makes for the whole process
        shortened(plan, size, how, COUNTED[0])(Path(run) / "first")
    found = []
    for updates in COUNTED:
        with kernels_of(how), profile(activities=[activity]) as seen:
            shortened(plan, size, how, updates)(Path(run) / str(updates))
        named = [event.name for event in seen.events() or [] if event.device_type == kind]
        found.append(sum(not name.startswith(COPIES) for name in named))
    return {"launches": (found[1] - found[0]) / (ours.PARTS * (COUNTED[1] - COUNTED[0]))}


# the benchmark


def contenders(plans: Mapping[str, dict[str, Any]], device: str) -> dict[str, dict[str, Any]]:
    """{name: the arguments of its measurements}: each task by its recipe, then what only a GPU has."""
    hows = ("recipe", "eager", "fastest") if device == "cuda" else ("recipe",)
    found: dict[str, dict[str, Any]] = {}
    if "cls" in plans:
        sizes = sorted({stage.image_size for stage in ours.recipe(plans["cls"]).stages})
        for size in sizes:  # the largest is trained in every way
            for how in hows if size == sizes[-1] else hows[:1]:
                found[f"cls-{size}-{how}"] = {"plan": plans["cls"], "size": size, "how": how}
    if "mt" in plans:
        for how in (name for name in hows if name != "eager"):  # it has no CUDA graph
            found[f"mt-{how}"] = {"plan": plans["mt"], "size": 0, "how": how}
    return found


def forward_flops(plan: dict[str, Any], size: int) -> float:
    """FLOPs of the forward pass per image or target token of a training run."""
    if plan["task"] == "cls":
        return machine.forward_flops(ResNet18(), size)
    recipe = ours.recipe(plan)
    vocabulary, pairs = mt.training_pairs(of_plan(plan), recipe.vocabulary)
    tokens = [sum(len(pair[side]) for pair in pairs) for side in (0, 1)]
    passes = 2 if recipe.r_drop else 1
    return passes * mt.forward_flops(sizes_of(recipe, vocabulary), *tokens) / tokens[1]


def run(plans: Mapping[str, dict[str, Any]], out: Path) -> dict[str, Any]:
    """Measure everything; returns the result to keep. ``plans``: {task: the plan of a run}, all for one device."""
    first = next(iter(plans.values()))
    device = first["device"]
    measured = contenders(plans, device)
    result = results.about(device, of_plan(first)) | {
        "settings": SETTINGS | {"updates": UPDATES[device], "seed": first["seed"]},
        "precision": first["precision"],
        "recipes": {name: {"profile": plan["profile"]} | plan["recipe"] for name, plan in plans.items()},
        "contenders": {name: {"size": given["size"], "how": given["how"]} for name, given in measured.items()},
        "forward_flops": {name: forward_flops(given["plan"], given["size"]) for name, given in measured.items()},
    }
    turns = {"machine": Measurement(machine.measure, {"device": device, "precision": first["precision"]})}
    turns |= {name: Measurement(rates, given | {"updates": UPDATES[device]}) for name, given in measured.items()}
    with process.session("gpu", result, out) as (folder, say):
        say(f"{EVENTS[device][2]} of each")
        counts = {name: Measurement(launches, given).measure(folder / name) for name, given in measured.items()}
        result["launches"] = {name: count["launches"] for name, count in counts.items()}
        result["samples"] = process.take_turns(turns, SETTINGS["repeats"], folder, say)
        if device == "cuda" and "cls" in plans:
            training = Measurement(cls.our_curve, {"plan": plans["cls"], "readings": SETTINGS["readings"]})
            result["curve"] = cls.followed("ours", training, folder / "ours", say, SETTINGS["target"])
    return result


def summarise(result: Mapping[str, Any]) -> dict[str, Any]:
    """Milliseconds and share of the peak of each contender; on a GPU also the ratios."""
    peak = machine.peaks(result)[result["precision"]]
    found: dict[str, Any] = {"peak": peak, "rows": {}, "ratios": {}}
    for name in result["contenders"]:
        taken = result["samples"][name]
        units = statistics.median(sample["units"] for sample in taken)
        flops = units * result["forward_flops"][name] * machine.TRAINING_PASSES
        found["rows"][name] = {"ms": [1000 / sample["updates"] for sample in taken], "share": flops / peak}
    by_size = sorted(result["contenders"].items(), key=lambda item: item[1]["size"])
    # of ResNet-18 the largest size, at which it is trained in every way
    last = {(name.partition("-")[0], way["how"]): statistics.median(found["rows"][name]["ms"]) for name, way in by_size}
    for what, (task, slow, fast) in COMPARED.items():
        if (task, slow) in last and (task, fast) in last:
            found["ratios"][what] = last[task, slow] / last[task, fast]
    return found
