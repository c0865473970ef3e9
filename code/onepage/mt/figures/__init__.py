"""Figures of a translation run."""
