"""Numbers in words."""

from onepage.runs.words import NBSP, duration, signed


def test_signed_and_duration_read_well() -> None:
    assert [signed(x) for x in (1.25, -0.3, 0.01, -0.01)] == ["+1.2", "−0.3", "±0.0", "±0.0"]
    assert [duration(x) for x in (45, 412.5, 7500)] == [
        f"45{NBSP}s", f"6{NBSP}min 52{NBSP}s", f"2{NBSP}h 05{NBSP}min",
    ]  # fmt: skip
