"""What this machine has and lacks for ``make all``, as one table. Nothing is changed, downloaded or trained.

Each row is "ok", a "note" (``make all`` works, with the limit that the row names) or "missing" (``make all`` would
stop); notes and missing rows have a remedy. Unreachable real data is a note, because DATA=auto then uses generated
sets. torch is imported by its own row, where a missing or broken one gives a row and not a traceback.
"""

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from onepage import tasks
from onepage.data import sources
from onepage.errors import UserError
from onepage.runs import provenance, settings
from onepage.terminal import environment
from onepage.terminal.options import settings_argument

if TYPE_CHECKING:
    from onepage.data.fetch import SourceStatus

MEMORY_GB = 6.0  # upper limit for a training run of the quick profile
DISK_GB = 1.5  # both real sets with their archives, the runs and the pictures of one seed
PROBE_SECONDS = 10.0  # for all sources of one set together

STYLES = {"ok": "green", "note": "yellow", "missing": "bold red"}


@dataclass(frozen=True)
class Row:
    """One line of the table. ``state``: "ok", "note" or "missing"; ``remedy`` is empty only for "ok"."""

    what: str
    state: str
    found: str
    remedy: str = ""


@click.command()
@settings_argument
def doctor(words: tuple[str, ...]) -> None:
    """Check this machine: Python, torch, cores, arithmetic, memory, disk, TeX, data sources; each ok, or with a remedy.

    SETTING is NAME=value, as for make (see make help).
    """
    sys.exit(run(settings.resolve(settings.parse(words))))


COMMANDS = (doctor,)


def run(values: Mapping[str, str]) -> int:
    """Print the table; returns 0 if everything that ``make all`` needs with these settings is there, otherwise 1."""
    console, data_dir, mirror = Console(), Path(values["DATA_DIR"]), values["DATA_MIRROR"] or None
    rows = [python_row(), torch_row(values["DEVICE"]), cores_row(), arithmetic_row(), memory_row()]
    rows += [*disk_rows(data_dir, Path(values["OUT"])), pdf_row(values["PDF_ENGINE"])]
    rows += [Row("variable", "ok", str(variable)) for variable in environment.overridden]
    with console.status("Asking the data sources"):  # silent where there is no terminal
        for name in dict.fromkeys(task.real_set for task in tasks.every()):  # two tasks may share a set
            rows.append(data_row(name, data_dir, mirror, values["SRC"], values["TGT"]))
    console.print(table(rows))
    missing = [row.what for row in rows if row.state == "missing"]
    if missing:
        console.print(Text(f"make all cannot run yet: {', '.join(missing)}"))
        return 1
    console.print(Text("make all can run."))
    return 0


def table(rows: list[Row]) -> Table:
    """The rows as a table, wrapped to the terminal's width; the state is a word, not only a colour."""
    result = Table(box=box.SIMPLE, show_edge=False, pad_edge=False, expand=False)
    result.add_column("what", overflow="fold")
    result.add_column("state", no_wrap=True)
    result.add_column("found, and the remedy", overflow="fold")
    for row in rows:
        text = Text(row.found)  # Text, not markup: a path may hold square brackets
        if row.remedy:
            text.append(f"\nremedy: {row.remedy}")
        result.add_row(Text(row.what), Text(row.state, style=STYLES[row.state]), text)
    return result


def python_row() -> Row:
    """The running Python."""
    return Row("Python", "ok", f"{platform.python_version()}, {sys.executable}")


def torch_row(device: str) -> Row:
    """torch, and the device that a run with DEVICE=``device`` would use."""
    try:
        import torch
    except ImportError as error:
        return Row("torch", "missing", f"not installed ({error})", "make setup")
    except (OSError, ValueError) as error:  # a shared library does not load; the type depends on the torch version
        return Row("torch", "missing", f"cannot be loaded ({error})", "remove .venv, then make setup")
    problem = provenance.gpu_problem()
    if problem is None:
        used = "cpu" if device == "cpu" else f"cuda ({torch.cuda.get_device_name(0)})"
        return Row("torch", "ok", f"{torch.__version__}, device {used}")
    remedy = "make setup TORCH=cuda"
    if torch.version.cuda:  # the build is right: the cause is the driver, the GPU, or CUDA_VISIBLE_DEVICES
        remedy = "look at nvidia-smi; install a newer NVIDIA driver; or use DEVICE=cpu, make setup TORCH=cpu"
    if device == "cuda":
        why = "no GPU that it can use" if problem == provenance.NO_GPU else problem
        why = why if torch.version.cuda else "a build without CUDA"
        return Row("torch", "missing", f"{torch.__version__}, {why}, but DEVICE=cuda", remedy)
    found = f"{torch.__version__}, device cpu"
    if device == "cpu" or (problem == provenance.NO_GPU and not _nvidia_gpu_is_here()):
        return Row("torch", "ok", found)
    why = "though there is an NVIDIA GPU" if problem == provenance.NO_GPU else problem
    return Row("torch", "note", f"{found}, {why}", remedy)


