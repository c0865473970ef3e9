"""Figures of an image-classification run."""
