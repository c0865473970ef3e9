"""The GPU's part of a training run: copies that do not wait for it, and passes replayed as CUDA graphs.

Gray 2019, "Getting started with CUDA graphs" (NVIDIA); ``torch.cuda.make_graphed_callables`` captures them. Left out:
graphs of the Transformer, whose batches have some hundred shapes, and of several processes, which exchange gradients in
their backward pass.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on ``device``, without waiting for a GPU's pending work."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Replayed:
    """A network in training whose forward and backward passes are CUDA graphs, captured for each shape of its input.

    The GPU runs the kernels of eager mode in the same order; the CPU launches two graphs in place of some hundred
    kernels. A graph is made at the first batch of a shape, so that a resumed training replays what an uninterrupted one
    does. For networks that draw no random numbers.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        self._shape: torch.Size | None = None
        self._passes: Callable[[Tensor], Tensor] = network

    def __call__(self, x: Tensor) -> Tensor:
        if x.shape != self._shape:
            self._passes = self.network  # the graphs before are in cycles: the garbage collector frees them later
            self._shape, self._passes = x.shape, self._captured(x)
        return self._passes(x)

    def _captured(self, x: Tensor) -> Callable[[Tensor], Tensor]:
        buffers = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        names, weights = zip(*self.network.named_parameters(), strict=True)
        # The same memory as leaves of its own: autograd adds up the gradient of a leaf on the stream of its first pass,
        # here that of the warm-up, and every update would wait for that stream once for each weight.
        leaves = [weight.detach().requires_grad_(weight.requires_grad) for weight in weights]

        def passes(x: Tensor, *leaves: Tensor) -> Tensor:
            return functional_call(self.network, dict(zip(names, leaves, strict=True)), (x,))

        kind = x.device.type
        dtype, enabled = torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind)
        uncached = torch.autocast(kind, dtype, enabled, cache_enabled=False)
        with uncached, warnings.catch_warnings():
            # torch deliberately captures on a different stream than it warms up on
            warnings.filterwarnings("ignore", "The AccumulateGrad node's stream")
            graphed: Callable[..., Any] = torch.cuda.make_graphed_callables(passes, (x, *leaves))  # type: ignore[assignment]
        with torch.no_grad():  # the warm-up passes counted this batch into BatchNorm's running statistics
            for buffer, before in buffers:
                buffer.copy_(before)
        return lambda x: graphed(x, *weights)
