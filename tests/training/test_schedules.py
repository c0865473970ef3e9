"""Learning-rate schedules."""

import pytest

from onepage.training.schedules import SCHEDULES


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_rise_to_one_and_fall_to_zero(name):
    factor = SCHEDULES[name]
    assert factor(0.0, 0.2) == 0 and factor(0.2, 0.2) == pytest.approx(1) and factor(1.0, 0.2) == pytest.approx(0)
    rising, falling = [factor(p / 100, 0.2) for p in range(21)], [factor(p / 100, 0.2) for p in range(20, 101)]
    assert rising == sorted(rising) and falling == sorted(falling, reverse=True)
