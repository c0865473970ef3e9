"""Muon and its orthogonal updates."""

import pytest
import torch
from torch import nn

from onepage.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 30), (30, 8)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape), iterations=6))
    assert values.min() > 0.6 and values.max() < 1.3


def test_gram_matrix_iteration_equals_plain_one():
    torch.manual_seed(0)
    matrix = torch.randn(12, 40) @ torch.diag(torch.logspace(0, -2, 40))
    x = matrix / matrix.norm()
    for _ in range(3):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalise(matrix, iterations=3), x, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("iterations", "error"), [(3, 0.03), (5, 0.03)])
def test_bf16_orthogonalises_wide_matrices_close_to_float32(iterations, error):
    torch.manual_seed(0)
    rows = torch.linalg.qr(torch.randn(64, 64)).Q * torch.logspace(0, -3, 64)
    matrix = rows @ torch.linalg.qr(torch.randn(256, 64)).Q.T
    exact = orthogonalise(matrix, iterations)
    assert (orthogonalise(matrix, iterations, torch.bfloat16) - exact).norm() < error * exact.norm()


def test_muon_steps_alike_in_either_memory_layout():
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


def test_matrices_in_a_stack_are_orthogonalised_separately():
    torch.manual_seed(0)
    stack = torch.randn(3, 10, 12) * torch.tensor([1.0, 1e-3, 50.0]).view(3, 1, 1)
    for matrix, one in zip(stack, orthogonalise(stack, iterations=5), strict=True):
        torch.testing.assert_close(one, orthogonalise(matrix, iterations=5))


def test_muon_steps_by_its_rate_and_weight_decay():
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
