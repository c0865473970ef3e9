"""Fixtures of drawing."""

from drawing import copy, draw, drawn, made, style  # noqa: F401
