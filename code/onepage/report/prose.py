"""Prose of report/page.toml with this run's figures in it."""

from collections.abc import Mapping
from typing import Any

from onepage.errors import UserError


def fill(template: str, names: Mapping[str, str], where: str) -> str:
    """``template`` with its {names} filled in; raises UserError for a name this run has no figure for."""
    try:
        return template.format_map(names)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise UserError(
            f"report/page.toml, {where}: {error} cannot be filled in; names: {', '.join(sorted(names))}"
        ) from None


def chosen(entry: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    """``entry`` with what ``with.NAME`` or ``without.NAME`` says instead, where the run has or lacks that figure."""
    others = [other for name, other in entry.get("with", {}).items() if name in names]
    others += [other for name, other in entry.get("without", {}).items() if name not in names]
    return {**entry, **others[0]} if others else entry
