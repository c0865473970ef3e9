"""Fixtures of drawing."""

from drawing import copy, draw, made, style  # noqa: F401
