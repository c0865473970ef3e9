"""Learning-rate schedules."""

import math

import pytest

from onepage.training.schedules import SCHEDULES, validation_updates


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_rise_to_one_and_fall_to_zero(name):
    factor = SCHEDULES[name]
    assert factor(0.0, 0.2) == 0 and factor(0.2, 0.2) == pytest.approx(1) and factor(1.0, 0.2) == pytest.approx(0)
    rising, falling = [factor(p / 100, 0.2) for p in range(21)], [factor(p / 100, 0.2) for p in range(20, 101)]
    assert rising == sorted(rising) and falling == sorted(falling, reverse=True)


@pytest.mark.parametrize(
    ("name", "progress", "expected"),
    [
        ("linear", 0.05, 0.25), ("linear", 0.2, 1.0), ("linear", 0.4, 0.1 + 0.9 * 0.75), ("linear", 0.6, 0.55),
        ("linear", 1.0, 0.1), ("linear", 1.5, 0.1), ("cosine", 0.05, 0.25), ("cosine", 0.2, 1.0),
        ("cosine", 0.4, 0.1 + 0.45 * (1 + math.sqrt(0.5))), ("cosine", 0.6, 0.55), ("cosine", 1.0, 0.1),
        ("cosine", 1.5, 0.1),
    ],
)  # fmt: skip
def test_points_of_the_curve_by_hand(name, progress, expected):
    """The peak is at 0.2 and the end value is 0.1. At 0.4 a quarter of the decay is done, at 0.6 half of it."""
    assert SCHEDULES[name](progress, 0.2, 0.1) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_without_warm_up_it_starts_at_the_peak(name):
    assert [SCHEDULES[name](progress, 0.0) for progress in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])


def test_validations_are_evenly_spaced_and_include_the_last_update():
    assert validation_updates(10, 3) == {4, 7, 10}
    assert validation_updates(7, 7) == set(range(1, 8)) and validation_updates(3, 9) == {1, 2, 3}
