"""A training-time budget: the recipe that ends within it on this machine, measured once and then kept.

The result is an ordinary recipe file beside the plan. From then on it is the run's recipe: going on after an
interruption and repeating the run read it, and nothing is measured again.
"""

import contextlib
import importlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage.data import images, translation
from onepage.files import write_text
from onepage.training import recipe as recipes
from onepage.training.locking import cpu_training_lock, own_gpu


def lay_out(task: str, recipe: Any, data: Any, block: dict[str, Any], minutes: float, say: Any) -> tuple[Any, Any]:
    """(recipe, measured rates): ``recipe`` shortened or lengthened to ``minutes`` of training on this machine.

    ``data`` is the loaded set, ``block`` what identifies the run (see run.json).
    """
    module = importlib.import_module(f"onepage.{task}.budget")
    say(f"{task:<4} measuring how fast this machine trains, about a minute ...")
    device = block["device"]
    with cpu_training_lock(device, say), own_gpu(device, say), contextlib.redirect_stdout(io.StringIO()):
        rates = module.measure(recipe, data, block)
    fitted = module.fit(recipe, data, rates, minutes)
    say(f"{task:<4} plan for {minutes:g} minutes of training: {module.summary(fitted)}")
    return fitted, rates


def load_data(task: str, data_dir: Path, name: str, src: str, tgt: str) -> Any:
    """The data set of a task, as its training reads it."""
    if task == "cls":
        return images.load_images(data_dir, name)
    return translation.load_translation(data_dir, name, src, tgt)


def write_recipe(path: Path, recipe: Any, comment: str, tables: Mapping[str, Any] | None = None) -> None:
    """Write a recipe as TOML that ``training.recipe.load`` reads back equal, and its tables that later stages read."""
    lines = [f"# {comment}"]
    for key, value in recipes.as_dict(recipe).items():
        lines.append(f"{key} = {_toml(value)}")
    for name, table in (tables or {}).items():
        lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in recipes.as_dict(table).items())]
    write_text(path, "\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)  # strings, numbers, true and false are written alike in both
