"""The check of attention weights; without torch, because drawing uses it too."""

import numpy as np

TOLERANCE = 1e-5  # for a sum of some hundred float32 weights


def check_rows(name: str, weights: np.ndarray) -> None:
    """Raise ValueError unless all weights (..., queries, keys) are at least zero and each query's row sums to one."""
    sums = weights.sum(-1, dtype=np.float64)
    good = (np.abs(sums - 1) <= TOLERANCE) & (weights >= 0).all(-1)  # a NaN is not good either
    if not good.all():
        place = tuple(int(i) for i in np.argwhere(~good)[0])
        raise ValueError(f"{name}: row {place} is not of attention weights (it sums to {sums[place]:.6g})")
