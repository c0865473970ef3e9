"""The recipe of a run, from PROFILE, the hardware and the kind of data, or from the user's own file.

A task has one file per profile, ``<task>/recipes/<profile>.toml``. Its tables ``[on.cuda]``, ``[on.generated]`` and so
on override values on some hardware or on generated data. Generated data are small, so their overrides replace those of
the hardware. The user's own file has no overrides.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from onepage.errors import UserError
from onepage.runs import provenance
from onepage.tasks import Task
from onepage.training import recipe as recipes

PACKAGE = Path(__file__).resolve().parent.parent
OVERRIDES = "on"
HARDWARE = ("bf16", "bf16-half", "fp32", "cuda")
"""Kinds of hardware; recipes are written for the first, and override values for the others (see ``hardware``)."""
GENERATED = "generated"


def resolve(
    task: Task, profile: str, *, hardware: str, generated: bool, file: str | Path | None = None, threads: int = 0
) -> tuple[Any, dict[str, dict[str, Any]]]:
    """(the recipe of ``task`` and ``profile``, or of the user's ``file``; what evaluation alone reads of it).

    The latter has defaults filled in, {"decoding": {...}}.
    ``threads``: THREADS; 0 for the recipe's own or, if it has none, the physical cores.
    Raises UserError with the file, the key and the expected value. Keys of evaluation are checked too, because an error
    after hours of training would be late.
    """
    path = Path(file) if file else built_in(task, profile)
    values = recipes.read(path)
    if file and OVERRIDES in values:  # a copy of a built-in one
        raise UserError(f"{path}: only built-in recipes have tables [{OVERRIDES}....]; delete them from yours")
    if not file:
        values = overridden(values, GENERATED if generated else hardware)
    module = task.module("recipe")
    tables = {name: values.pop(name, {}) for name in module.EVALUATION}
    for name, kind in module.EVALUATION.items():
        for key in [field.name for field in fields(kind) if field.name in values]:
            raise UserError(f"{path}: {key!r} belongs in the table [{name}], below all other keys")
    values["threads"] = threads or values.get("threads", provenance.physical_cores())
    recipe = recipes.from_values(module.Recipe, values, str(path), tuple(tables))
    evaluation = {}
    for name, kind in module.EVALUATION.items():
        where = f"{path}: {name}"
        evaluation[name] = recipes.as_dict(recipes.from_values(kind, recipes.table(tables[name], where), where))
    return recipe, evaluation


def profiles(task: Task) -> list[str]:
    """The profiles that a task has a recipe for."""
    return sorted(file.stem for file in (PACKAGE / task.name / "recipes").glob("*.toml"))


def built_in(task: Task, profile: str) -> Path:
    """The file of a task's profile; raises UserError, with the names of all profiles, if there is none."""
    if profile not in profiles(task):  # a known name, not a path, because it also names a folder
        raise UserError(f"no recipe {profile!r} for {task.name}; PROFILE is one of: {', '.join(profiles(task))}")
    return PACKAGE / task.name / "recipes" / f"{profile}.toml"


def overridden(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The values of a built-in recipe, overridden by those of its table ``[on.<kind>]``, tables key by key."""
    merged = dict(values)
    for key, value in merged.pop(OVERRIDES, {}).get(kind, {}).items():
        merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    return merged


def own_profile(path: Path) -> str:
    """The profile name for the user's own recipe file, which keeps its runs apart from all others.

    It becomes the name of a folder and part of a makefile: only letters, digits, "-" and "_" of the file's name remain.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)[:40]
    return f"own-{name}-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:6]}"


def gains_from_bf16(device: str) -> bool:
    """Whether products of bfloat16 are faster here than those of float32.

    Yes on CUDA from compute capability 8 on, on a CPU with AMX, and on AMD's CPUs with AVX-512 BF16. Intel's AVX-512
    BF16 without AMX (older processors, or virtual machines without access to AMX) was measured at half the rate of
    float32.
    """
    if device == "cuda":
        import torch

        return torch.cuda.is_bf16_supported(including_emulation=False)
    cpu = provenance.cpu_fields()
    flags = cpu.get("flags", "").split()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and cpu.get("vendor_id") == "AuthenticAMD")


def auto_precision(device: str) -> str:
    """The meaning of precision "auto" on this machine: "bf16" if it is faster, otherwise "fp32"."""
    return "bf16" if gains_from_bf16(device) else "fp32"


def hardware(device: str) -> str:
    """The kind of hardware that a profile may have overrides for: "cuda", "fp32", "bf16-half" or "bf16".

    "fp32": a CPU that gains nothing from bf16. "bf16-half": a CPU whose bf16 units have half the width (AMD's Zen 4,
    processor family 25, measured at 410 GFLOP/s on two cores; Zen 5, family 26, has 920).
    """
    if device == "cuda":
        return "cuda"
    if not gains_from_bf16(device):
        return "fp32"
    cpu = provenance.cpu_fields()
    zen4 = cpu.get("vendor_id") == "AuthenticAMD" and cpu.get("cpu family") == "25"
    return "bf16-half" if zen4 else "bf16"
