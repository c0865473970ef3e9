"""Prose of page.toml: figures filled in, alternatives by the figures a run has."""

import pytest

from onepage.errors import UserError
from onepage.report import prose


def test_an_unknown_name_in_the_prose_is_named() -> None:
    with pytest.raises(UserError, match="'nonsense'"):
        prose.fill("{nonsense}", {"a": "b"}, "cls.objective")


def test_alternatives_follow_the_figures_there_are() -> None:
    entry = {"title": "t", "text": "x", "with": {"a": {"text": "with a"}}, "without": {"b": {"title": "without b"}}}
    found = [prose.chosen(entry, dict.fromkeys(names, "1")) for names in ("b", "ab", "")]
    assert [(e["title"], e["text"]) for e in found] == [("t", "x"), ("t", "with a"), ("without b", "x")]
