"""``make bench-scale``: the training of ResNet-18 by 1, 2, 4 ... processes, with one global batch, on what is there.

On GPUs each process adds one; on a CPU all share its cores, so that only the cost of sharing shows. Numbers of
processes take turns, each time newly started. The exchange's share of an update is what an update takes longer with it
than without: the part that does not hide behind the backward pass.
"""

import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from onepage.benchmarks import process, results, turns
from onepage.cls.resnet import PARAMETERS
from onepage.data.images import load_images
from onepage.errors import UserError
from onepage.planning import plan as plans
from onepage.runs import provenance
from onepage.training.locking import cpu_training_lock

WORKER = "onepage.benchmarks.scale_worker"
UPDATES = {"cpu": 8, "cuda": 100}  # measured each time
SIZE = 32  # pixels


def run(
    plan: Path, data_dir: Path, seed: int, out: Path, repeats: int = 3, updates: int | None = None, most: int = 0
) -> dict[str, Any]:
    """Measure each number of processes; returns the result as it is kept. Raises UserError when it cannot."""
    made = plans.read(plan)
    recipe, block = plans.settings_of(made, seed)
    images = load_images(data_dir, made["set"])
    if images.digest != made["data_digest"]:
        raise UserError(f"the data in {data_dir} is not what was planned; delete {plan} and run make again")
    device = block["device"]
    numbers = counts(most or (torch.cuda.device_count() if device == "cuda" else provenance.cores()))
    updates = updates or UPDATES[device]
    result = results.about(device) | {
        "task": "cls",
        "data": {"set": images.name, "generated": images.generated, "digest": images.digest},
        "settings": {"repeats": repeats, "updates": updates, "image_size": SIZE, "seed": seed},
        "recipe": {"profile": made["profile"], "batch_size": recipe.batch_size, "batch_norm": recipe.batch_norm},
        "precision": block["precision"],
        "gradient_bytes": 4 * PARAMETERS,
        "samples": {str(number): [] for number in numbers},
    }
    _, say = turns.opened_log(out, "scale", result, "images")
    data = {"dir": str(data_dir.resolve()), "set": images.name}
    common = {"data": data, "plan": str(plan.resolve()), "seed": seed, "size": SIZE, "updates": updates}
    with cpu_training_lock(device, say), process.stoppable():
        for turn in range(repeats):
            for number in numbers:
                threads = recipe.threads if device == "cuda" else max(1, provenance.cores() // number)
                with tempfile.TemporaryDirectory(prefix="onepage-bench-", ignore_cleanup_errors=True) as folder:
                    given = common | {"threads": threads, "run": folder}
                    found = process.call(WORKER, "scale", given, Path(folder), processes=number)
                result["samples"][str(number)].append(found)
                rate = results.digits(found["together"])
                say(f"turn {turn + 1}/{repeats}  {number} process{'es' if number > 1 else ''}: {rate} images/s")
    result["finished"] = provenance.now()
    return result


def counts(most: int) -> list[int]:
    """1, 2, 4 ... up to ``most``, and that itself."""
    return sorted({most, *(2**power for power in range(most.bit_length()) if 2**power <= most)})


def summarise(result: Mapping[str, Any]) -> list[dict[str, float]]:
    """For each number of processes the medians: rate, efficiency, share of the exchange, bandwidth of it alone.

    Efficiency is the rate over that of one process, for each GPU; on a CPU, where all have the same cores, over it.
    """
    rows, gradient_bytes = [], result["gradient_bytes"]
    base = statistics.median(sample["together"] for sample in result["samples"]["1"])
    for key, samples in result["samples"].items():
        number = int(key)
        rate = statistics.median(sample["together"] for sample in samples)
        seconds = statistics.median(sample["exchange_seconds"] for sample in samples)
        shares = [1 - sample["together"] / sample["alone"] for sample in samples]
        rows.append(
            {
                "processes": number,
                "threads": samples[0]["threads"],
                "rate": rate,
                "efficiency": rate / base / (number if result["device"] == "cuda" else 1),
                "exchange_share": statistics.median(shares) if number > 1 else 0.0,
                "exchange_seconds": seconds,
                "update_seconds": result["recipe"]["batch_size"] / rate,
                # what a ring sends and receives for it at each process (Patarasuk & Yuan 2009)
                "bandwidth": 2 * (number - 1) / number * gradient_bytes / seconds if seconds else 0.0,
            }
        )
    return rows


def markdown(result: Mapping[str, Any]) -> str:
    """The table of a result, and a line on where it was measured."""
    heads = ("processes", "threads each", "images/s", "efficiency", "update", "exchange in it", "exchange alone")
    rows = []
    for row, samples in zip(summarise(result), result["samples"].values(), strict=True):
        several = row["processes"] > 1
        rows.append(
            (
                f"{row['processes']:g}",
                f"{row['threads']:g}",
                results.rate([sample["together"] for sample in samples]),
                f"{row['efficiency']:.0%}".replace("%", " %"),
                f"{1000 * row['update_seconds']:,.0f} ms",
                f"{max(0.0, row['exchange_share']):.1%}".replace("%", " %") if several else "",
                f"{1000 * row['exchange_seconds']:,.1f} ms, {row['bandwidth'] / 1e9:.1f} GB/s" if several else "",
            )
        )
    settings, recipe = result["settings"], result["recipe"]
    about = (
        f"{results.hardware(result)}; {results.origin(result)}. ResNet-18 at {settings['image_size']} px, "
        f"{result['precision']}, batch {recipe['batch_size']} over all processes, BatchNorm {recipe['batch_norm']}. "
        f"Rates: median (least to greatest) of {settings['repeats']} turns over {settings['updates']} updates"
        + (f"; the machine was busy (load {result['load_before']})." if turns.busy(result) else ".")
    )
    return results.markdown(heads, rows) + "\n\n" + about
