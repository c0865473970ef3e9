"""Passes replayed as CUDA graphs: when they are captured. A stand-in for torch's capture runs on a CPU."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from onepage.training.device import Replayed, moved


def network() -> nn.Sequential:
    """A small network with one frozen weight, like that of a whitened stem."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    made[0].weight.requires_grad_(False)
    return made.to(memory_format=torch.channels_last)


class Capture:
    """``make_graphed_callables`` without graphs: it warms up on the sample and then copies inputs into one buffer."""

    def __init__(self, network: nn.Module) -> None:
        self.captured: list[tuple[int, ...]] = []
        self.weights = list(network.parameters())

    def __call__(self, passes: Callable[..., Tensor], sample: tuple[Tensor, ...]) -> Callable[..., Tensor]:
        assert not (torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled())
        static, *leaves = sample
        self.captured.append(tuple(static.shape))
        for leaf, weight in zip(leaves, self.weights, strict=True):  # a separate leaf that shares the memory
            assert leaf.is_leaf and leaf is not weight and leaf.requires_grad == weight.requires_grad
            assert leaf.data_ptr() == weight.data_ptr() and leaf.stride() == weight.stride()
        for _ in range(3):
            torch.autograd.grad(passes(*sample).sum(), [leaf for leaf in leaves if leaf.requires_grad])

        def replay(x: Tensor, *given: Tensor) -> Tensor:
            assert x.shape == static.shape
            assert all(one is other for one, other in zip(given, self.weights, strict=True))  # these get the gradients
            if x.data_ptr() != static.data_ptr():
                static.copy_(x)
            return passes(static, *given)

        return replay


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_passes_train_as_eager_ones(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Weights, gradients and running statistics are equal over image sizes 8, 12 and again 8."""
    eager, own = network(), network()
    capture = Capture(own)
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", capture)
    replayed = Replayed(own)
    for size in (8, 8, 8, 12, 12, 8):
        x = torch.randn(5, 3, size, size)
        for call in (eager, replayed):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = call(x.clone()).float().square().sum()
            loss.backward()
        for first, second in zip(eager.parameters(), own.parameters(), strict=True):
            if not first.requires_grad:
                assert second.grad is None
                continue
            assert torch.equal(first.grad, second.grad)
            for parameter in (first, second):
                parameter.data -= 0.1 * parameter.grad
                parameter.grad = None
    assert capture.captured == [(5, 3, 8, 8), (5, 3, 12, 12), (5, 3, 8, 8)]
    for name, value in eager.state_dict().items():
        assert torch.equal(value, own.state_dict()[name]), name


def test_a_tensor_of_a_cpu_stays_where_it_is() -> None:
    tensor = torch.arange(3)
    assert moved(tensor, torch.device("cpu")) is tensor
