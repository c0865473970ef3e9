"""Two architectures from primitives, trained from a seed and reported on one page."""

__version__ = "0.1.0"
