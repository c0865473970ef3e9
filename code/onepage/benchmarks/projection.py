"""The time at which a training reaches a validation accuracy: from its curve, or projected if the curve is too short.

A projection extends the error on the validation images as a function of the images seen, n, by two curves through the
readings, each a straight line fitted by least squares:

    power law    ln e = ln a - b ln n     learning curves, Hestness et al. 2017; falls ever more slowly: the later end
    logarithm    e = a - b ln n           falls by the same amount with each doubling: the earlier end

The power law is the estimate. The range spans both curves and the 5 and 95 % quantiles of their bootstrap over the
readings. Images become seconds at the rate of the curve itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEWEST = 4  # readings for a projection
DRAWS = 1000
QUANTILES = (0.05, 0.95)
LONGEST = 1e9  # seconds, thirty years; a later time counts as never

Row = Mapping[str, Any]


def time_to(rows: Sequence[Row], target: float) -> dict[str, Any]:
    """When the validation accuracy first is ``target`` or more: {"how", "seconds", "low", "high"}, in seconds.

    rows: readings in order, each with "images", "seconds" and "val_accuracy" (a fraction). "how" is "reached": between
    "low", the last reading before the target, and "high", the first at it; or "projected"; or "unknown" with "seconds"
    None, if the readings are too few or their error does not fall. For a target that was not reached, "low" is at least
    the time of the last reading; "high" None: the target may never be reached.
    """
    before = 0.0
    for row in rows:
        if row["val_accuracy"] >= target:
            return {"how": "reached", "seconds": row["seconds"], "low": before, "high": row["seconds"]}
        before = row["seconds"]
    unknown = {"how": "unknown", "seconds": None, "low": before, "high": None}
    usable = [row for row in rows if row["images"] > 0 and row["val_accuracy"] < 1]
    if len(usable) < FEWEST:
        return unknown
    n = np.array([row["images"] for row in usable], dtype=np.float64)
    error = np.array([1 - row["val_accuracy"] for row in usable])
    seconds_an_image = usable[-1]["seconds"] / usable[-1]["images"]
    drawn = np.random.Generator(np.random.PCG64(0)).integers(0, len(n), (DRAWS, len(n)))
    drawn = drawn[(np.diff(np.sort(drawn)) > 0).sum(1) >= 2]  # three readings or more, because two always fit
    ends: list[float] = []  # in seconds
    for values, goal in ((np.log(error), float(np.log(1 - target))), (error, 1 - target)):  # power law, logarithm
        # "higher": an interpolation between a number and infinity would be neither
        quantiles = np.quantile(_arrivals(n[drawn], values[drawn], goal), QUANTILES, method="higher")
        ends += [float(end) * seconds_an_image for end in (_arrivals(n, values, goal), *quantiles)]
    estimate, low, high = ends[0], min(ends), max(ends)
    if not estimate < LONGEST:
        return unknown
    last = float(rows[-1]["seconds"])
    return {
        "how": "projected",
        "seconds": max(last, estimate),
        "low": max(last, low),
        "high": max(last, high) if high < LONGEST else None,
    }


def _arrivals(n: NDArray[np.float64], values: NDArray[np.float64], goal: float) -> NDArray[np.float64]:
    """n at which the straight line of ``values`` (..., readings) over ln n falls to ``goal``: (...).

    Infinite if it does not fall.
    """
    x = np.log(n)
    x_mean, mean = x.mean(-1, keepdims=True), values.mean(-1, keepdims=True)
    slope = ((x - x_mean) * (values - mean)).sum(-1) / np.square(x - x_mean).sum(-1)
    falls = slope < 0
    exponent = x_mean[..., 0] + (goal - mean[..., 0]) / np.where(falls, slope, -1.0)
    return np.where(falls, np.exp(np.minimum(exponent, 700.0)), np.inf)
