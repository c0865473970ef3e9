"""Time to an accuracy: read from the curve if possible, else projected, and never before the last reading."""

import numpy as np
import pytest

from bench_cases import curve
from onepage.benchmarks.projection import time_to

POINTS = [int(2000 * 8 ** (k / 9)) for k in range(10)]  # spaced as in the benchmark


def power_law(noise: float = 0.0, seed: int = 0) -> list[float]:
    """Errors 0.9 (n / 1000) ** -0.25 with this relative noise. They reach 0.2 at 1000 x 4.5 ** 4 images."""
    draws = np.random.default_rng(seed).normal(0, noise, len(POINTS))
    return [0.9 * (n / 1000) ** -0.25 * float(np.exp(draw)) for n, draw in zip(POINTS, draws, strict=True)]


TRUE = 1000 * 4.5**4 / 50


def test_what_is_reached_is_the_first_reading_there() -> None:
    found = time_to(curve([100, 200, 300, 400], [0.5, 0.3, 0.2, 0.25], 10.0), 0.8)
    assert found == {"how": "reached", "seconds": 30.0, "low": 20.0, "high": 30.0}
    assert time_to(curve([100], [0.1], 10.0), 0.8)["low"] == 0.0


def test_an_exact_power_law_is_extended_exactly() -> None:
    found = time_to(curve(POINTS, power_law(), 50.0), 0.8)
    assert found["how"] == "projected"
    assert found["seconds"] == pytest.approx(TRUE, rel=1e-6)
    assert found["high"] == pytest.approx(TRUE, rel=1e-6)
    assert POINTS[-1] / 50 < found["low"] < 0.5 * TRUE, "the logarithmic curve falls faster"


def test_an_exact_logarithmic_curve_is_the_early_end_of_the_range() -> None:
    errors = [0.9 - 0.1 * float(np.log(n / 1000)) for n in POINTS]
    found = time_to(curve(POINTS, errors, 50.0), 0.8)
    assert found["low"] == pytest.approx(1000 * np.exp(7) / 50, rel=1e-6)
    assert found["seconds"] > found["low"]


def test_the_range_covers_the_truth_of_noisy_curves() -> None:
    """The same readings also lead to the same range."""
    covered = 0
    for seed in range(20):
        rows = curve(POINTS, power_law(0.03, seed), 50.0)
        found = time_to(rows, 0.8)
        assert found == time_to(rows, 0.8)
        assert found["low"] <= found["seconds"]
        covered += found["low"] <= TRUE <= (found["high"] or np.inf)
    assert covered >= 17


@pytest.mark.parametrize("errors", [[0.9, 0.9, 0.9, 0.9], [0.5, 0.6, 0.7, 0.8]])
def test_a_curve_that_does_not_fall_is_not_projected(errors: list[float]) -> None:
    found = time_to(curve([100, 200, 400, 800], errors, 10.0), 0.8)
    assert found == {"how": "unknown", "seconds": None, "low": 80.0, "high": None}


def test_few_readings_are_not_projected() -> None:
    assert time_to(curve([100, 200, 400], [0.9, 0.7, 0.5], 10.0), 0.8)["how"] == "unknown"
    assert time_to([], 0.8) == {"how": "unknown", "seconds": None, "low": 0.0, "high": None}


def test_nothing_is_projected_into_the_past() -> None:
    """The last reading is above the fitted curve, so the target cannot have been reached before it."""
    found = time_to(curve([100, 200, 400, 800, 1600], [0.8, 0.6, 0.4, 0.2001, 0.21], 10.0), 0.8)
    assert found["how"] == "projected"
    assert min(found["low"], found["seconds"], found["high"]) >= 160.0