def cores_row() -> Row:
    """Physical cores that this process may use: the threads of a training run, unless THREADS says otherwise."""
    count = provenance.physical_cores()
    found = f"{count}; training uses as many threads; for the exact scores of the references, set THREADS=2"
    if count < 2:
        return Row("cores", "note", found, "the times in docs/results.md are for two cores: allow twice as long")
    return Row("cores", "ok", found)


def arithmetic_row() -> Row:
    """Precision of training on this CPU, which selects the recipe."""
    from onepage.planning.recipes import auto_precision, hardware

    precision, kind = auto_precision("cpu"), hardware("cpu")
    why = "faster than fp32 here"
    if precision == "fp32":
        why = "bf16 is not known to be faster here"
    elif kind == "bf16-half":
        why = "faster than fp32, but at half the rate of newer CPUs"
    if kind != "bf16":
        why += f"; PROFILE=quick uses shorter recipes ([on.{kind}] in quick.toml), BUDGET_MIN makes longer ones"
    return Row("arithmetic", "ok", f"{precision} on the CPU: {why}")


def memory_row() -> Row:
    """Memory of the machine, or the limit of the container if it is lower."""
    total = total_memory()
    found = f"{total / 1e9:.1f} GB; a run takes at most {MEMORY_GB:.0f} GB"
    if total < MEMORY_GB * 1e9:
        return Row("memory", "note", found, "close other programs, and run without -j")
    return Row("memory", "ok", found)


def total_memory() -> int:
    """Bytes of memory that this process can use."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:  # the limit of a container; "max" where there is none
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdigit() else total


def disk_rows(data_dir: Path, out: Path) -> list[Row]:
    """Free space for the data and for the runs; one row if both are on one disk."""
    places = {_existing(out).stat().st_dev: out}
    places.setdefault(_existing(data_dir).stat().st_dev, data_dir)
    rows = []
    for place in places.values():
        free = shutil.disk_usage(_existing(place)).free
        found = f"{free / 1e9:.1f} GB free in {place}, at most {DISK_GB} GB needed"
        if not os.access(_existing(place), os.W_OK):
            rows.append(Row("disk", "missing", f"{place} cannot be written", "choose another with OUT or DATA_DIR"))
        elif free < DISK_GB * 1e9:
            rows.append(Row("disk", "missing", found, "free space, or choose another place with OUT or DATA_DIR"))
        else:
            rows.append(Row("disk", "ok", found))
    return rows


def pdf_row(pdf_engine: str) -> Row:
    """The program that typesets the page."""
    from onepage.report.pdf import resolve_engine

    try:
        engine = resolve_engine(pdf_engine)
    except UserError as error:
        return Row("PDF", "missing", str(error), "make setup (typst), or make setup-tex (LaTeX, as root)")
    names = {"latex": "LaTeX (pdflatex, latexmk)", "typst": "typst (the wheel)"}
    found = f"PDF_ENGINE={pdf_engine} uses {names[engine]}"
    if engine == "typst" and pdf_engine == "auto":
        found += "; LaTeX is missing or incomplete (make setup-tex installs it, as root)"
    return Row("PDF", "ok", found)


def data_row(name: str, data_dir: Path, mirror: str | None, src: str, tgt: str) -> Row:
    """A real set: all its possible sources, and the remedy if none answers."""
    from onepage.data.fetch import source_status

    found = sources.get(name)
    what = f"{found.label} {src}-{tgt}" if found.options else found.label
    try:
        states = source_status(name, data_dir, mirror, src, tgt, PROBE_SECONDS)
    except UserError as error:
        return Row(what, "missing", str(error), "correct SRC, TGT or DATA_MIRROR (make help)")
    lines = "\n".join(map(_source_line, states))
    if any(source.state != "not reachable" for source in states):
        return Row(what, "ok", lines)
    remedy = "DATA_MIRROR=<folder or URL> that holds the files (docs/usage.md); DATA=auto uses a generated set"
    return Row(what, "note", lines, remedy)


def _source_line(source: "SourceStatus") -> str:
    if source.where.startswith(("http://", "https://")):  # the name is the host; a whole address would fill lines
        return f"{source.name}: {source.state}, {source.detail}"
    if source.state == "not reachable":  # a folder is not "reached"
        return f"{source.name} {source.where}: {source.detail}"
    return f"{source.name} {source.where}: {source.state}, {source.detail}"


def _existing(path: Path) -> Path:
    # A path that does not exist yet has the disk and the permissions of its nearest parent.
    path = Path(path).absolute()
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _nvidia_gpu_is_here() -> bool:
    folder = Path("/proc/driver/nvidia/gpus")
    return folder.is_dir() and any(folder.iterdir())
