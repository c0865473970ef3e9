"""What a run will be, decided once before training: data set, profile, device, precision, threads.

Each task's plan is a makefile fragment that Make includes (and makes first where it is missing) and a JSON beside it
that stamps.py reads. Once written it stands: a later run with the same settings neither probes nor decides again.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import torch

from onepage import stamps
from onepage.cls.train import Recipe as ClsRecipe
from onepage.data import fetch, images, translation
from onepage.errors import UserError
from onepage.files import read_json, write_json, write_text
from onepage.mt.train import Recipe as MtRecipe
from onepage.training import provenance, recipe

RECIPES: dict[str, Any] = {"cls": ClsRecipe, "mt": MtRecipe}
GENERATED = ("toy-images", "toy-translation")


def resolve_device(wanted: str) -> str:
    """ "cpu" or "cuda" from auto, cpu or cuda; raises UserError when CUDA is asked for and absent."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise UserError(f"DEVICE={wanted} is not known; choose auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "DEVICE=cuda was asked for, but torch sees no CUDA GPU here; use DEVICE=cpu, or see: make doctor"
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def multiplies_bf16(device: str) -> bool:
    """Whether the hardware multiplies bfloat16 natively (CUDA compute capability 8; AVX-512 BF16 or AMX)."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def auto_precision(device: str) -> str:
    """What a recipe's precision "auto" means here: "bf16" where the hardware multiplies it natively, else "fp32"."""
    return "bf16" if multiplies_bf16(device) else "fp32"


def own_profile(path: Path) -> str:
    """The profile name of a recipe file of the user's: its runs are kept apart from all others.

    It names a folder and stands in a makefile, so only letters, digits, "-" and "_" of the file's name are kept.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)[:40]
    return f"own-{name}-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:6]}"


def load_recipe(task: str, profile: str, generated: bool, file: str, threads: int) -> tuple[Any, Path]:
    """The recipe of a task, from RECIPE or built in, with THREADS set if given (0: as the recipe says)."""
    path = Path(file) if file else recipe.built_in(task, profile, generated)
    return recipe.load(RECIPES[task], path, threads=threads or None), path


def decide(
    task: str,
    target: Path,
    *,
    data_dir: Path,
    data: str,
    mirror: str,
    src: str,
    tgt: str,
    profile: str,
    device: str,
    threads: int,
    recipe_file: str,
    keep: bool = False,
) -> dict[str, Any]:
    """Fetch or generate the data, decide everything else, and write ``target`` (a makefile) last; returns the plan.

    ``keep``: where ``target`` holds a plan already, stay with its kind of data.
    """
    where = resolve_device(device)
    chosen = ("full" if where == "cuda" else "quick") if profile == "auto" else profile
    if recipe_file:
        chosen = own_profile(Path(recipe_file))
    if keep and target.with_suffix(".json").exists():
        # decided before: a run that began on real data never goes on as one on generated data, or the other way
        data = "generated" if read(target)["generated"] else "real"
    # refuse a bad recipe before anything is downloaded
    load_recipe(task, chosen, data == "generated", recipe_file, threads)
    name = fetch.ensure(task, data_dir, data, mirror or None, src, tgt)
    generated = name in GENERATED
    if generated:
        src, tgt = "en", "de"
    _, path = load_recipe(task, chosen, generated, recipe_file, threads)
    digest = data_digest(task, data_dir, name, src, tgt)
    values = {
        "task": task,
        "set": name,
        "generated": generated,
        "src": src,
        "tgt": tgt,
        "folder": name if task == "cls" else f"{name}-{src}-{tgt}",
        "profile": chosen,
        "recipe": str(path.relative_to(stamps.REPOSITORY) if not recipe_file else path.resolve()),
        "device": where,
        "auto_precision": auto_precision(where),
        "threads": threads,
        "data_digest": digest,
        "versions": {k: v for k, v in provenance.versions().items() if k in ("torch", "numpy", "sentencepiece")},
    }
    write_json(target.with_suffix(".json"), values)
    lines = [f"{task.upper()}_{key.upper()} := {values[key]}" for key in ("set", "folder", "profile", "src", "tgt")]
    write_text(
        target, "# what this run is; written by the data stage, delete it to decide anew\n" + "\n".join(lines) + "\n"
    )
    return values


def data_digest(task: str, data_dir: Path, name: str, src: str, tgt: str) -> str:
    """The digest of the data set as its loader verifies it."""
    if task == "cls":
        return images.load_images(data_dir, name).digest
    return translation.load_translation(data_dir, name, src, tgt).digest


def settings_of(plan: dict[str, Any], seed: int) -> tuple[Any, dict[str, Any]]:
    """The recipe of a planned run, and the part of run.json that identifies the run.

    Threads and precision come from the recipe as it stands now, unless THREADS was given or the recipe says "auto".
    """
    file = stamps.REPOSITORY / plan["recipe"]  # an absolute path stays as it is
    recipe_now, _ = load_recipe(plan["task"], plan["profile"], plan["generated"], str(file), plan["threads"])
    keys = ("task", "set", "generated", "profile", "data_digest", "device")
    block = {key: plan[key] for key in keys} | {"libraries": plan["versions"], "seed": seed}
    block["threads"] = recipe_now.threads
    block["precision"] = plan["auto_precision"] if recipe_now.precision == "auto" else recipe_now.precision
    if plan["task"] == "mt":
        block |= {"src": plan["src"], "tgt": plan["tgt"]}
    return recipe_now, block


def read(path: Path) -> dict[str, Any]:
    """A plan written by ``decide``; ``path`` is the makefile or the JSON beside it."""
    return read_json(Path(path).with_suffix(".json"))
