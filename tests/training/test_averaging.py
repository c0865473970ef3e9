"""The moving average of weights."""

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


def test_average_keeps_batchnorm_statistics_with_their_weights():
    model = nn.BatchNorm1d(2).train()
    average = WeightAverage(model, 0.5)
    model(torch.randn(50, 2) + 7)
    for step in range(1, 60):
        average.update(model, step)
    assert torch.allclose(average.state_dict()["running_mean"], model.running_mean, atol=1e-4)
    assert average.state_dict()["num_batches_tracked"] == 1
