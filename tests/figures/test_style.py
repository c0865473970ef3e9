"""Colours: attention darkens evenly in one hue."""

import numpy as np
import pytest

from onepage.figures.style import REDS, TEALS


def cielab(colours):
    """L*, a*, b* of sRGB colours 0..1, D65."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    xyz /= [0.9505, 1.0, 1.089]
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("colours", [TEALS, REDS], ids=["teals", "reds"])
def test_weights_darken_evenly_in_one_hue(colours):
    lightness, a, b = cielab(colours(np.linspace(0, 1, 52))[:, :3]).T
    assert lightness[0] == pytest.approx(100, abs=0.1) and lightness[-1] < 30
    steps = -np.diff(lightness)
    assert steps.min() > 0.8 * steps.mean() and steps.max() < 1.2 * steps.mean()
    coloured = np.hypot(a, b) > 4
    assert np.ptp(np.degrees(np.arctan2(b, a))[coloured]) < 8
