"""Passes replayed as CUDA graphs: what is captured when, with a stand-in for torch's capture that runs on a CPU."""

import pytest
import torch
from torch import Tensor, nn

from onepage.training.device import Replayed, moved


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Capture:
    """``make_graphed_callables`` as torch has it, less the graphs: warm-up on the sample, then one place for inputs."""

    def __init__(self) -> None:
        self.captured: list[tuple[int, ...]] = []

    def __call__(self, passes: nn.Module, sample: tuple[Tensor]) -> nn.Module:
        assert not (torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled())
        self.captured.append(tuple(sample[0].shape))
        (static,), run = sample, passes.forward
        for _ in range(3):
            torch.autograd.grad(run(static).sum(), list(passes.parameters()))

        def replay(x: Tensor) -> Tensor:
            assert x.shape == static.shape
            if x.data_ptr() != static.data_ptr():
                static.copy_(x)
            return run(static)

        passes.forward = replay  # type: ignore[method-assign]
        return passes


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_replayed_passes_train_as_eager_ones(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    """Over two sizes, one of them met again: the same weights, gradients and running statistics."""
    capture = Capture()
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", capture)
    eager, own = network(), network()
    replayed = Replayed(own)
    for size in (8, 8, 8, 12, 12, 8):
        x = torch.randn(5, 3, size, size)
        for call in (eager, replayed):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = call(x.clone()).float().square().sum()
            loss.backward()
        for first, second in zip(eager.parameters(), own.parameters(), strict=True):
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
