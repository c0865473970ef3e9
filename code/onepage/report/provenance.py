"""Where a page's numbers come from, in short: its footer, the PDF's metadata, and the command that repeats it."""

from collections.abc import Sequence
from typing import Any

from onepage.report.inputs import Shown, distinct, each
from onepage.runs import words
from onepage.runs.provenance import processor, short_form
from onepage.runs.settings import SETTINGS

_VERSIONS = ("python", "torch", "numpy", "sentencepiece", "sacrebleu")  # on the page; the pictures carry all


def command(runs: Sequence[Shown]) -> str:
    """The make line that makes these runs again; plain ``make all`` where they differ in profile or seeds."""
    minutes = [run.metrics.get("budget_minutes", 0) for run in runs]
    profiles = [
        run.metrics["profile"].removesuffix(f"-budget{budget:g}") for run, budget in zip(runs, minutes, strict=True)
    ]
    settings = {(profile, *run.seeds) for profile, run in zip(profiles, runs, strict=True)}
    if len(settings) > 1:
        return "make all"
    profile, *seeds = settings.pop()
    parts = ["make all", f"PROFILE={profile}"]
    if any(minutes):
        budgets = minutes if len(set(minutes)) > 1 else minutes[:1]
        parts.append("BUDGET_MIN=" + ",".join(f"{budget:g}" for budget in budgets))
    parts.append(f"SEED={seeds[0]}" if len(seeds) == 1 else f"SEEDS={','.join(map(str, seeds))}")
    if len({run.generated for run in runs}) == 1:
        parts.append(f"DATA={'generated' if runs[0].generated else 'real'}")
    threads = {run.metrics["threads"] for run in runs if run.metrics["device"] == "cpu"}
    parts += [f"THREADS={threads.pop()}"] if len(threads) == 1 else []
    return " ".join(parts + [option for run in runs for option in _options(run)])


def _options(run: Shown) -> list[str]:
    """``["SRC=de", "TGT=en"]``: the settings that distinguish the task's data sets; [] if all are defaults."""
    values = {key.upper(): run.metrics[key] for key in run.task.options}
    defaults = {setting.name: setting.default for setting in SETTINGS}
    if all(defaults[name] == value for name, value in values.items()):
        return []
    return [f"{name}={value}" for name, value in values.items()]


def _seeds(run: Shown) -> str:
    """``0, one run`` or ``0, of 0, 1, 2 (n = 3)``."""
    shown, *others = run.seeds
    if not others:
        return f"{shown}, one run"
    return f"{shown}, of {', '.join(map(str, sorted(run.seeds)))} (n = {len(run.seeds)})"


def footer(runs: Sequence[Shown], no_gpu: str = "") -> list[dict[str, Any]]:
    """Where the numbers come from, in short: [{"label", "value", "column"}], the columns of the page from 2 on.

    The first column says how to repeat it. Values that no run measured are left out. ``no_gpu``: the remark on GPUs if
    none trained a run.
    """
    training = [run.provenance.get("train", {}) for run in runs]
    peaks = [peak for part in training if (peak := part.get("peak_memory_bytes"))]
    memory = f"{words.number(max(peaks) / 2**30, 1)}{words.NBSP}GiB" if peaks else "not measured"
    on_cpus = all(run.metrics["device"] == "cpu" for run in runs)
    versions = runs[0].metrics["versions"]
    columns = (
        {
            "Profile": " and ".join(distinct(runs, lambda run: str(run.metrics["profile"]))),
            "Commit": "; ".join(distinct(runs, lambda run: words.commit(run.metrics, "none recorded"))),
            "Seed": "; ".join(distinct(runs, _seeds)),
            "Energy": _energy(training),
        },
        {
            "Hardware": "; ".join(dict.fromkeys(_host(run) for run in runs)),
            "Peak memory": "; ".join(filter(None, (memory, no_gpu if on_cpus else ""))),
            "Versions": ", ".join(f"{name} {versions[name]}" for name in versions if name in _VERSIONS),
        },
        {
            "Recipe": ", ".join(each(runs, lambda run: str(run.metrics["recipe_hash"])[:10])),
            "Data": ", ".join(each(runs, lambda run: str(run.metrics["data_digest"])[:10])),
            "Metrics": ", ".join(each(runs, lambda run: run.metrics_digest[:10])),
        },
    )
    return [
        {"label": label, "value": value, "column": number}
        for number, rows in enumerate(columns, start=2)
        for label, value in rows.items()
        if value
    ]


def achieved_with(runs: Sequence[Shown]) -> dict[str, str]:
    """``training_time`` of all runs together and ``hardware``, for the title; {} where a run does not record them, or
    they were trained on different hardware."""
    seconds = [run.provenance.get("train", {}).get("seconds") for run in runs]
    machines = {_machine(run) for run in runs}
    if None in seconds or len(machines) > 1 or "" in machines:
        return {}
    return {"training_time": words.duration(sum(seconds)), "hardware": machines.pop()}


def _machine(run: Shown) -> str:
    """``two CPU cores``, or the GPU's name; "" where it is not recorded."""
    host = run.provenance.get("host", {})
    if run.metrics["device"] != "cpu":
        return words.shorten(str(host.get("gpu") or ""), 32)
    cores = min(host.get("cores") or 0, run.metrics["threads"])
    return f"{words.COUNTS.get(cores, cores)} CPU core{'' if cores == 1 else 's'}" if cores else ""


def training_time(run: Shown) -> str:
    """``6 min 53 s``."""
    seconds = run.provenance.get("train", {}).get("seconds")
    return "not recorded" if seconds is None else words.duration(seconds)


def _energy(training: Sequence[Any]) -> str:
    """Energy of all training runs, by the counters that every training read: ``41.2 Wh (GPU-0)``; "" for none."""
    told = [part.get("energy_joules") or {} for part in training]
    names = sorted(set.intersection(*(set(joules) for joules in told)))
    hours = sum(joules[name] for joules in told for name in names) / 3600
    return f"{words.number(hours, 1)}{words.NBSP}Wh ({', '.join(names)})" if names else ""


def _host(run: Shown) -> str:
    host, metrics = run.provenance.get("host", {}), run.metrics
    parts = [words.shorten(processor(metrics, run.provenance), 48)]
    if host.get("cores"):
        parts.append(f"{host['cores']} cores")
    if host.get("memory_bytes"):
        parts.append(f"{words.number(host['memory_bytes'] / 2**30)}{words.NBSP}GiB")
    return ", ".join(parts) + f" ({metrics['device']}, {metrics['precision']}, {metrics['threads']} threads)"


def subject(runs: Sequence[Shown]) -> str:
    """Where the runs come from, for the metadata of the page, in the form of the pictures'."""
    return "; ".join(short_form(run.metrics, run.metrics_digest, run.provenance) for run in runs)
