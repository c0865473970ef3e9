"""Recipes: typed, frozen, read from TOML, hashed.

A recipe is a dataclass whose every field has a line of documentation. An unknown key, a missing one or a value of the
wrong type is refused by name, with the nearest known key, before anything is trained.
"""

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from onepage.errors import UserError

R = TypeVar("R")
MAX_BYTES = 100_000  # no recipe is larger; a wrong file given as one is refused before it is parsed
MAX_DOTS = 200  # a line; tomllib takes minutes for a key of thousands of dots
LARGEST = 1e12  # no number in a recipe is larger; nan and inf are refused with it
PACKAGE = Path(__file__).resolve().parent.parent


def built_in(task: str, profile: str, generated: bool) -> Path:
    """Where the recipe of a task and profile lies; each generated set has its own short one.

    Raises UserError when there is none, naming those there are.
    """
    name = f"{profile}-generated" if generated and profile != "smoke" else profile
    known = {
        file.stem: file for file in (PACKAGE / task / "recipes").glob("*.toml")
    }  # a name of these: it also names a folder
    if name not in known:
        raise UserError(f"no recipe {name!r} for {task}; PROFILE is one of: {', '.join(sorted(known))}")
    return known[name]


def load(kind: type[R], path: Path, tables: Mapping[str, type] | None = None, **overrides: Any) -> R:
    """Read a recipe of dataclass ``kind`` from a TOML file; overrides that are not None replace its values.

    ``tables``: dataclasses by name of the tables that later stages read (see ``load_table``); they are left out.
    Raises UserError naming the file, the key and what was expected.
    """
    values, tables = read(path), tables or {}
    for name, table in tables.items():
        values.pop(name, None)
        for key in [field.name for field in dataclasses.fields(table) if field.name in values]:
            raise UserError(f"{path}: {key!r} belongs in the table [{name}], below all other keys")
    values.update({key: value for key, value in overrides.items() if value is not None})
    return from_values(kind, values, str(path), tuple(tables))


def load_table(kind: type[R], path: Path, name: str) -> R:
    """The table ``name`` of a recipe file as dataclass ``kind``, whose defaults stand where the file lacks it.

    Raises UserError naming the file, the key and what was expected.
    """
    values = read(path).get(name, {})
    if not isinstance(values, dict):
        raise UserError(f"{path}: {name}: expected a table, got {values!r:.60}")
    return from_values(kind, values, f"{path}: {name}")


def read(path: Path) -> dict[str, Any]:
    """The plain values of a recipe file; raises UserError naming it when it is none."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)  # no more, whatever the system says of its size: it may be a device
        if len(content) > MAX_BYTES:
            raise UserError(f"{path}: too large for a recipe (over {MAX_BYTES:,} bytes)")
        if any(line.count(b".") > MAX_DOTS for line in content.splitlines()):
            raise UserError(f"{path}: not a readable recipe: over {MAX_DOTS} dots in a line")
        return tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable recipe: {error!s:.200}") from None


def of_run(kind: type[R], run: Path, block: Mapping[str, Any]) -> R:
    """The recipe that ``run`` was trained by; ``block`` is what its run.json says.

    Raises UserError when a version of this program with other recipe keys has trained it.
    """
    try:
        return from_values(kind, block["recipe"], str(run / "run.json"))
    except UserError as error:
        raise UserError(
            f"{run} was trained by another version of this program ({error!s:.160}); "
            f"train it anew (make {block['task']})"
        ) from None


def from_values(kind: type[R], values: dict[str, Any], where: str, tables: tuple[str, ...] = ()) -> R:
    """Build the dataclass, refusing unknown, missing and wrongly typed keys, and running its own ``check``.

    ``tables``: names of the file's other tables, known besides the fields when an unknown key is refused.
    """
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            known = [*fields, *tables]
            near = difflib.get_close_matches(key[:60], known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"
            raise UserError(f"{where}: unknown key {key!r:.60}{hint}")
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            raise UserError(f"{where}: missing key {name!r}")
    arguments = {key: _typed(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    recipe = kind(**arguments)
    check = getattr(recipe, "check", None)
    problem = check() if check else None
    if problem:
        raise UserError(f"{where}: {problem}")
    return recipe


def _typed(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin is tuple:  # tuple[item, ...] from a TOML array
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: expected a list, got {value!r:.60}")
        item = get_args(hint)[0]
        return tuple(_typed(item, part, f"{where}[{i}]") for i, part in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise UserError(f"{where}: expected a table, got {value!r:.60}")
        return from_values(hint, value, where)
    if origin is types.UnionType:  # X | None
        return None if value is None else _typed(get_args(hint)[0], value, where)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (isinstance(value, hint) or (hint is float and whole)) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"{where}: expected {hint.__name__}, got {value!r:.60}")
    if hint in (int, float) and not abs(value) <= LARGEST:  # nan is not either
        raise UserError(f"{where}: expected a number up to {LARGEST:.0e}, got {value!r:.60}")
    return float(value) if hint is float else value


def as_dict(recipe: Any) -> dict[str, Any]:
    """The recipe as plain values for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def recipe_hash(recipe: Any, **context: Any) -> str:
    """SHA-256 over the recipe's values and whatever else decides the result (seed, data digest, ...)."""
    text = json.dumps({"recipe": as_dict(recipe), **context}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def difference(mine: dict[str, Any], other: dict[str, Any]) -> str:
    """Names and values of the keys that differ between two plain recipes, for a message."""
    keys = sorted(set(mine) | set(other))
    return ", ".join(f"{k} {other.get(k)!r} -> {mine.get(k)!r}" for k in keys if mine.get(k) != other.get(k))
