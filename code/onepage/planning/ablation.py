"""Ablation: the same short training with one part of the model changed, scored on the validation split.

Each variant is trained from the same seed, on the same data, for the same number of updates. A difference in the score
is an effect of the part, or chance: the intervals of the scores show how large chance is. The test sets are not read.
Variants are ordinary runs below ``runs/<task>/<set>/ablation/``: interrupted ones resume, finished ones are kept.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.files import write_json
from onepage.runs import history, provenance, stamps
from onepage.runs.plan import identity
from onepage.training import locking
from onepage.training.recipe import from_values


def measure(
    plan: Mapping[str, Any],
    data: Any,
    out: Path,
    settings: Mapping[str, Mapping[str, Any]],
    say: Callable[[str], Any],
) -> Path:
    """Train and score every variant of the task of ``plan``; returns the file of the results, which is written last.

    plan: that of the unchanged model, with recipe, seed and training program. data: the loaded set. settings: the
    tables of the recipe that evaluation reads. Raises what training raises.
    """
    task = tasks.of(plan)
    name, ablation, train = task.name, task.module("ablation"), task.module("train").train
    kind, about = task.module("recipe").Recipe, identity(plan)
    target = out / "runs" / name / task.folder(plan) / stamps.ABLATION
    rows = []
    for variant, changes in ablation.VARIANTS.items():
        recipe = from_values(kind, {**plan["recipe"], **changes}, variant)
        run = target.parent / variant / f"seed{plan['seed']}"
        words = ", ".join(f"{key} = {str(value).lower()}" for key, value in changes.items())
        say(f"{name:<4} {variant}: {words or 'as the recipe says'}")
        with locking.cpu_training_lock(plan["device"], say):
            train(recipe, data, run, about, plan["program"])
        scored = ablation.score(data, run, settings)
        last = history.read(run / "history.jsonl")[-1]
        trained = {"updates": last["step"], "epochs": last["epoch"], "loss": last["val_loss"]}
        rows.append({"name": variant, "changes": dict(changes), **trained, **scored})
        say(f"{name:<4} {variant}: {ablation.show(scored)}")
    about |= {"program": plan["program"], "recipe": plan["recipe"]}
    write_json(target, about | provenance.commit() | {"variants": rows})
    return target
