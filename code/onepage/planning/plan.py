"""What a run will be, decided once before training: data set, profile, device, precision, threads.

Each task's plan is a makefile fragment that Make includes (and makes first where it is missing) and a JSON beside it
that stamps.py reads. Once written it stands: a later run with the same settings neither probes nor decides again.
"""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from onepage.cls.recipe import Recipe as ClsRecipe
from onepage.data import fetch
from onepage.errors import UserError
from onepage.files import read_json, write_json, write_text
from onepage.mt.decoding import Decoding
from onepage.mt.recipe import Recipe as MtRecipe
from onepage.planning import budget as budgets
from onepage.runs import provenance, stamps
from onepage.training import recipe

RECIPES: dict[str, Any] = {"cls": ClsRecipe, "mt": MtRecipe}
# tables of a recipe that its evaluation reads: no part of how it trains, nor of its hash (see stamps.EVALUATION)
TABLES: dict[str, dict[str, Any]] = {"mt": {"decoding": Decoding}}
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


def gains_from_bf16(device: str) -> bool:
    """Whether products of bfloat16 are faster here than those of float32.

    On CUDA from compute capability 8 on; on a CPU with AMX, or with AVX-512 BF16 by AMD. Intel's AVX-512 BF16 without
    AMX (older processors, or AMX kept from a virtual machine) was measured at half the rate of float32.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    fields = provenance.cpu_fields()
    flags = fields.get("flags", "").split()
    return "amx_bf16" in flags or ("avx512_bf16" in flags and fields.get("vendor_id") == "AuthenticAMD")


def auto_precision(device: str) -> str:
    """What a recipe's precision "auto" means here: "bf16" where it is the faster one, else "fp32"."""
    return "bf16" if gains_from_bf16(device) else "fp32"


def hardware(device: str) -> str:
    """The hardware that a profile may have a recipe of its own for: "cuda", "fp32", "bf16-half" or "bf16".

    "fp32": a CPU that gains nothing from bf16. "bf16-half": one that multiplies it by units of half the width (AMD's
    Zen 4, processor family 25, measured at 410 GFLOP/s on two cores, where Zen 5, family 26, has 920).
    """
    if device == "cuda":
        return "cuda"
    if not gains_from_bf16(device):
        return "fp32"
    fields = provenance.cpu_fields()
    amd = fields.get("vendor_id") == "AuthenticAMD"
    return "bf16-half" if amd and fields.get("cpu family") == "25" else "bf16"


