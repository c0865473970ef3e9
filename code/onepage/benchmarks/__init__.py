"""Benchmarks: comparison with other programs on the same machine; results are kept as JSON and shown in docs/."""
