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
    """Update n keeps the share n / (n + 10) of the average, until that share reaches the decay."""
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


def test_a_saved_average_goes_on_as_if_never_stopped():
    model, steps = nn.BatchNorm1d(3).train(), 12
    whole = WeightAverage(model, 0.5)
    resumed = WeightAverage(nn.BatchNorm1d(3), 0.5, averaged=nn.BatchNorm1d(3))
    for step in range(1, steps + 1):
        nn.init.normal_(model.weight)
        model(torch.randn(20, 3))
        for average in (whole, resumed) if step > steps // 2 else (whole,):
            average.update(model, step)
        if step == steps // 2:
            resumed.load_state_dict({name: value.clone() for name, value in whole.state_dict().items()})
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in resumed.state_dict().items())
    assert torch.equal(resumed.model.weight, whole.model.weight)  # the network holds the averaged weights itself


def test_average_starts_at_the_weights_also_in_a_network_given():
    model, given = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    nn.init.constant_(model.weight, 4.0)
    average = WeightAverage(model, 0.5, averaged=given)
    assert average.model is given and given.weight.tolist() == [4.0, 4.0]
    assert WeightAverage(model, 0.5).model is not model