def own_profile(path: Path) -> str:
    """The profile name of a recipe file of the user's: its runs are kept apart from all others.

    It names a folder and stands in a makefile, so only letters, digits, "-" and "_" of the file's name are kept.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)[:40]
    return f"own-{name}-{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:6]}"


def load_recipe(
    task: str, profile: str, generated: bool, file: str, threads: int, device: str = "cpu"
) -> tuple[Any, Path]:
    """The recipe of a task, from RECIPE or built in, with THREADS set if given (0: as the recipe says), and its file.

    What evaluation reads there is refused here too if it is wrong: after hours of training is late. The profile's own
    recipe for this hardware is taken where there is one.
    """
    name = f"{profile}-{hardware(device)}"
    if generated or not (recipe.PACKAGE / task / "recipes" / f"{name}.toml").exists():
        name = profile
    path = Path(file) if file else recipe.built_in(task, name, generated)
    loaded = recipe.load(RECIPES[task], path, TABLES.get(task), threads=threads or None)
    tables_of(task, path)
    return loaded, path


def tables_of(task: str, path: Path) -> dict[str, Any]:
    """What evaluation reads of a recipe file, by table."""
    return {name: recipe.load_table(kind, path, name) for name, kind in TABLES.get(task, {}).items()}


def decoding(plan: dict[str, Any]) -> Decoding:
    """How the planned run of the Transformer decodes, as its recipe says now."""
    return recipe.load_table(Decoding, stamps.REPOSITORY / plan["recipe"], "decoding")


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
    budget: float = 0,
    keep: bool = False,
    say: Any = print,
    begins: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Fetch or generate the data, decide everything else, and write ``target`` (a makefile) last; returns the plan.

    ``budget``: minutes of training that the recipe is laid out for, 0 for as long as it says. ``keep``: where
    ``target`` holds a plan already, stay with its kind of data. ``begins`` is called when the settings have been found
    good, before anything is fetched or printed.
    """
    where = resolve_device(device)
    chosen = ("full" if where == "cuda" else "quick") if profile == "auto" else profile
    if recipe_file:
        chosen = own_profile(Path(recipe_file))
    if keep and target.with_suffix(".json").exists():
        # decided before: a run that began on real data never goes on as one on generated data, or the other way
        data = "generated" if read(target)["generated"] else "real"
    # refuse a bad recipe before anything is downloaded
    load_recipe(task, chosen, data == "generated", recipe_file, threads, where)
    fetch.check_settings(task, data, src, tgt)
    begins()
    name = fetch.ensure(task, data_dir, data, mirror or None, src, tgt)
    generated = name in GENERATED
    if generated:
        src, tgt = "en", "de"
    _, path = load_recipe(task, chosen, generated, recipe_file, threads, where)
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
    if budget:
        values |= _within(budget, values, target, data_dir, say)
    write_json(target.with_suffix(".json"), values)
    lines = [
        f"{task.upper()}_{key.upper()} := {values[key]}" for key in ("set", "folder", "profile", "src", "tgt", "device")
    ]
    write_text(
        target, "# what this run is; written by the data stage, delete it to decide anew\n" + "\n".join(lines) + "\n"
    )
    return values


def _within(minutes: float, values: dict[str, Any], target: Path, data_dir: Path, say: Any) -> dict[str, Any]:
    """What a training-time budget changes in the plan ``values``: profile and recipe, with the rates it rests on.

    The recipe made for the same budget, recipe and hardware earlier is kept: a machine is measured once. What only
    evaluation reads is always that of the recipe it is made from.
    """
    basis, block = settings_of(values, 0)
    tables = tables_of(values["task"], stamps.REPOSITORY / values["recipe"])
    file = target.with_suffix(".toml")
    made_for = {
        "minutes": minutes,
        "recipe": recipe.as_dict(basis),
        "machine": [provenance.cpu_model(), provenance.cores()],
    }
    made_for |= {key: values[key] for key in ("set", "src", "tgt", "device", "auto_precision", "versions")}
    changes = {"profile": f"{values['profile']}-budget{minutes:g}", "recipe": str(file.resolve()), "threads": 0}
    earlier = read(target) if file.exists() and target.with_suffix(".json").exists() else {}
    comment = f"{values['profile']}, laid out for {minutes:g} minutes of training"
    if earlier.get("made_for") == made_for:
        if tables_of(values["task"], file) != tables:
            kept, _ = load_recipe(values["task"], values["profile"], values["generated"], str(file), 0)
            budgets.write_recipe(file, kept, comment, tables)
        return changes | {key: earlier[key] for key in ("budget_minutes", "rates", "made_for")}
    loaded = budgets.load_data(values["task"], data_dir, values["set"], values["src"], values["tgt"])
    fitted, rates = budgets.lay_out(values["task"], basis, loaded, block, minutes, say)
    budgets.write_recipe(file, fitted, comment, tables)
    return changes | {"budget_minutes": minutes, "rates": rates, "made_for": made_for}


def data_digest(task: str, data_dir: Path, name: str, src: str, tgt: str) -> str:
    """The digest of the data set as its loader verifies it."""
    return budgets.load_data(task, data_dir, name, src, tgt).digest


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
    if "budget_minutes" in plan:
        block["budget_minutes"] = plan["budget_minutes"]
    if plan["task"] == "mt":
        block |= {"src": plan["src"], "tgt": plan["tgt"]}
    return recipe_now, block


def read(path: Path) -> dict[str, Any]:
    """A plan written by ``decide``; ``path`` is the makefile or the JSON beside it."""
    return read_json(Path(path).with_suffix(".json"))
