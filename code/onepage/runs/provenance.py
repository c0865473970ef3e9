"""Provenance: what made a result. Commit, library versions, command, machine, times, memory; in full and in one line.

run.json and metrics.json hold what is deterministic: commit, recipe, data, seed, threads, versions. provenance.json
holds what differs between repetitions: command, host, times, memory, energy. The short form is one line in the metadata
of every picture and of the page. It names the run and the digest of its metrics, and summarises the rest for a reader
who has only the file.

Standard library only. If torch is loaded, it is asked for the GPU and its exact version.
"""

import contextlib
import datetime
import json
import math
import os
import platform
import re
import resource
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.files import HOME, read_json, write_json
from onepage.runs import stamps

NOT_RECORDED = "not recorded"
GIT_SECONDS = 60
NO_GPU = "torch sees no CUDA GPU here"
PACKAGES = ("torch", "numpy", "sentencepiece", "sacrebleu", "matplotlib")
# of /proc/cpuinfo, x86 and ARM: which processor this is, and the instructions that decide which kernels torch takes
_CPU_FIELDS = ("vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant")
_INSTRUCTIONS = ["avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8"]
_INSTRUCTIONS += ["asimd", "asimddp", "sve", "sve2", "bf16", "i8mm"]
_DIGEST = re.compile(r"[0-9a-f]{64}")
# what ``label`` gives: no part begins with a dot
_RUN = re.compile(rf"(?:{'|'.join(map(re.escape, tasks.TASKS))})/(?!\.)[^/\0]+/(?!\.)[^/\0]+/seed\d+")


# --- the program and this machine ------------------------------------------------------------------------------------


def commit() -> dict[str, Any]:
    """Commit, its time (seconds since 1970) and whether tracked files differ from it; all None where unknown."""
    try:  # plumbing: no setting of git changes what it prints
        head = _git("rev-list", "--max-count=1", "--timestamp", "HEAD", "--")
        status = _git("status", "--porcelain", "--untracked-files=no", "--ignore-submodules")
    except (OSError, subprocess.SubprocessError):
        head = status = ""
    found = re.fullmatch(r"(\d+) ([0-9a-f]{40,64})\n", head)
    if not found:
        return {"commit": None, "commit_time": None, "dirty": None}
    return {"commit": found[2], "commit_time": int(found[1]), "dirty": bool(status)}


def _git(*arguments: str) -> str:
    """The output of git for this repository; raises OSError or SubprocessError if it fails.

    git gets the folder instead of searching for it, because a repository around an unpacked archive is not this one.
    A repository of another user is read too, as its Makefile was.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    command = ["git", f"--git-dir={HOME / '.git'}", f"--work-tree={HOME}", "-c", "core.fsmonitor=", *arguments]
    return subprocess.run(
        command, cwd=HOME, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_SECONDS,
        check=True, encoding="utf-8", errors="replace",
    ).stdout  # fmt: skip


def _torch() -> Any:
    """The module torch where something has imported it, else None."""
    return sys.modules.get("torch")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    if (torch := _torch()) is not None:
        found["torch"] = str(torch.__version__)
    return found


def cpu_fields() -> dict[str, str]:
    """The first processor of /proc/cpuinfo, {field: value}; {} where there is no such file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), " ".join(value.split()))
    return fields


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    return cpu_fields().get("model name") or platform.processor() or platform.machine()


def cpu_id() -> str | None:
    """An identifier of the kind of processor, more precise than its name; None if the system does not say."""
    fields = cpu_fields()
    known = [f"{name} {fields[name]}" for name in _CPU_FIELDS if name in fields]
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return ", ".join(known + [flag for flag in _INSTRUCTIONS if flag in flags]) or None


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def physical_cores(most: int = 16, system: Path = Path("/sys")) -> int:
    """Physical cores that this process may use: those of its affinity, within the CPU quota of its control group.

    ``most``: upper limit, because the small batches of both training runs do not divide well among more threads. If the
    system does not say which processors share a core, each counts as one.
    """
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    siblings = set()
    for cpu in usable:
        path = system / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        siblings.add(path.read_text(encoding="ascii").strip() if path.is_file() else str(cpu))
    path = system / "fs/cgroup/cpu.max"
    quota, _, period = (path.read_text(encoding="ascii").strip() if path.is_file() else "max").partition(" ")
    share = math.ceil(int(quota) / int(period)) if quota.isdigit() else len(siblings)
    return max(1, min(len(siblings), share, most))


