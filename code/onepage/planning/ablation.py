"""Ablation: the same short training with one part of the model changed, scored on the validation split.

Each variant is trained from the same seed, on the same data, for as many updates. A difference in the score is the
part's doing, or chance, which the intervals show. The test sets are not read. Variants are ordinary runs below
``runs/<task>/<set>/ablation/``: interrupted, they resume; finished and unchanged, they are not trained again.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onepage import tasks
from onepage.errors import UserError
from onepage.files import write_json
from onepage.runs import history, provenance, stamps
from onepage.training import locking
from onepage.training.recipe import as_dict


def measure(
    recipe: Any,
    plan: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]],
    data: Any,
    out: Path,
    say: Callable[[str], Any],
) -> Path:
    """Train and score every variant of the task of ``plan``; returns the results' file, which is written last.

    recipe: of the variant that is whole. plan: of its run, seed included. settings: the tables of the recipe that
    evaluation reads. data: as the task's loader gives it. Raises what training raises.
    """
    task = tasks.of(plan)
    name, ablation, train = task.name, task.module("ablation"), task.module("train").train
    program = stamps.digest_files(stamps.files_of(f"train-{name}"))
    target = out / "runs" / name / task.folder(plan) / stamps.ABLATION
    rows = []
    for variant, changes in ablation.VARIANTS.items():
        changed = dataclasses.replace(recipe, **changes)
        if problem := changed.check():
            raise UserError(f"{variant}: {problem}")
        run = target.parent / variant / f"seed{plan['seed']}"
        words = ", ".join(f"{key} = {str(value).lower()}" for key, value in changes.items())
        say(f"{name:<4} {variant}: {words or 'as the recipe says'}")
        with locking.cpu_training_lock(plan["device"], say):
            train(changed, data, run, dict(plan), program)
        scored = ablation.score(data, run, settings)
        last = history.read(run / "history.jsonl")[-1]
        trained = {"updates": last["step"], "epochs": last["epoch"], "loss": last["val_loss"]}
        rows.append({"name": variant, "changes": dict(changes), **trained, **scored})
        say(f"{name:<4} {variant}: {ablation.show(scored)}")
    about = {**plan, "program": program, "recipe": as_dict(recipe)}
    write_json(target, about | provenance.commit() | {"variants": rows})
    return target
