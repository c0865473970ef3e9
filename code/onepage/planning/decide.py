"""Decide what a run will be, once, before training: data set, recipe, device, precision, threads.

The plan of a task is ``OUT/runs/.plan/<settings>.json``; ``<settings>.mk`` beside it, written last, marks it as
complete. ``runs/graph.py`` reads it each time and gives each run folder its part (see ``runs/plan.py``). With the same
settings, the plan is not decided again. ``asked`` lists the sources that did not serve the real set; a plan that fell
back to generated data is made again when there is another source.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch  # noqa: F401  (where it is loaded, provenance asks it for its version)

from onepage import data, tasks
from onepage.data import fetch, sources
from onepage.errors import UserError
from onepage.files import read_json, write_json, write_text
from onepage.planning import recipes
from onepage.runs import graph, provenance, settings
from onepage.runs import plan as run_plan
from onepage.runs.fingerprint import Fingerprints
from onepage.tasks import Task
from onepage.training.locking import cpu_training_lock, own_gpu
from onepage.training.recipe import as_dict

LIBRARIES = ("torch", "numpy", "sentencepiece")  # whose versions decide numbers


def resolve_device(wanted: str) -> str:
    """ "cpu" or "cuda" from auto, cpu or cuda; raises UserError if CUDA is requested and absent."""
    if wanted == "cpu":
        return "cpu"
    problem = provenance.gpu_problem()
    if wanted == "cuda" and problem:
        raise UserError(f"DEVICE=cuda, but {problem}; use DEVICE=cpu, or see: make doctor")
    return "cpu" if problem else "cuda"


def decide(
    name: str, values: dict[str, str], *, again: bool, say: Callable[[str], Any], begins: Callable[[], None]
) -> dict[str, Any]:
    """Fetch or generate the data of a task, decide everything else, and write the plan; returns it.

    ``values``: the settings. ``again``: ignore an existing plan, and its choice of real or generated data. Otherwise
    that choice stays, unless the plan fell back to generated data and there is a new source. ``begins`` is called once
    the settings are checked, before anything is fetched or printed.
    """
    task = tasks.get(name)
    target = Path(values["OUT"]) / graph.PLANS / f"{graph.key_of(task, values)}.json"
    earlier = read_json(target) if target.is_file() and not again else {}
    minutes = settings.budget_of(values, task.name)
    if minutes and not task.has("budget"):
        raise UserError(f"{name} cannot be scaled to a training time; leave out BUDGET_MIN, or give this task 0")
    device = resolve_device(values["DEVICE"])
    own = values["RECIPE"]
    profile = recipes.own_profile(Path(own)) if own else values["PROFILE"]
    mode = values["DATA"]
    if earlier and not graph.may_be_real(earlier, task, values):
        mode = "generated" if earlier["run"]["generated"] else "real"

    def resolve(generated: bool) -> tuple[Any, dict[str, dict[str, Any]]]:
        where, threads = recipes.hardware(device), int(values["THREADS"])
        return recipes.resolve(task, profile, hardware=where, generated=generated, file=own, threads=threads)

    resolve(mode == "generated")  # a bad recipe is refused before anything is downloaded
    data_dir, src, tgt = Path(values["DATA_DIR"]), values["SRC"], values["TGT"]
    sources.get(task.real_set, src, tgt)  # languages that it lacks are refused too
    begins()
    if device == "cpu" and values["DEVICE"] == "auto" and (problem := provenance.gpu_problem()) != provenance.NO_GPU:
        say(f"{problem}; the CPU is used: see make doctor")
    found = fetch.ensure(task.real_set, data_dir, mode, values["DATA_MIRROR"], src, tgt)
    loaded = data.load(data_dir, found, src, tgt)
    recipe, evaluation = resolve(loaded.generated)
    run = {
        "task": task.name,
        "set": found,
        "generated": loaded.generated,
        "profile": profile,
        "data_digest": loaded.digest,
        "device": device,
        "libraries": {key: value for key, value in provenance.versions().items() if key in LIBRARIES},
        "recipe": as_dict(recipe),
        "evaluation": evaluation,
        "threads": recipe.threads,
        "precision": recipes.auto_precision(device) if recipe.precision == "auto" else recipe.precision,
    }
    run |= {option: getattr(loaded, option) for option in task.options}  # the generated set has its own
    plan: dict[str, Any] = {"inputs": graph.inputs(task, values, Fingerprints()), "run": run}
    if minutes:
        plan["budget"] = _scale(task, run, loaded, recipe, minutes, earlier.get("budget", {}), say)
    plan["place"] = f"{task.folder(run)}/{run['profile']}"
    if values["DATA"] == "auto" and loaded.generated:
        plan["asked"] = graph.sources(task, values) if mode == "auto" else earlier.get("asked", [])
    write_json(target, plan)
    write_text(target.with_suffix(".mk"), f"# made by: onepage plan; all it says is in {target.name}\n")
    return plan


def _scale(
    task: Task, run: dict[str, Any], loaded: Any, recipe: Any, minutes: float, earlier: dict[str, Any], say: Any
) -> dict[str, Any]:
    """Scale the recipe in ``run`` to a training time, in place; returns the measured rates and what they depend on.

    The plan keeps the rates: with the same budget, recipe and hardware, the scaled recipe stays the same.
    """
    module, device = task.module("budget"), run["device"]
    made_for = {"minutes": minutes, "machine": [provenance.cpu_model(), provenance.cores()]}
    made_for["program"] = Fingerprints().digest([Path(str(module.__file__))])
    made_for |= {key: value for key, value in run.items() if key != "evaluation"}
    rates = earlier.get("rates") if earlier.get("made_for") == made_for else None
    if rates is None:
        say(f"{task.name:<4} measuring how fast this machine trains, about a minute ...")
        with cpu_training_lock(device, say), own_gpu(device, say), contextlib.redirect_stdout(io.StringIO()):
            rates = module.measure(recipe, loaded, run_plan.identity(run) | {"seed": 0})
    scaled = module.fit(recipe, loaded, rates, minutes)
    say(f"{task.name:<4} plan for {minutes:g} minutes of training: {module.summary(scaled)}")
    run |= {"recipe": as_dict(scaled), "budget_minutes": minutes, "profile": f"{run['profile']}-budget{minutes:g}"}
    return {"made_for": made_for, "rates": rates}
