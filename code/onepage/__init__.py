"""Two architectures from primitives, trained from a seed and reported on one page."""

__version__ = "1.0.0"
