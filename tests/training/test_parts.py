"""Schedules, averaging, Muon, digests and the training lock."""

import multiprocessing
import time

import pytest
import torch
from torch import nn

from onepage.training import locking
from onepage.training.averaging import WeightAverage
from onepage.training.muon import Muon, orthogonalise
from onepage.training.schedules import SCHEDULES
from onepage.training.seeding import keyed_seed
from onepage.training.weights import digest_tensors


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_schedules_rise_to_one_and_fall_to_zero(name):
    factor = SCHEDULES[name]
    assert factor(0.0, 0.2) == 0 and factor(0.2, 0.2) == pytest.approx(1) and factor(1.0, 0.2) == pytest.approx(0)
    rising, falling = [factor(p / 100, 0.2) for p in range(21)], [factor(p / 100, 0.2) for p in range(20, 101)]
    assert rising == sorted(rising) and falling == sorted(falling, reverse=True)


def test_average_of_constant_weights_is_those_weights_and_lags_moving_ones():
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


@pytest.mark.parametrize("shape", [(8, 30), (30, 8)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), iterations=6))
    assert values.min() > 0.6 and values.max() < 1.3


def test_orthogonalising_by_the_gram_matrix_equals_the_plain_iteration():
    torch.manual_seed(0)
    matrix = torch.randn(12, 40) @ torch.diag(torch.logspace(0, -2, 40))
    x = matrix / matrix.norm()
    for _ in range(3):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalise(matrix, iterations=3), x, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("iterations", "error"), [(3, 0.03), (5, 0.03)])
def test_orthogonalising_wide_matrices_in_bf16_is_close_to_float32(iterations, error):
    torch.manual_seed(0)
    rows = torch.linalg.qr(torch.randn(64, 64)).Q * torch.logspace(0, -3, 64)
    matrix = rows @ torch.linalg.qr(torch.randn(256, 64)).Q.T
    exact = orthogonalise(matrix, iterations)
    assert (orthogonalise(matrix, iterations, torch.bfloat16) - exact).norm() < error * exact.norm()


def test_muon_makes_the_same_step_however_the_filters_lie_in_memory():
    torch.manual_seed(0)
    start, gradient = torch.randn(6, 4, 3, 3), torch.randn(6, 4, 3, 3)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        filters = nn.Parameter(start.clone(memory_format=layout))
        optimiser = Muon([filters], lr=0.1)
        for _ in range(2):
            filters.grad = gradient.clone(memory_format=layout)
            optimiser.step()
        results.append(filters.detach())
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


def test_matrices_in_a_stack_are_made_orthogonal_each_for_itself():
    torch.manual_seed(0)
    stack = torch.randn(3, 10, 12) * torch.tensor([1.0, 1e-3, 50.0]).view(3, 1, 1)
    for matrix, one in zip(stack, orthogonalise(stack, iterations=5), strict=True):
        torch.testing.assert_close(one, orthogonalise(matrix, iterations=5))


def test_muon_with_weight_decay_steps_by_its_rate_times_an_orthogonal_matrix():
    torch.manual_seed(0)
    layers = [nn.Linear(5, 5, bias=False), nn.Linear(5, 20, bias=False), nn.Linear(5, 5, bias=False)]
    before = [layer.weight.detach().clone() for layer in layers]
    optimiser = Muon([layer.weight for layer in layers], lr=0.1, weight_decay=0.5, iterations=6)
    for layer in layers:
        layer.weight.grad = torch.randn_like(layer.weight)
    optimiser.step()
    for layer, old, scale in zip(layers, before, (1.0, 2.0, 1.0), strict=True):
        step = (0.95 * old - layer.weight) / (0.1 * scale)
        values = torch.linalg.svdvals(step)
        assert values.min() > 0.6 and values.max() < 1.3
        assert (step * layer.weight.grad).sum() > 0  # against the gradient


def test_muon_learns_a_direction_at_a_fixed_norm():
    torch.manual_seed(0)
    layer, x, teacher = nn.Linear(6, 4, bias=False), torch.randn(64, 6), torch.randn(4, 6)
    goal = nn.functional.normalize(x @ teacher.T, dim=0)
    optimiser = Muon(layer.parameters(), lr=0.1)
    losses = []
    for step in range(80):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 80)
        loss = (nn.functional.normalize(layer(x), dim=0) - goal).square().sum()
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < 0.05 * losses[0]
    assert layer.weight.norm().item() == pytest.approx(4**0.5, rel=0.2)


def test_digests_see_names_types_shapes_and_bits():
    base = {"a": torch.zeros(4), "b": torch.ones(2)}
    others = [
        {"a": torch.zeros(4), "c": torch.ones(2)},
        {"a": torch.zeros(4, dtype=torch.float64), "b": torch.ones(2)},
        {"a": torch.zeros(2, 2), "b": torch.ones(2)},
        {"a": torch.tensor([0.0, 0.0, 0.0, -0.0]), "b": torch.ones(2)},
    ]
    assert digest_tensors(base) == digest_tensors(dict(reversed(base.items())))
    assert len({digest_tensors(t) for t in [base, *others]}) == 5


def test_seeds_of_different_places_differ():
    assert len({keyed_seed(s, p, e) for s in range(3) for p in ("order", "flip") for e in range(3)}) == 18


def _hold(started):
    with locking.cpu_training_lock("cpu", print):
        started.set()
        time.sleep(1.0)


def test_a_second_training_on_the_cpu_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(locking.tempfile, "gettempdir", lambda: str(tmp_path))
    started = multiprocessing.get_context("fork").Event()
    other = multiprocessing.get_context("fork").Process(target=_hold, args=(started,))
    other.start()
    assert started.wait(5)
    said, before = [], time.monotonic()
    with locking.cpu_training_lock("cpu", said.append):
        waited = time.monotonic() - before
    other.join()
    assert "another training is on this CPU" in said[0] and waited > 0.2
    with locking.cpu_training_lock("cuda", said.append):
        assert len(said) == 1
