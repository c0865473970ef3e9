"""Learning rate and validations as functions of progress, so that a resumed run needs no scheduler state."""

import math


def one_cycle(progress: float, warmup: float, floor: float = 0.0) -> float:
    """Factor on the peak rate: linear up over the first ``warmup`` share, then linear down to ``floor`` at 1.

    After Smith & Topin 2018 ("Super-Convergence"), without the momentum cycle. ``progress`` in [0, 1].
    """
    if warmup > 0 and progress < warmup:
        return progress / warmup
    return floor + (1 - floor) * max(0.0, (1 - progress) / (1 - warmup))


def warmup_cosine(progress: float, warmup: float, floor: float = 0.0) -> float:
    """Factor on the peak rate: linear up over ``warmup``, then a half cosine down to ``floor`` (Loshchilov 2016)."""
    if warmup > 0 and progress < warmup:
        return progress / warmup
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def validation_updates(updates: int, validations: int) -> frozenset[int]:
    """The updates after which to validate: evenly spaced, including the last one."""
    return frozenset(math.ceil(updates * (i + 1) / validations) for i in range(validations))


SCHEDULES = {"linear": one_cycle, "cosine": warmup_cosine}
