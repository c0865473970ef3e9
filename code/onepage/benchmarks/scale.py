"""``make bench-scale``: the training of ResNet-18 by 1, 2, 4 ... processes, with one global batch.

Each process has its own GPU; on a CPU all share the cores, so that the table shows only the cost of sharing. The
exchange's share of an update is the additional time with the exchange: the part that does not overlap the backward
pass.
"""

import dataclasses
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onepage.benchmarks import machine, ours, process, results
from onepage.benchmarks.cls import shortened
from onepage.benchmarks.process import Measurement
from onepage.cls.resnet import PARAMETERS
from onepage.cls.train import train
from onepage.data import of_plan
from onepage.runs import provenance
from onepage.runs.plan import identity
from onepage.training import distributed

REPEATS = 3  # turns of each number of processes
UPDATES = {"cpu": 8, "cuda": 100}  # measured each time
SIZE = 32  # pixels
EXCHANGES = 10  # of the gradients alone


class Unexchanged(distributed.Ranks):
    """Processes that train at the same time, each on its part of every batch, without exchanging gradients."""

    def averaging(self, model: nn.Module) -> nn.Module:
        return model

    def check_alike(self, model: nn.Module, update: int) -> None:
        """Their weights are not equal, so nothing is checked."""


def training(plan: dict[str, Any], threads: int, updates: int, run: str) -> dict[str, Any]:
    """Images/s of all processes with and without the exchange; seconds of an exchange alone (0 for one process)."""
    found_images = of_plan(plan)
    recipe = dataclasses.replace(ours.recipe(plan), threads=threads)
    recipe = shortened(recipe, len(found_images.train_images), SIZE, updates * recipe.batch_size)
    ours.save_no_checkpoints()
    with distributed.join(plan["device"]) as ranks:
        seconds = exchange_seconds(plan["device"], ranks)
        found = {"processes": ranks.world, "threads": threads, "exchange_seconds": seconds}
        for name, together in (("alone", Unexchanged(ranks.rank, ranks.world)), ("together", ranks)):
            folder = Path(run) / name
            train(recipe, found_images, folder, identity(plan), ranks=together)
            if ranks.is_main:
                found[name] = ours.rate(folder, "images")
    return found


def exchange_seconds(device: str, ranks: distributed.Ranks) -> float:
    """Shortest time to sum, over all processes at once, as many fp32 numbers as ResNet-18 has parameters."""
    if ranks.world == 1:
        return 0.0
    gradients = torch.ones(PARAMETERS, device=device)
    return machine.best_seconds(lambda: ranks.add(gradients), gradients.device, EXCHANGES)


def run(plan: dict[str, Any], out: Path) -> dict[str, Any]:
    """Measure each number of processes; returns the result to keep. Raises UserError on failure."""
    device, images = plan["device"], of_plan(plan)
    cores, updates = provenance.cores(), UPDATES[device]
    recipe = ours.recipe(plan)
    result = results.about(device, images) | {
        "settings": {"repeats": REPEATS, "updates": updates, "image_size": SIZE, "seed": plan["seed"]},
        "recipe": {"profile": plan["profile"], "batch_size": recipe.batch_size, "batch_norm": recipe.batch_norm},
        "precision": plan["precision"],
        "gradient_bytes": 4 * PARAMETERS,
    }
    contenders = {}
    for number in counts(torch.cuda.device_count() if device == "cuda" else cores):
        threads = recipe.threads if device == "cuda" else max(1, cores // number)
        given = {"plan": plan, "threads": threads, "updates": updates}
        contenders[str(number)] = Measurement(training, given, processes=number)
    with process.session("scale", result, out) as (folder, say):
        result["samples"] = process.take_turns(contenders, REPEATS, folder, say)
    return result


def counts(most: int) -> list[int]:
    """1, 2, 4 ... up to ``most``, and ``most`` itself."""
    return sorted({most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})


def summarise(result: Mapping[str, Any]) -> list[dict[str, float]]:
    """For each number of processes the medians: rate, efficiency, share of the exchange, its bandwidth alone.

    Efficiency is relative to the rate of one process: per GPU on GPUs, in total on a CPU, where all share its cores.
    """
    rows, gradient_bytes, median = [], result["gradient_bytes"], statistics.median
    base = median(sample["together"] for sample in result["samples"]["1"])
    for key, samples in result["samples"].items():
        number = int(key)
        rate = median(sample["together"] for sample in samples)
        seconds = median(sample["exchange_seconds"] for sample in samples)
        shares = [1 - sample["together"] / sample["alone"] for sample in samples]
        rows.append(
            {
                "processes": number,
                "threads": samples[0]["threads"],
                "rate": rate,
                "efficiency": rate / base / (number if result["device"] == "cuda" else 1),
                "exchange_share": median(shares) if number > 1 else 0.0,
                "exchange_seconds": seconds,
                "update_seconds": result["recipe"]["batch_size"] / rate,
                # what a ring sends and receives for it at each process (Patarasuk & Yuan 2009)
                "bandwidth": 2 * (number - 1) / number * gradient_bytes / seconds if seconds else 0.0,
            }
        )
    return rows