def host() -> dict[str, Any]:
    """CPU (its name, and what identifies its kind), cores, memory, GPU and system of this machine."""
    torch = _torch()
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {
        "cpu": cpu_model(),
        "cpu_id": cpu_id(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
    }


def peak_memory_bytes() -> int:
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def peak_gpu_memory_bytes() -> int | None:
    """Peak memory that this process held on its GPU so far; None where it used none."""
    torch = _torch()
    return torch.cuda.max_memory_allocated() if torch is not None and torch.cuda.is_initialized() else None


def gpu_problem() -> str | None:
    """Why torch cannot compute on a CUDA GPU here (``NO_GPU``: it sees none); None if it can. Imports torch.

    A test computation decides. It alone detects an old driver, a GPU that torch has no code for, and a GPU that fails.
    """
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            if torch.cuda.is_available():
                torch.ones(1, device="cuda").sum().item()
                return None
            why = str(said[0].message).partition(". ")[0] if said else ""
        except torch.OutOfMemoryError:
            return None
        except RuntimeError as error:
            why = (str(error).splitlines() or ["RuntimeError"])[0]
    return f"torch cannot use the GPU ({why:.120})" if why else NO_GPU


def gpu_uuid() -> str | None:
    """The driver's identifier of the GPU in use (``GPU-...``); None if torch does not say."""
    torch = _torch()
    if torch is None or not torch.cuda.is_available():
        return None
    uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
    return f"GPU-{uuid}" if uuid else None


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def command() -> str:
    """This process's command line, with paths outside the repository shortened: results name no private folders."""
    program = Path(sys.argv[0])
    ours = program.name == "__main__.py" and program.parent.name == "onepage"
    words = ["python", "-m", "onepage"] if ours else [program.name]
    return shlex.join(words + [_shortened(argument) for argument in sys.argv[1:]])


def _shortened(argument: str) -> str:
    path = Path(argument)
    if not path.is_absolute():
        return argument
    return str(path.relative_to(HOME)) if path.is_relative_to(HOME) else f".../{path.name}"


# --- provenance.json -------------------------------------------------------------------------------------------------


class Stopwatch:
    """Start, end, duration, peak memory and command of one stage, for its part of provenance.json."""

    def __init__(self) -> None:
        self.started = now()
        self._clock = time.monotonic()

    def record(self, run: Path, stage: str) -> None:
        """Write what was measured since the start, and a digest of the stage's code."""
        task = read_json(run / "run.json")["task"]
        values = {
            "started": self.started,
            "finished": now(),
            "seconds": round(time.monotonic() - self._clock, 1),
            "peak_memory_bytes": peak_memory_bytes(),
            "peak_gpu_memory_bytes": peak_gpu_memory_bytes(),
            "command": command(),
            "program": stamps.program(stage, task),
        }
        record(run, stage, values)


def record(run: Path, stage: str, values: dict[str, Any]) -> None:
    """Set the ``stage`` part of the run's provenance.json.

    ``host`` is the machine that trained; a stage that ran on another machine has its own ``host``.
    """
    path = run / "provenance.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    here = host()
    if stage == "train" or "host" not in content:
        content["host"] = here
    elif content["host"] != here:
        values = values | {"host": here}
    content[stage] = values
    write_json(path, content)


# --- the short form --------------------------------------------------------------------------------------------------


def label(metrics: Mapping[str, Any]) -> str:
    """The run as its path under runs/ names it: ``mt/multi30k-en-de/quick/seed0``."""
    return f"{metrics['task']}/{tasks.of(metrics).folder(metrics)}/{metrics['profile']}/seed{metrics['seed']}"


def processor(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """The model of the GPU or CPU that trained, as provenance.json has it."""
    host = provenance.get("host") or {}
    name = host.get("gpu") if metrics["device"] != "cpu" and host.get("gpu") else host.get("cpu")
    return str(name or NOT_RECORDED)


def short_form(metrics: Mapping[str, Any], digest: str, provenance: Mapping[str, Any]) -> str:
    """One line of fields ``name value`` with "; " between them.

    ``digest``, the SHA-256 of metrics.json, is printed in full; recipe and data with their first twelve digits.
    """
    versions = ", ".join(f"{name} {version}" for name, version in sorted(metrics["versions"].items()))
    fields = [
        f"run {label(metrics)}",
        f"commit {metrics['commit'] or 'unknown'}{' (with local changes)' if metrics['dirty'] else ''}",
        f"recipe {metrics['recipe_hash'][:12]}",
        f"data {metrics['data_digest'][:12]}",
        f"seed {metrics['seed']}",
        f"metrics {digest}",
        f"hardware {processor(metrics, provenance).replace(';', ',')}",
        f"arithmetic {metrics['device']} {metrics['precision']} {metrics['threads']} threads"
        + (f" {metrics['processes']} processes" if metrics.get("processes") else ""),
        f"versions {versions}",
    ]
    return "; ".join(fields + (["generated data"] if metrics["generated"] else []))


def parse(text: str) -> list[dict[str, str]]:
    """The fields of each short form in ``text``, {name: value}; [] where there is none.

    A page holds one for each task, joined by "; "; each begins with its field ``run``. Those whose run or digest has
    another form are ignored: a name from a file becomes a path below runs/, and must not lead elsewhere.
    """
    found: list[dict[str, str]] = []
    for field in text.split("; "):
        name, _, value = field.partition(" ")
        if name == "run":
            found.append({})
        if found:
            found[-1][name] = value
    return [
        fields for fields in found if _RUN.fullmatch(fields["run"]) and _DIGEST.fullmatch(fields.get("metrics", ""))
    ]
