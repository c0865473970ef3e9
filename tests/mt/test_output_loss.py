"""The combined output layer and loss equals torch's two steps, in value and gradients."""

import pytest
import torch
import torch.nn.functional as F

from onepage.mt import output_loss as module
from onepage.mt.output_loss import output_loss
from onepage.training.seeding import keyed_generator

IGNORED = -100


def arrays(dtype=torch.float32, rows=11, width=6, vocabulary=9):
    generator = keyed_generator("output loss")
    shapes = (rows, width), (vocabulary, width), (vocabulary,)
    inputs = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for s in shapes]
    labels = torch.randint(0, vocabulary, (rows,), generator=generator)
    labels[::4] = IGNORED
    return inputs, labels


def by_torch(inputs, labels, smoothing):
    return F.cross_entropy(F.linear(*inputs), labels, label_smoothing=smoothing, ignore_index=IGNORED)


@pytest.fixture(params=[3, 11, 100])
def rows_at_a_time(request, monkeypatch):
    """Several parts, the last one smaller; one full part; one part that is not full."""
    monkeypatch.setattr(module, "ROWS", {"cpu": request.param})


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_are_torchs(rows_at_a_time, smoothing):
    (inputs, labels), (others, _) = arrays(torch.float64), arrays(torch.float64)
    expected, got = by_torch(inputs, labels, smoothing), output_loss(*others, labels, smoothing, IGNORED, torch.float64)
    torch.testing.assert_close(got, expected)
    (expected * 3).backward()
    (got * 3).backward()
    for ours, theirs in zip(others, inputs, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_without_gradients_the_loss_is_the_same():
    inputs, labels = arrays()
    with torch.no_grad():
        torch.testing.assert_close(
            output_loss(*inputs, labels, 0.1, IGNORED, torch.float32), by_torch(inputs, labels, 0.1)
        )


def test_products_in_bf16_change_little():
    inputs, labels = arrays()
    exact, rounded = (output_loss(*inputs, labels, 0.1, IGNORED, kind) for kind in (torch.float32, torch.bfloat16))
    assert exact != rounded
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.02)
    gradients = [torch.autograd.grad(loss, inputs) for loss in (exact, rounded)]
    for one, other in zip(*gradients, strict=True):
        assert one.dtype == other.dtype == torch.float32
        torch.testing.assert_close(other, one, atol=0.01, rtol=0.05)
