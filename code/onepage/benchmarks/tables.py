"""The stored results of the benchmarks as text: Markdown tables, with notes on the measurement.

They are shown on the terminal, and docs/write.py puts them into the documents.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from onepage.benchmarks import cls, gpu, mt, ours, results, scale
from onepage.benchmarks.peers import PEERS
from onepage.benchmarks.results import Cells, digits, rate

NAMES = {"ours": "ours", "uncached": "ours without cache", "joeynmt": "JoeyNMT", "ctranslate2": "CTranslate2 fp32"}
LOOPS = ("", "plain loop", "ours", "ratio")
Result = Mapping[str, Any]


def _share(share: float, peak: float) -> str:
    return f"{share * 100:.0f} % of {digits(peak / 1e9)} GFLOP/s"


def _memory(plain: Result, ours: Result) -> Cells:
    return (*(f"{row['memory'] / 1e9:.1f} GB" for row in (plain, ours)), f"{ours['memory'] / plain['memory']:.1f}")


def cls_rows(result: Result) -> list[Cells]:
    """(quantity, plain loop, ours, ratio) for ResNet-18, with ratios of medians."""
    found, size = cls.summarise(result), f"{cls.SAME_SIZE} px"
    plain, ours, ratios = found["contenders"]["plain"], found["contenders"][f"ours-{cls.SAME_SIZE}"], found["ratios"]
    precision, batch = result["ours"]["precision"], result["ours"]["recipe"]["batch_size"]
    table: list[Cells] = [
        ("arithmetic and batch", f"fp32, {result['plain']['batch_size']}", f"{precision}, {batch}", "")
    ]
    for what, label in (("training", "training, whole updates"), ("forward", "forward, inference")):
        table.append((f"{label}, {size}, images/s", rate(plain[what]), rate(ours[what]), f"{ratios[what]:.1f}"))
        shares = (_share(row[f"{what}_share"], found["peaks"][row["precision"]]) for row in (plain, ours))
        table.append((f"{what}, share of the matrix-product peak", *shares, ""))
    table.append((f"peak memory, {size}", *_memory(plain, ours)))
    for name, row in found["contenders"].items():
        if name != "plain" and row is not ours:
            how = _how(name, row["threads"])
            table.append((f"training, {row['image_size']} px{how}, images/s", "", rate(row["training"]), ""))
    target = result["settings"]["target"]
    times = (results.arrival(result["curves"][name]["rows"], target) for name in ("plain", "ours"))
    ratio = digits(ratios["time_to"], 2) if "time_to" in ratios else ""
    if ratio and not found["time_to"]["plain"]:
        ratio = f"at least {math.floor(10 * ratios['time_to']) / 10:g}"  # a bound: rounded down
    return [*table, (f"time to {target * 100:g} % validation accuracy", *times, ratio)]


def _how(name: str, threads: int) -> str:
    """What distinguishes a contender from our training as it is."""
    if name == "busy":
        return ", beside a busy process"
    return f", {threads} thread{'s' if threads > 1 else ''}" if name.startswith("threads-") else ""


def cls_notes(result: Result) -> str:
    """Notes on the measurement of ResNet-18."""
    settings, curves = result["settings"], result["curves"]
    source = curves["ours"].get("from_run")
    recipe = f"recipe {source['profile']}, seed {source['seed']}" if source else f"recipe {result['ours']['profile']}"
    text = [
        f"Rates: median (minimum to maximum) of {settings['repeats']} repeats over {settings['images']:,} images; the",
        "contenders alternate.",
        f"Time: one run each (n = 1), trained on {result['training_images']:,} images, validated on "
        f"{result['validation_images']:,}. Our time ({recipe}) includes validation; that of the plain loop does not.",
    ]
    return results.notes(result, text)


def mt_heads(result: Result) -> Cells:
    """The contenders, with the versions of other programs."""
    versions = {name: found.get("version", "") for name, found in result["peers"].items()}
    return ("", *(f"{NAMES[name]} {versions.get(name, '')}".strip() for name in mt.CONTENDERS))


def mt_rows(result: Result) -> list[Cells]:
    """(quantity, a cell for each contender) for translation; the first cell says why one was not measured."""
    found, agreed = mt.summarise(result), result["agreement"]
    measured = found["translation"]

    def cells(label: str, words: Callable[[str], str], ours: bool = True) -> Cells:
        shown = [name for name in measured if ours or name != "ours"]
        return (label, *(words(name) if name in shown else "" for name in mt.CONTENDERS))

    why = {name: peer["missing"] for name, peer in result["peers"].items() if "missing" in peer}
    first = cells("sentences/s", lambda name: rate(measured[name]["sentences"]))
    names = ("", *mt.CONTENDERS)
    same = f"outputs identical to ours, of {_sentences(result):,}"
    return [
        tuple(cell or why.get(name, "") for cell, name in zip(first, names, strict=True)),
        cells("pieces/s", lambda name: rate(measured[name]["tokens"])),
        cells("our sentences/s divided by this column's", lambda name: digits(found["ratios"][name], 2), ours=False),
        cells("peak memory of the process", lambda name: f"{measured[name]['memory'] / 1e6:,.0f} MB"),
        cells("memory added by translation", lambda name: f"{measured[name]['added'] / 1e6:,.0f} MB"),
        cells(same, lambda name: f"{agreed[name]['same']:,}", ours=False),
        cells("BLEU against our outputs", lambda name: f"{agreed[name]['bleu_against_ours']:.1f}", ours=False),
        cells("BLEU on validation", lambda name: f"{agreed[name]['bleu']:.2f}"),
    ]


def _sentences(result: Result) -> int:
    return int(result["samples"]["ours"][0]["sentences"])


def mt_training_rows(result: Result) -> list[Cells]:
    """(quantity, plain loop, ours, ratio) for the training loops of the Transformer."""
    found = mt.summarise(result)
    plain, ours = found["training"]["plain"], found["training"]["our"]
    optimisers = result["plain"]["optimiser"], result["ours"]["recipe"]["optimiser"]
    shares = (_share(row["share"], found["peaks"][row["precision"]]) for row in (plain, ours))
    how = (f"{row['precision']}, {name}" for row, name in zip((plain, ours), optimisers, strict=True))
    return [
        ("arithmetic, optimiser", *how, ""),
        ("target tokens/s", rate(plain["tokens"]), rate(ours["tokens"]), f"{found['ratios']['training']:.1f}"),
        ("share of the matrix-product peak", *shares, ""),
        ("peak memory", *_memory(plain, ours)),
        *(
            (f"target tokens/s{_how(name, row['threads'])}", "", rate(row["tokens"]), "")
            for name, row in found["training"].items()
            if name not in ("plain", "our")
        ),
    ]


def mt_notes(result: Result) -> str:
    """Notes on the measurement of the Transformer."""
    settings, model, recipe = result["settings"], result["model"], result["ours"]["recipe"]
    text = [
        f"Rates: median (minimum to maximum) of {settings['repeats']} repeats on all cores; the contenders alternate.",
        f"Translation: {_sentences(result):,} validation sentences ({result['data']['src']} to "
        f"{result['data']['tgt']}), beam {settings['beam_size']}, length penalty {settings['length_penalty']:g}, by",
        f"one model (recipe {model['profile']}, seed {model['seed']}). Our search and JoeyNMT's use batches of "
        f"{settings['batch_tokens']:,} positions, sorted by length; CTranslate2 uses its fastest batch size.",
    ]
    for name in PEERS:
        found = result["peers"][name]
        if "missing" in found:
            text.append(f"{NAMES[name]}: {found['missing']}.")
        elif found["same_model"]:
            text.append(
                f"With our weights, {NAMES[name]} and our program assign the same log-probability to each of "
                f"{found['compared']} reference translations (to within {found['largest_difference']:.0e} nats); "
                f"{NAMES[name]}'s outputs differ from ours because its search differs."
            )
        else:
            text.append(
                f"**{NAMES[name]} is not the same model: log-probabilities differ by up to "
                f"{found['largest_difference']:.2g} nats.**"
            )
    text.append(
        f"Training: {recipe['updates']} updates of {recipe['batch_tokens']:,} target positions, d = "
        f"{recipe['d_model']}, {recipe['encoder_layers']} + {recipe['decoder_layers']} layers, "
        f"{recipe['vocabulary']:,} pieces, dropout {recipe['dropout']:g}; the share counts only linear layers."
    )
    return results.notes(result, text)


def scale_rows(result: Result) -> list[Cells]:
    """A row for each number of processes."""
    rows: list[Cells] = []
    for row, samples in zip(scale.summarise(result), result["samples"].values(), strict=True):
        share, seconds = max(0.0, row["exchange_share"]), row["exchange_seconds"]
        exchange = (f"{100 * share:.1f} %", f"{1000 * seconds:,.1f} ms, {row['bandwidth'] / 1e9:.1f} GB/s")
        rows.append(
            (
                f"{row['processes']:g}",
                f"{row['threads']:g}",
                rate([sample["together"] for sample in samples]),
                f"{100 * row['efficiency']:.0f} %",
                f"{1000 * row['update_seconds']:,.0f} ms",
                *(exchange if row["processes"] > 1 else ("", "")),
            )
        )
    return rows


def scale_notes(result: Result) -> str:
    """Notes on the measurement of several processes."""
    settings, recipe = result["settings"], result["recipe"]
    text = [
        f"ResNet-18 at {settings['image_size']} px, {result['precision']}, batch {recipe['batch_size']} over all "
        f"processes, BatchNorm {recipe['batch_norm']}.",
        f"Rates: median (minimum to maximum) of {settings['repeats']} repeats over {settings['updates']} updates.",
    ]
    return results.notes(result, text)


def gpu_heads(result: Result) -> Cells:
    """The heads; kernels are counted on a GPU, operators on a CPU."""
    return ("", "ms per update", f"{gpu.EVENTS[result['device']][2]} per update", "share of the matrix-product peak")


def gpu_rows(result: Result) -> list[Cells]:
    """A row for each way to train, then their gains, and the time to the target if it was measured."""
    found, recipes = gpu.summarise(result), result["recipes"]
    rows: list[Cells] = []
    for name, row in found["rows"].items():
        task, given = name.partition("-")[0], result["contenders"][name]
        if task == "cls":
            work = f"ResNet-18, {given['size']} px, batch {recipes[task]['batch_size']}"
        else:
            work = f"the Transformer, {recipes[task]['batch_tokens']:,} target positions"
        share = _share(row["share"], found["peak"])
        rows.append((f"{work}{WAYS[given['how']]}", rate(row["ms"]), f"{result['launches'][name]:,.0f}", share))
    for what, ratio in found["ratios"].items():
        rows.append((f"speed-up by {what}", f"{ratio:.2f}", "", ""))
    if "curve" in result:
        target = result["settings"]["target"]
        seconds = results.arrival(result["curve"]["rows"], target)
        rows.append((f"ResNet-18, time to {target * 100:g} % validation accuracy", seconds, "", ""))
    return rows


def gpu_notes(result: Result) -> str:
    """Notes on the measurement of updates."""
    settings, recipes = result["settings"], result["recipes"]
    profiles = " and ".join(dict.fromkeys(str(recipe["profile"]) for recipe in recipes.values()))
    counted = settings["updates"] * (ours.PARTS - 1)
    text = [
        f"Recipe {profiles}, {result['precision']}. Median (minimum to maximum) of {settings['repeats']} repeats over "
        f"{counted:,} updates; the contenders alternate. The share counts only convolutions and linear layers.",
    ]
    return results.notes(result, text)


WAYS = {"recipe": "", "eager": ", without CUDA graphs", "fastest": ", without CUDA graphs or determinism"}
SCALE_HEADS = ("processes", "threads each", "images/s", "efficiency", "update", "share of exchange", "exchange alone")
MARKDOWN: dict[str, Callable[[Result], str]] = {
    "cls": lambda result: f"{results.markdown(LOOPS, cls_rows(result))}\n\n{cls_notes(result)}",
    "mt": lambda result: (
        f"{results.markdown(mt_heads(result), mt_rows(result))}\n\n"
        f"{results.markdown(LOOPS, mt_training_rows(result))}\n\n{mt_notes(result)}"
    ),
    "gpu": lambda result: f"{results.markdown(gpu_heads(result), gpu_rows(result))}\n\n{gpu_notes(result)}",
    "scale": lambda result: f"{results.markdown(SCALE_HEADS, scale_rows(result))}\n\n{scale_notes(result)}",
}
"""{kind: a kept result in Markdown}"""
