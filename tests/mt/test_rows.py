"""Attention weights are distributions; an error names the row that is not."""

import numpy as np
import pytest

from onepage.mt.rows import check_rows


@pytest.mark.parametrize(
    "broken",
    [[0.999, 0, 0, 0, 0], [float("nan"), 0, 0, 0, 0], [0, 0, 0, 0, 0], [-0.2, 1.2, 0, 0, 0], [-1, 0, 0, 0, 0]],
    ids=["sum below one", "not a number", "nothing", "negative", "all negative"],
)
def test_row_that_is_no_distribution_is_named(broken: list[float]) -> None:
    weights = np.full((2, 3, 4, 5), 0.2, np.float32)
    weights[0, 0, 0] = [1, 0, 0, 0, 0]
    check_rows("cross", weights)
    weights[1, 2, 3] = broken
    with pytest.raises(ValueError, match=r"cross: row \(1, 2, 3\) is not of attention weights"):
        check_rows("cross", weights)


def test_rounding_is_allowed_for() -> None:
    check_rows("cross", np.array([[0.5, 0.5 + 0.9e-5]]))
    for sum_too_far in (-1.1e-5, 1.1e-5):
        with pytest.raises(ValueError, match=r"row \(0,\)"):
            check_rows("cross", np.array([[0.5, 0.5 + sum_too_far]]))
