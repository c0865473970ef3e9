"""Recipes: typed, frozen dataclasses, read from TOML, checked and hashed. Needs no torch.

Each field of a recipe has a line of documentation and its allowed values in its type: ``Annotated[float, Range(0, 1)]``
or ``Literal["sgd", "muon"]``. An unknown key, a missing one and a value that is not allowed are refused by name.
"""

import dataclasses
import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from onepage.errors import UserError

R = TypeVar("R")
MAX_BYTES = 100_000  # no recipe is larger; a wrong file is refused before it is parsed
MAX_DOTS = 200  # a line; tomllib takes minutes for a key of thousands of dots
LARGEST = 1e12  # no number in a recipe is larger; nan and inf are refused with it


@dataclasses.dataclass(frozen=True)
class Range:
    """The allowed numbers of a field: ``Range(1, 10)``, ``Range(0, below=1)``, ``Range(above=0, below=1)``."""

    least: float | None = None
    most: float | None = None
    _: dataclasses.KW_ONLY
    above: float = 0
    """Exclusive lower bound, in place of ``least``."""
    below: float | None = None
    """Exclusive upper bound, in place of ``most``."""
    multiple_of: int = 1

    def __contains__(self, number: float) -> bool:
        low = number >= self.least if self.least is not None else number > self.above
        high = (self.most is None or number <= self.most) and (self.below is None or number < self.below)
        return low and high and (self.multiple_of == 1 or number % self.multiple_of == 0)

    def __str__(self) -> str:
        first = f"from {self.least:,}" if self.least is not None else f"above {self.above:,}"
        last = f" to {self.most:,}" if self.most is not None else f" to below {self.below:,}" if self.below else ""
        return first + last + (f", a multiple of {self.multiple_of}" if self.multiple_of > 1 else "")


Share = Annotated[float, Range(0, below=1)]
Threads = Annotated[int, Range(1, 1024)]
Precision = Literal["auto", "fp32", "bf16"]


def read(path: Path) -> dict[str, Any]:
    """The plain values of a recipe file; raises UserError, with its name, if it cannot be read."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)  # never more, because the file may be a device
        if len(content) > MAX_BYTES:
            raise UserError(f"{path}: too large for a recipe (over {MAX_BYTES:,} bytes)")
        if any(line.count(b".") > MAX_DOTS for line in content.splitlines()):
            raise UserError(f"{path}: not a readable recipe: over {MAX_DOTS} dots in a line")
        return tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a readable recipe: {error!s:.200}") from None


def of_run(kind: type[R], run: Path, plan: Mapping[str, Any]) -> R:
    """The recipe that ``run`` was trained with; ``plan`` is its run.json.

    Raises UserError if it was trained by a version of this program with other recipe keys.
    """
    try:
        return from_values(kind, plan["recipe"], str(run / "run.json"))
    except UserError as error:
        raise UserError(
            f"{run} was trained by another version of this program ({error!s:.160}); "
            f"train it again (make {plan['task']})"
        ) from None


def from_values(kind: type[R], values: Mapping[str, Any], where: str, tables: tuple[str, ...] = ()) -> R:
    """Build the dataclass ``kind``; raises UserError, which begins with ``where``, for a key or value not allowed.

    ``tables``: names of other allowed tables in the file.
    """
    hints = get_type_hints(kind, include_extras=True)
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
    checked = {key: _checked(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    try:
        return kind(**checked)
    except ValueError as error:  # a rule over several fields, in __post_init__
        raise UserError(f"{where}: {error}") from None


def _checked(hint: Any, value: Any, where: str) -> Any:
    """The value in its field's type; raises UserError if the type or the range does not allow it."""
    if get_origin(hint) is Annotated:
        inner, allowed = get_args(hint)
        value = _checked(inner, value, where)
        if value not in allowed:
            raise UserError(f"{where}: expected {inner.__name__} {allowed}, got {value!r:.60}")
        return value
    if get_origin(hint) is Literal:
        choices = get_args(hint)
        if not isinstance(value, str) or value not in choices:
            raise UserError(f"{where}: expected {' or '.join(map(repr, choices))}, got {value!r:.60}")
        return value
    if get_origin(hint) is tuple:  # tuple[item, ...] from a TOML array
        if not isinstance(value, list | tuple) or not value:
            raise UserError(f"{where}: expected a list of one or more, got {value!r:.60}")
        return tuple(_checked(get_args(hint)[0], part, f"{where}[{i}]") for i, part in enumerate(value))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_values(hint, table(value, where), where)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (isinstance(value, hint) or (hint is float and whole)) or (isinstance(value, bool) and hint is not bool):
        raise UserError(f"{where}: expected {hint.__name__}, got {value!r:.60}")
    if hint in (int, float) and not abs(value) <= LARGEST:  # nan is not either
        raise UserError(f"{where}: expected a number up to {LARGEST:.0e}, got {value!r:.60}")
    return float(value) if hint is float else value


def table(value: Any, where: str) -> dict[str, Any]:
    """``value`` if it is a table of a TOML file; otherwise raises UserError."""
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a table, got {value!r:.60}")
    return value


def as_dict(recipe: Any) -> dict[str, Any]:
    """The recipe as plain values for JSON."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def recipe_hash(recipe: Any, **context: Any) -> str:
    """SHA-256 over the recipe's values and everything else that decides the result (seed, data digest, ...)."""
    text = json.dumps({"recipe": as_dict(recipe), **context}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def difference(mine: dict[str, Any], other: dict[str, Any]) -> str:
    """Names and values of the keys that differ between two plain recipes, for a message."""
    keys = sorted(set(mine) | set(other))
    return ", ".join(f"{k} {other.get(k)!r} -> {mine.get(k)!r}" for k in keys if mine.get(k) != other.get(k))
