"""Claims, recounts, provenance and comparisons: whether a result holds, and what made it."""
