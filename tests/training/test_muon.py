"""Muon and its orthogonal updates."""

import math

import pytest
import torch
from torch import nn

from onepage.training import muon
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


@pytest.mark.parametrize("iterations", [3, 5])
def test_bf16_orthogonalises_wide_matrices_close_to_float32(iterations):
    torch.manual_seed(0)
    rows = torch.linalg.qr(torch.randn(64, 64)).Q * torch.logspace(0, -3, 64)
    matrix = rows @ torch.linalg.qr(torch.randn(256, 64)).Q.T
    exact = orthogonalise(matrix, iterations)
    rounded = orthogonalise(matrix, iterations, torch.bfloat16)
    if iterations > 3:  # computed in float32
        assert torch.equal(rounded, exact)
    else:
        assert 0 < (rounded - exact).norm() < 0.03 * exact.norm()


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


SHAPES = [(8, 30), (8, 30), (30, 8), (10, 2, 3, 3), (10, 2, 3, 3), (8, 8), (8, 30)]  # wide ones, tall ones, filters


def stepped(decay=None, updates=3):
    """The weights after some updates with fixed gradients; one more parameter has no gradient."""
    torch.manual_seed(0)
    weights = [nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    for weight in weights[3:5]:
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    optimiser = Muon([*weights, nn.Parameter(torch.ones(2, 2))], lr=0.1, weight_decay=decay)
    for _ in range(updates):
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        optimiser.step()
    return [weight.detach() for weight in weights]


@pytest.mark.parametrize("decay", [None, 0.5])
def test_stacked_matrices_step_as_single_ones(decay, monkeypatch):
    """A GPU stacks all matrices of a shape, a CPU only narrow ones. Neither changes the result."""
    sizes, found = [], {}
    monkeypatch.setattr(muon, "orthogonalise", lambda x, *more: (sizes.append(len(x)), orthogonalise(x, *more))[1])
    for most in (muon.STACKED["cpu"], math.inf, 0.0):
        sizes.clear()
        monkeypatch.setitem(muon.STACKED, "cpu", most)
        weights = stepped(decay, updates=1)
        found[tuple(sorted(sizes))] = weights
    assert list(found) == [(1, 1, 1, 1, 1, 2), (1, 1, 2, 3), (1,) * 7]
    for weights in found.values():
        for weight, single in zip(weights, found[(1,) * 7], strict=True):
            torch.testing.assert_close(weight, single, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("decay", [None, 0.5])
def test_muon_keeps_the_bits_of_plain_steps(decay):
    """The steps are written out for each parameter, with the stacks that a CPU uses."""
    torch.manual_seed(0)
    weights = [torch.randn(shape) for shape in SHAPES]
    for number in (3, 4):
        weights[number] = weights[number].contiguous(memory_format=torch.channels_last)
    momenta = [torch.zeros_like(weight) for weight in weights]
    for _ in range(3):
        updates = []
        for weight, momentum in zip(weights, momenta, strict=True):
            gradient = torch.randn_like(weight)
            momentum.mul_(0.6).add_(gradient)
            update = gradient.add(momentum, alpha=0.6)
            last = update.ndim == 4
            updates.append((update.movedim(1, -1) if last else update).reshape(len(update), -1))
        stacks = {shape: [u for u in updates if u.shape == shape] for shape in {u.shape for u in updates}}
        found = {}
        for (rows, columns), stack in stacks.items():
            wide = columns > 2 * rows
            parts = [orthogonalise(u[None], 3)[0] for u in stack] if wide else orthogonalise(torch.stack(stack), 3)
            found[rows, columns] = iter(parts)
        for weight, update in zip(weights, updates, strict=True):
            (rows, columns), scale = update.shape, 0.1
            if decay is None:
                weight.mul_(math.sqrt(rows) / weight.norm())
            else:
                weight.mul_(1 - 0.1 * decay)
                scale *= math.sqrt(max(1.0, rows / columns))
            direction = next(found[rows, columns])
            moved = direction.view_as(weight.movedim(1, -1)).movedim(-1, 1) if weight.ndim == 4 else direction
            weight.add_(moved, alpha=-scale)
    for mine, plain in zip(stepped(decay), weights, strict=True):
        assert torch.equal(mine, plain)


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
