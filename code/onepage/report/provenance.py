"""Where a page's numbers come from, in short: its footer, the PDF's metadata, and the command that repeats it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onepage.report import facts as words
from onepage.runs import provenance


@dataclass(frozen=True)
class Task:
    """What the page needs to know of one task's run: its numbers, where they come from, and its pictures by name.

    several: seeds.json beside the run, {} where there is none.
    """

    task: str
    metrics: Mapping[str, Any]
    provenance: Mapping[str, Any]
    metrics_digest: str
    pictures: Mapping[str, Mapping[str, Any]]
    several: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seeds(self) -> list[int]:
        """The seeds that the page reports: the one shown first, then the others that were trained with its recipe."""
        shown = int(self.metrics["seed"])
        return [shown, *(seed for seed in self.several.get("seeds", []) if seed != shown)]


def distinct(tasks: Sequence[Task], show: Callable[[Task], str]) -> list[str]:
    """``show`` of each task, with the task's name in front where the two differ."""
    texts = [show(task) for task in tasks]
    if len(set(texts)) == 1:
        return texts[:1]
    return [f"{task.task} {text}" for task, text in zip(tasks, texts, strict=True)]


def command(tasks: Sequence[Task]) -> str:
    """The make line that makes these runs again; plain ``make all`` where the two differ in profile or seeds."""
    minutes = [task.metrics.get("budget_minutes", 0) for task in tasks]
    profiles = [
        task.metrics["profile"].removesuffix(f"-budget{budget:g}") for task, budget in zip(tasks, minutes, strict=True)
    ]
    settings = {(profile, *task.seeds) for profile, task in zip(profiles, tasks, strict=True)}
    if len(settings) > 1:
        return "make all"
    profile, *seeds = settings.pop()
    laid_out = ",".join(f"{budget:g}" for budget in (minutes if len(set(minutes)) > 1 else minutes[:1]))
    budgets = f" BUDGET_MIN={laid_out}" if any(minutes) else ""
    seed = f"SEED={seeds[0]}" if len(seeds) == 1 else f"SEEDS={','.join(map(str, seeds))}"
    mt = next(task.metrics for task in tasks if task.task == "mt")
    pair = "" if (mt["src"], mt["tgt"]) == ("en", "de") else f" SRC={mt['src']} TGT={mt['tgt']}"
    data = {bool(task.metrics["generated"]) for task in tasks}
    mode = {frozenset([True]): " DATA=generated", frozenset([False]): " DATA=real"}.get(frozenset(data), "")
    return f"make all PROFILE={profile}{budgets} {seed}{mode}{pair}"


def seed_words(task: Task) -> str:
    """``0, one run`` or ``0, of 0, 1, 2 (n = 3)``."""
    shown, *others = task.seeds
    if not others:
        return f"{shown}, one run"
    return f"{shown}, of {', '.join(map(str, sorted(task.seeds)))} (n = {len(task.seeds)})"


def footer(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """Where the numbers come from, in short: [{"label", "value", "column"}], the columns of the page from 2 on.

    The first column says how to repeat it.
    """
    seconds = [task.provenance.get("train", {}).get("seconds") for task in tasks]
    times = [
        f"{task.task} {'not recorded' if s is None else words.duration(s)}"
        for task, s in zip(tasks, seconds, strict=True)
    ]
    peaks = [peak for task in tasks if (peak := task.provenance.get("train", {}).get("peak_memory_bytes"))]
    hosts = list(dict.fromkeys(_host(task) for task in tasks))
    kept = ("python", "torch", "numpy", "sentencepiece", "sacrebleu")
    versions = [" ".join((k, str(v))) for k, v in tasks[0].metrics["versions"].items() if k in kept]
    memory = f"{words.number(max(peaks) / 2**30, 1)}{words.NBSP}GiB" if peaks else "not measured"
    columns = (
        {
            "Commit": "; ".join(distinct(tasks, lambda task: _commit(task.metrics))),
            "Seed": "; ".join(distinct(tasks, seed_words)),
            "Training": ", ".join(times),
            "Energy": _energy(tasks),
        },
        {"Hardware": "; ".join(hosts), "Peak memory": memory, "Versions": ", ".join(versions)},
        {
            "Recipe": _per_task(tasks, "recipe_hash"),
            "Data": _per_task(tasks, "data_digest"),
            "Metrics": ", ".join(f"{task.task} {task.metrics_digest[:10]}" for task in tasks),
        },
    )
    return [
        {"label": label, "value": value, "column": number}
        for number, rows in enumerate(columns, start=2)
        for label, value in rows.items()
    ]


def _per_task(tasks: Sequence[Task], key: str) -> str:
    return ", ".join(f"{task.task} {str(task.metrics[key])[:10]}" for task in tasks)


def _commit(metrics: Mapping[str, Any]) -> str:
    if not metrics["commit"]:
        return "none recorded"
    return str(metrics["commit"])[:10] + (" with local changes" if metrics["dirty"] else "")


def _energy(tasks: Sequence[Task]) -> str:
    """Energy of all trainings by the counters that told it for each of them: ``41.2 Wh (RAPL package-0)``."""
    told = [task.provenance.get("train", {}).get("energy_joules") or {} for task in tasks]
    names = sorted(set.intersection(*(set(joules) for joules in told)))
    if not names:
        return "not measured"
    hours = sum(joules[name] for joules in told for name in names) / 3600
    return f"{words.number(hours, 1)}{words.NBSP}Wh ({', '.join(names)})"


def _host(task: Task) -> str:
    host = task.provenance.get("host", {})
    metrics = task.metrics
    device = host.get("gpu") if metrics["device"] != "cpu" and host.get("gpu") else host.get("cpu")
    memory = host.get("memory_bytes")
    parts = [words.shorten(str(device or "not recorded"), 48)]
    if host.get("cores"):
        parts.append(f"{host['cores']} cores")
    if memory:
        parts.append(f"{words.number(memory / 2**30)}{words.NBSP}GiB")
    return ", ".join(parts) + f" ({metrics['device']}, {metrics['precision']}, {metrics['threads']} threads)"


def subject(tasks: Sequence[Task]) -> str:
    """Where both runs come from, for the PDF's metadata, in the form of the pictures'."""
    return "; ".join(provenance.short_form(task.metrics, task.metrics_digest, task.provenance) for task in tasks)
