"""Where a result comes from: commit, library versions, host, times, peak memory.

``identity_block`` is deterministic and goes into run.json and metrics.json; times and host go to provenance.json.
"""

import datetime
import json
import os
import platform
import resource
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from onepage.files import write_json

PACKAGES = ("torch", "numpy", "sentencepiece", "sacrebleu", "matplotlib")


def repository() -> Path:
    """The folder that holds code/, Makefile and report/."""
    return Path(__file__).resolve().parents[3]


def commit() -> dict[str, Any]:
    """Commit, its time (seconds since 1970) and whether tracked files differ from it; all None outside git."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(repository()), *arguments], capture_output=True, text=True, timeout=20, check=True
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    head = git("rev-parse", "HEAD")
    if not head or git("rev-parse", "--show-toplevel") != str(repository()):
        return {"commit": None, "commit_time": None, "dirty": None}
    when = git("show", "-s", "--format=%ct", "HEAD")
    status = git("status", "--porcelain", "--untracked-files=no")
    return {"commit": head, "commit_time": int(when) if when else None, "dirty": bool(status)}


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide numbers."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    found["torch"] = str(torch.__version__)
    return found


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def host() -> dict[str, Any]:
    """CPU, cores, memory, GPU and system of this machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "cpu": cpu_model(),
        "cores": cores(),
        "memory_bytes": memory,
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
    }


def peak_memory_bytes() -> int:
    """Peak resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def now() -> str:
    """The time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def record(run: Path, stage: str, values: dict[str, Any]) -> None:
    """Set the ``stage`` part of the run's provenance.json and refresh its host part."""
    path = run / "provenance.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    content["host"] = host()
    content[stage] = values
    write_json(path, content)
