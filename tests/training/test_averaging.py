"""The moving average of weights."""

import pytest
import torch
from torch import nn

from onepage.training.averaging import WeightAverage


def test_average_equals_constant_weights_and_lags_moving_ones():
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, 0.9)
    nn.init.constant_(model.weight, 3.0)
    for step in range(1, 200):
        average.update(model, step)
    assert torch.allclose(average.state_dict()["weight"], torch.full((2,), 3.0))
    nn.init.constant_(model.weight, 5.0)
    average.update(model, 200)
    assert torch.allclose(average.state_dict()["weight"], torch.full((2,), 3.2))


def test_early_averages_forget_at_the_ramp():
    """Update n keeps n / (n + 10) of what was there, until that reaches the decay."""
    model = nn.BatchNorm1d(1)
    nn.init.constant_(model.weight, 0.0)
    average, found = WeightAverage(model, 0.25), []
    for step, weight in enumerate((11.0, 12.0, 13.0, 1.0, 1.0), 1):
        nn.init.constant_(model.weight, weight)
        average.update(model, step)
        found.append(average.state_dict()["weight"].item())
    # 10/11 of 11; 2/12 of 10 and 10/12 of 12; 3/13 of 35/3 and 10/13 of 13; from then on 1/4 and 3/4 (4/14 is more)
    third = 35 / 13 + 10
    assert found == pytest.approx([10, 35 / 3, third, third / 4 + 0.75, third / 16 + 0.9375], rel=1e-5)


def test_average_keeps_batchnorm_statistics_with_their_weights():
    model = nn.BatchNorm1d(2).train()
    average = WeightAverage(model, 0.5)
    model(torch.randn(50, 2) + 7)
    for step in range(1, 60):
        average.update(model, step)
    assert torch.allclose(average.state_dict()["running_mean"], model.running_mean, atol=1e-4)
    assert average.state_dict()["num_batches_tracked"] == 1
