"""Numbers as the page, the documents and messages print them. Standard library only."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

NBSP = "\u00a0"  # between a number and its unit
MINUS = "\u2212"
NONE = "–"  # in the cell of a table: not measured
LONGEST_NAME = 24  # characters of a class's name; longer names are cut to keep the layout of the page
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}


def number(value: float, digits: int = 0) -> str:
    """``11,173,962`` or ``0.41``, with a true minus sign."""
    return f"{value:,.{digits}f}".replace("-", MINUS)


def score(value: float, floor: float = float("-inf")) -> str:
    """A score with one decimal; with more if a value below ``floor`` would otherwise be printed as the floor."""
    digits = next((n for n in range(1, 7) if value >= floor or round(value, n) < floor), 7)
    return number(value, digits)


def signed(value: float, digits: int = 1) -> str:
    """``+1.2``, ``−0.3`` or ``±0.0``."""
    text = number(value, digits)
    if float(f"{value:.{digits}f}") == 0:
        return "±" + text.lstrip(MINUS)
    return text if text.startswith(MINUS) else "+" + text


def percent(share: float, digits: int = 1) -> str:
    """``87.0 %`` for a share of 0.87."""
    return number(100 * share, digits) + NBSP + "%"


def interval(bounds: Sequence[float], digits: int, show: Callable[[float, int], str] = number) -> str:
    """``36.9 to 38.6``."""
    low, high = (show(bound, digits) for bound in bounds)
    return f"{low} to {high}"


def duration(seconds: float) -> str:
    """``45 s``, ``6 min 53 s`` or ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{NBSP}s"
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60:02d}{NBSP}s"
    return f"{whole // 3600}{NBSP}h {whole % 3600 // 60:02d}{NBSP}min"


def shorten(text: str, longest: int = LONGEST_NAME) -> str:
    """``text``, cut to ``longest`` characters with an ellipsis as the last."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def commit(about: Mapping[str, Any], unknown: str) -> str:
    """The first ten digits of a commit, and whether files differed from it; ``unknown`` outside git."""
    if not about.get("commit"):
        return unknown
    return str(about["commit"])[:10] + (" with local changes" if about.get("dirty") else "")
