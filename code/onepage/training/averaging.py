"""An exponential moving average of weights (Polyak & Juditsky 1992; Tarvainen & Valpola 2017, section 3).

BatchNorm's running mean and variance are averaged with the weights they belong to: they then describe the averaged
network to first order, and no extra pass over the data is needed. Integer buffers are copied.
"""

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


class WeightAverage(Generic[M]):
    """Keeps ``average = decay * average + (1 - decay) * weights`` over ``update`` calls."""

    def __init__(self, model: M, decay: float, averaged: M | None = None):
        """``averaged``: a network like ``model``, to hold the averaged weights; a copy where it is not given."""
        self.decay = decay
        self.model = copy.deepcopy(model) if averaged is None else averaged
        self.model.load_state_dict(model.state_dict())
        self.average = {name: value.detach() for name, value in self.model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Include the weights after update number ``step`` (from 1); early on, the average forgets faster."""
        decay = min(self.decay, step / (step + 10))
        floats, news = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                floats.append(self.average[name])
                news.append(value)
            else:
                self.average[name].copy_(value)
        torch._foreach_lerp_(floats, news, 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by parameter name."""
        return self.average

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue from what ``state_dict`` gave."""
        for name, value in state.items():
            self.average[name].copy_(value)
