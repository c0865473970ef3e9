"""Verification of claims, scores and provenance, and comparison with reference results."""
