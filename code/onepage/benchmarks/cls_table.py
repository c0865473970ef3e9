"""The result of ``make bench-cls`` in words: one table, for the terminal and for the README."""

from collections.abc import Mapping
from typing import Any

from onepage.benchmarks import results, turns
from onepage.benchmarks.cls import SAME_SIZE, summarise
from onepage.benchmarks.results import Cells, digits, duration, rate

HEADS = ("", "plain loop", "ours", "ratio")


def rows(result: Mapping[str, Any]) -> list[Cells]:
    """(what, plain loop, ours, ratio) of everything measured, ratios of medians."""
    found = summarise(result)
    plain, ours, ratios = found["contenders"]["plain"], found["contenders"][f"ours-{SAME_SIZE}"], found["ratios"]
    recipe, size = result["ours"]["recipe"], f"{SAME_SIZE} px"
    table: list[Cells] = [
        (
            "arithmetic and batch",
            f"fp32, {result['plain']['batch_size']}",
            f"{result['ours']['precision']}, {recipe['batch_size']}",
            "",
        )
    ]
    for what, label in (("training", "training, whole updates"), ("forward", "forward, inference")):
        table.append((f"{label}, {size}, images/s", rate(plain[what]), rate(ours[what]), f"{ratios[what]:.1f}"))
        of_peak = "share of the matrix-product peak"
        table.append((f"{what}, {of_peak}", _share(found, plain, what), _share(found, ours, what), ""))
    memory = [f"{row['memory'] / 1e9:.1f} GB" for row in (plain, ours)]
    table.append((f"peak memory, {size}", *memory, f"{ours['memory'] / plain['memory']:.1f}"))
    for name, row in found["contenders"].items():
        if name.startswith("ours-") and row["image_size"] != SAME_SIZE:
            table.append((f"training, {row['image_size']} px, images/s", "", rate(row["training"]), ""))
    times = found["time_to"]
    ratio = f"{digits(ratios['time_to'], 2)}, " if "time_to" in ratios else ""
    at_least = f"{ratio}at least {digits(ratios['time_to_at_least'], 2)}" if "time_to_at_least" in ratios else ""
    target = f"time to {result['settings']['target'] * 100:g} % of the validation images"
    table.append((target, _time(times["plain"]), _time(times["ours"]), at_least))
    return table


def _share(found: Mapping[str, Any], row: Mapping[str, Any], what: str) -> str:
    peak = found["peaks"][row["precision"]]
    return f"{row[f'{what}_share'] * 100:.0f} % of {digits(peak / 1e9)} GFLOP/s"


def _time(found: Mapping[str, Any]) -> str:
    if found["how"] == "reached":
        return duration(found["high"])
    if found["how"] == "projected":
        until = "no end in sight" if found["high"] is None else duration(found["high"])
        return f"projected {duration(found['seconds'])} ({duration(found['low'])} to {until})"
    return f"not reached in {duration(found['low'])}"


def notes(result: Mapping[str, Any]) -> str:
    """How the figures came about, in a paragraph."""
    settings, curves = result["settings"], result["curves"]
    source = curves["ours"].get("from_run")
    which = f"recipe {source['profile']}, seed {source['seed']}" if source else f"recipe {result['ours']['profile']}"
    readings = len(curves["plain"]["rows"])
    trained = curves["plain"]["rows"][-1]["seconds"] if readings else 0.0
    bandwidth = max(sample["copy_bytes_per_second"] for sample in result["samples"]["machine"])
    text = [
        f"{results.hardware(result)}; {results.origin(result)}.",
        f"Rates: median (least to greatest) of {settings['repeats']} turns over {settings['images']:,} images, the",
        f"contenders in turn. Copying in memory: {digits(bandwidth / 1e9)} GB/s.",
        f"Time: one run each (n = 1) on {result['training_images']:,} images, read on {result['validation_images']:,}.",
        f"Ours ({which}) counts its readings; the plain loop's clock stands still while it is read.",
    ]
    how = summarise(result)["time_to"]["plain"]["how"]
    if how != "reached":
        text.append(f"The plain loop trained for {duration(trained)};")
    if how == "projected":
        text.append(
            f"what lies beyond is projected from its own {readings} readings: a power law of the error in images seen; "
            "in brackets from a logarithmic curve, which falls faster, with the bootstrap of both."
        )
    elif how == "unknown":
        text.append(f"its {readings} readings are too few, or do not fall enough, for a projection.")
    if turns.busy(result):
        text.append(f"**The machine was busy (load {result['load_before']}) when this began.**")
    return " ".join(text)


def markdown(result: Mapping[str, Any]) -> str:
    """One result for the README."""
    return f"{results.markdown(HEADS, rows(result))}\n\n{notes(result)}"


def show(result: Mapping[str, Any]) -> None:
    """Print the table and its notes to the terminal."""
    from onepage.verification.verify import print_rows

    heads = ("what", *HEADS[1:])
    print_rows("ResNet-18 by a plain loop and by ours", heads, rows(result))
    print(notes(result).replace("**", ""))
