"""Results of benchmarks: their JSON files, and numbers as text.

The files hold every measured repeat. Medians, ratios and texts are made from them for display, so that tests can
compare the tables in documents with the files.
"""

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onepage.errors import UserError
from onepage.files import read_json, write_json
from onepage.runs import provenance

FORM = 1  # version of the JSON's format
FOLDER = Path("report/bench")
BUSY = 0.5  # load average from which the machine counts as busy
Cells = tuple[str, ...]


def about(device: str, data: Any) -> dict[str, Any]:
    """The circumstances of a result: data set, hardware, versions, commit, command and time."""
    return {
        "form": FORM,
        "device": device,
        "data": {key: getattr(data, key) for key in ("generated", "digest", "src", "tgt") if hasattr(data, key)}
        | {"set": data.name},
        "hardware": provenance.host(),
        "versions": provenance.versions(),
        "started": provenance.now(),
        "command": provenance.command(),
        **provenance.commit(),
    }


def busy(result: Mapping[str, Any]) -> bool:
    """Whether other programs ran when the benchmark began."""
    return bool(result["load_before"] > BUSY)


def cpu(host: Mapping[str, Any]) -> str:
    """The processor of ``provenance.host()``: "AMD EPYC (Zen 5)".

    AMD's names do not distinguish generations. Family 26 is Zen 5; of family 25, Zen 4 has bf16 and Zen 3 does not.
    """
    identifier = str(host.get("cpu_id"))
    family = re.search(r"AuthenticAMD, cpu family (25|26)\b", identifier)
    old = "Zen 4" if "avx512_bf16" in identifier else "Zen 3"
    return f"{host['cpu']} ({'Zen 5' if family[1] == '26' else old})" if family else str(host["cpu"])


def cores(host: Mapping[str, Any]) -> str:
    """Number and kind of the cores: "2 cores of AMD EPYC (Zen 5)"."""
    return f"{host['cores']} core{'s' if host['cores'] > 1 else ''} of {cpu(host)}"


def hardware_slug(host: Mapping[str, Any], device: str) -> str:
    """A short name for files, from ``provenance.host()``: "2-cores-amd-epyc-zen-5", "nvidia-h200"."""
    name = host["gpu"] if device == "cuda" else f"{host['cores']} cores {cpu(host)}"
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", str(name).lower())).strip("-")[:60]


def name_of(kind: str, result: Mapping[str, Any]) -> str:
    """Name of a result's files: whether its data were generated, what was measured, and the hardware."""
    generated = "generated-" if result["data"]["generated"] else ""
    return f"{generated}{kind}-{hardware_slug(result['hardware'], result['device'])}"


def write(out: Path, kind: str, result: Mapping[str, Any]) -> Path:
    """Write ``out``/report/bench/KIND-HARDWARE.json in one move; returns its path."""
    path = out / FOLDER / f"{name_of(kind, result)}.json"
    write_json(path, result)
    return path


def read_all(out: Path, kind: str) -> list[dict[str, Any]]:
    """Every stored result of a kind ("cls"), in the order of file names; raises UserError for another format."""
    found = []
    for path in sorted((out / FOLDER).glob(f"{kind}-*.json")):
        result = read_json(path)
        if not isinstance(result, dict) or result.get("form") != FORM:
            raise UserError(
                f"{path} was written by another version of this program; delete it and run: make bench-{kind}"
            )
        found.append(result)
    return found


def time_to(rows: Sequence[Mapping[str, Any]], target: float) -> float | None:
    """Seconds of training until the first validation with ``target`` or more; None if none of ``rows`` has it."""
    return next((float(row["seconds"]) for row in rows if row["val_accuracy"] >= target), None)


# words


def digits(value: float, figures: int = 3) -> str:
    """A positive number with some significant digits and thousands separators: 1,230; 84.2; 0.0512."""
    if value <= 0:
        return "0"
    places = figures - len(str(int(value))) if value >= 1 else figures
    return f"{round(value, places):,.{max(0, places)}f}"


def rate(values: Sequence[float]) -> str:
    """Repeats as "median (minimum to maximum)"."""
    return f"{digits(statistics.median(values))} ({digits(min(values))} to {digits(max(values))})"


def duration(seconds: float) -> str:
    """A time as text, to about one per cent: 4.2 s, 12 min 35 s, 2 h 10 min."""
    if seconds < 60:
        return f"{digits(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def arrival(rows: Sequence[Mapping[str, Any]], target: float) -> str:
    """``time_to`` as text: 4 min 1 s, or the training time and the best validation accuracy."""
    seconds = time_to(rows, target)
    if seconds is not None:
        return duration(seconds)
    if not rows:
        return "not measured"
    best = max(row["val_accuracy"] for row in rows)
    return f"not reached in {duration(rows[-1]['seconds'])} (best: {best * 100:.1f} %)"


def hardware(result: Mapping[str, Any]) -> str:
    """One line on the hardware."""
    host, versions = result["hardware"], result["versions"]
    place = f"{host['gpu']}, {cores(host)}" if result["device"] == "cuda" else cores(host)
    return f"{place}, {host['memory_bytes'] / 2**30:.0f} GiB, {host['system']}, torch {versions['torch']}"


def notes(result: Mapping[str, Any], sentences: Sequence[str]) -> str:
    """The paragraph below a table: hardware, date and commit; the sentences; a warning if the machine was busy."""
    commit = f"commit {result['commit'][:7]}" if result["commit"] else "commit unknown"
    changes = ", with local changes" if result["dirty"] else ""
    text = [f"{hardware(result)}; {result['started'][:10]}, {commit}{changes}.", *sentences]
    if busy(result):
        text.append(f"**The machine was busy (load {result['load_before']}) when this began.**")
    return " ".join(text)


def markdown(heads: Cells, rows: Sequence[Cells]) -> str:
    """A Markdown table; ``heads`` may be empty texts."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return re.sub(r" {2,}", " ", "\n".join(lines))
