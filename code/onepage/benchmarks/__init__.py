"""Benchmarks: this program beside a plain one on the same machine; measured, kept as JSON, shown in docs/."""
