"""Results of benchmarks: repeats made into one figure, the JSON they are kept in, and their place in the README.

What is kept is what was measured, every repeat of it; medians, ratios and words are made from that when they are
shown, so that the table in the README can be held to the files. A second benchmark needs a ``rows`` and a ``notes`` of
its own and a pair of marks in the README.
"""

import os
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onepage.benchmarks import machine
from onepage.errors import UserError
from onepage.files import read_json, write_json, write_text
from onepage.runs import provenance

FORM = 1  # of the JSON; raised when what it holds changes
FOLDER = Path("report/bench")
Cells = tuple[str, ...]


def about(device: str) -> dict[str, Any]:
    """Where and when: hardware, versions, commit, command, and how busy the machine was before."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "form": FORM,
        "device": device,
        "hardware": provenance.host(),
        "versions": provenance.versions(),
        "started": provenance.now(),
        "load_before": load,
        "command": provenance.command(),
        **provenance.commit(),
    }


def name_of(kind: str, result: Mapping[str, Any]) -> str:
    """Name of a result's files: what was measured, the hardware, and that its data were generated where they were."""
    generated = "generated-" if result.get("data", {}).get("generated") else ""
    return f"{generated}{kind}-{machine.hardware_slug(result['hardware'], result['device'])}"


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest of some repeats, and their number."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values), "n": len(values)}


def digits(value: float, figures: int = 3) -> str:
    """A positive number to so many significant figures, with separators of thousands: 1,230; 84.2; 0.0512."""
    if value <= 0:
        return "0"
    places = figures - len(str(int(value))) if value >= 1 else figures
    return f"{round(value, places):,.{max(0, places)}f}"


def rate(values: Sequence[float]) -> str:
    """Repeats as "median (least to greatest)"."""
    found = spread(values)
    if found["n"] == 1:
        return digits(found["median"])
    return f"{digits(found['median'])} ({digits(found['low'])} to {digits(found['high'])})"


def duration(seconds: float) -> str:
    """Seconds in words, to about a hundredth: 4.2 s, 12 min 35 s, 2 h 10 min."""
    if seconds < 60:
        return f"{digits(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def hardware(result: Mapping[str, Any]) -> str:
    """One line on where it was measured."""
    host, versions = result["hardware"], result["versions"]
    cores = f"{host['cores']} core{'s' if host['cores'] > 1 else ''} of {host['cpu']}"
    place = f"{host['gpu']}, {cores}" if result["device"] == "cuda" else cores
    return f"{place}, {host['memory_bytes'] / 2**30:.0f} GiB, {host['system']}, torch {versions['torch']}"


def origin(result: Mapping[str, Any]) -> str:
    """One line on when, and of which commit."""
    commit = "outside git" if not result["commit"] else f"commit {result['commit'][:7]}"
    return f"{result['started'][:10]}, {commit}{', with local changes' if result['dirty'] else ''}"


def write(out: Path, name: str, result: Mapping[str, Any]) -> Path:
    """Write ``out``/report/bench/``name``.json in one move; returns its path."""
    path = out / FOLDER / f"{name}.json"
    write_json(path, result)
    return path


def read_all(out: Path, kind: str) -> list[dict[str, Any]]:
    """Every kept result of a kind ("cls"), in order of its file's name; raises UserError for another form."""
    found = []
    for path in sorted((out / FOLDER).glob(f"{kind}-*.json")):
        result = read_json(path)
        if not isinstance(result, dict) or result.get("form") != FORM:
            raise UserError(f"{path} is of another version of this program; delete it and run: make bench-{kind}")
        found.append(result)
    return found


def markdown(heads: Cells, rows: Sequence[Cells]) -> str:
    """A Markdown table; ``heads`` may be empty texts."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return re.sub(r" {2,}", " ", "\n".join(lines))


def section(results: Sequence[Mapping[str, Any]], show: Callable[[Mapping[str, Any]], str], kind: str) -> str:
    """What stands between a benchmark's marks in the README: each result, or that there is none."""
    if not results:
        return f"Not measured yet: `make bench-{kind}` measures it, and writes its table here.\n"
    return "\n\n".join(show(result) for result in results) + "\n"


def marks(kind: str) -> tuple[str, str]:
    """The lines around a benchmark's section."""
    return f"<!-- bench-{kind}:begin -->\n", f"<!-- bench-{kind}:end -->\n"


def section_of(text: str, kind: str) -> str:
    """What stands between the marks now; raises UserError where they are not."""
    begin, end = marks(kind)
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise UserError(f"the README has no place for this table; put back the lines {begin.strip()} and {end.strip()}")
    return text.split(begin)[1].split(end)[0]


def put_section(readme: Path, kind: str, content: str) -> None:
    """Replace what stands between the marks of ``readme`` in one move."""
    text = readme.read_text(encoding="utf-8")
    old, (begin, end) = section_of(text, kind), marks(kind)
    write_text(readme, text.replace(begin + old + end, begin + content + end))
