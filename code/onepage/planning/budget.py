"""A training-time budget: the recipe scaled to this machine, which is measured once; the plan keeps the result."""

import contextlib
import io
from typing import Any

from onepage.tasks import Task
from onepage.training.locking import cpu_training_lock, own_gpu


def scale(task: Task, recipe: Any, data: Any, plan: dict[str, Any], minutes: float, say: Any) -> tuple[Any, Any]:
    """(recipe, measured rates): ``recipe`` shortened or lengthened to ``minutes`` of training on this machine.

    ``data`` is the loaded set, ``plan`` what identifies the run.
    """
    module = task.module("budget")
    say(f"{task.name:<4} measuring how fast this machine trains, about a minute ...")
    device = plan["device"]
    with cpu_training_lock(device, say), own_gpu(device, say), contextlib.redirect_stdout(io.StringIO()):
        rates = module.measure(recipe, data, plan)
    fitted = module.fit(recipe, data, rates, minutes)
    say(f"{task.name:<4} plan for {minutes:g} minutes of training: {module.summary(fitted)}")
    return fitted, rates
