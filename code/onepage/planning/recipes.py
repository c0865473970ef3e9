"""The recipe of a task: built in for its profile and this hardware, or a file of the user's own."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from onepage.runs import provenance
from onepage.tasks import Task
from onepage.training import recipe


@dataclass(frozen=True)
class Resolved:
    recipe: Any
    evaluation: dict[str, dict[str, Any]]


def gains_from_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    fields = provenance.cpu_fields()
    flags = fields.get("flags", "").split()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and fields.get("vendor_id") == "AuthenticAMD")


def auto_precision(device: str) -> str:
    return "bf16" if gains_from_bf16(device) else "fp32"


def hardware(device: str) -> str:
    if device == "cuda":
        return "cuda"
    if not gains_from_bf16(device):
        return "fp32"
    fields = provenance.cpu_fields()
    amd = fields.get("vendor_id") == "AuthenticAMD"
    return "bf16-half" if amd and fields.get("cpu family") == "25" else "bf16"


def own_profile(path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)[:40]
    return f"own-{name}-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:6]}"


def resolve(task: Task, profile: str, *, hardware: str, generated: bool, file: str = "", threads: int = 0) -> Resolved:
    name = f"{profile}-{hardware}"
    if generated or not (recipe.PACKAGE / task.name / "recipes" / f"{name}.toml").exists():
        name = profile
    path = Path(file) if file else recipe.built_in(task.name, name, generated)
    kind = task.module("recipe")
    tables = getattr(kind, "EVALUATION", {})
    loaded = recipe.load(kind.Recipe, path, tables, threads=threads or None)
    found = {name: recipe.as_dict(recipe.load_table(table, path, name)) for name, table in tables.items()}
    return Resolved(loaded, found)
