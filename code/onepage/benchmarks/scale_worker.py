"""What the processes of the scaling benchmark do together: train, train without the exchange, exchange alone.

The training is ``onepage.cls.train.train`` itself, shortened; its history, which rank 0 writes, tells the rate.
"""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onepage.benchmarks.cls_worker import shortened
from onepage.benchmarks.machine import synchronise
from onepage.benchmarks.process import Job, serve
from onepage.cls.resnet import ResNet18
from onepage.cls.train import train
from onepage.data.images import load_images
from onepage.planning import plan as plans
from onepage.runs import history
from onepage.training import distributed, session

EXCHANGES = 10  # of the gradients alone


class Unexchanged(distributed.Ranks):
    """Processes that train beside each other, each on its part of every batch: what the exchange is set against."""

    def averaging(self, model: nn.Module) -> nn.Module:
        return model

    def check_alike(self, model: nn.Module, update: int) -> None:
        """Their weights are not."""


def measure(
    data: dict[str, Any], plan: str, seed: int, size: int, updates: int, threads: int, run: str
) -> dict[str, Any]:
    """Images/s of all processes with and without the exchange; seconds of an exchange by itself (0 for one process)."""
    recipe, block = plans.settings_of(plans.read(Path(plan)), seed)
    recipe = dataclasses.replace(recipe, threads=threads)
    images = load_images(Path(data["dir"]), data["set"])
    session.SAVE_EVERY_SECONDS = session.EPOCH_SECONDS = math.inf
    short = shortened(recipe, len(images.train_images), size, updates * recipe.batch_size)
    with distributed.join(block["device"]) as ranks:
        found = {
            "processes": ranks.world,
            "threads": threads,
            "exchange_seconds": exchange_seconds(block["device"], ranks),
        }
        for name, together in (("alone", Unexchanged(ranks.rank, ranks.world)), ("together", ranks)):
            folder = Path(run) / name
            train(short, images, folder, block, ranks=together)
            if ranks.is_main:
                first, *_, last = history.read(folder / "history.jsonl")
                found[name] = (last["images"] - first["images"]) / max(last["seconds"] - first["seconds"], 1e-9)
    return found


def exchange_seconds(device: str, ranks: distributed.Ranks) -> float:
    """Shortest time of summing as many fp32 numbers as ResNet-18 has parameters over all processes, in one piece."""
    if ranks.world == 1:
        return 0.0
    gradients = torch.ones(sum(parameter.numel() for parameter in ResNet18().parameters()), device=device)
    times = []
    for _ in range(EXCHANGES):
        synchronise(gradients.device)
        start = time.perf_counter()
        ranks.add(gradients)
        synchronise(gradients.device)
        times.append(time.perf_counter() - start)
    return min(times)


JOBS: dict[str, Job] = {"scale": measure}

if __name__ == "__main__":
    serve(JOBS)
