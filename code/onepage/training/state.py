"""The state of a training loop, in one object that a checkpoint saves and restores.

It holds everything that an update changes: weights, their average, optimisers, counters, the place in the epoch, sums
since the last validation, and the default generators. Keyed draws (see seeding.py) need no state.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from onepage.errors import UserError
from onepage.training import seeding
from onepage.training.averaging import WeightAverage
from onepage.training.distributed import Ranks
from onepage.training.schedules import validation_updates
from onepage.training.session import Session

B = TypeVar("B")
M = TypeVar("M", bound=nn.Module)
COUNTERS = ("update", "epoch", "place", "seen")
READ_EVERY = {"cpu": 1, "cuda": 20}  # updates between readings of the loss, each of which makes a GPU wait


class TrainingState(Generic[M, B]):
    """Everything that one update of a training run changes."""

    def __init__(
        self,
        model: M,
        optimisers: list[torch.optim.Optimizer],
        average: WeightAverage[M],
        updates: int,
        validations: int,
        batches: Callable[[int], Sequence[B]],
        counts: int,
        ranks: Ranks,
    ):
        """``batches(epoch)``: the batches of an epoch. ``counts``: the number of values that ``count`` takes."""
        self.model, self.optimisers, self.ranks = model, optimisers, ranks
        self.average = average
        self.peaks = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
        self.updates = updates
        """Of the whole training."""
        self.validate_after = validation_updates(updates, validations)
        self.update = 0
        """Updates made so far."""
        self.epoch = self.place = 0
        """The next batch: its epoch, and its number in the epoch."""
        self.seen = 0
        """Images or target tokens trained on so far."""
        self._batches_of, self._batches = batches, list[B]()
        # on the device, so that nothing waits for a GPU until they are read
        self.sums = torch.zeros(counts, dtype=torch.float64, device=next(model.parameters()).device)

    def next_batch(self) -> B:
        """The batch of this update; the batches of an epoch are made together when it begins."""
        if not self._batches:
            self._batches = list(self._batches_of(self.epoch))
        return self._batches[self.place]

    def set_rates(self, factor: float) -> None:
        """Set every learning rate to its peak times ``factor``."""
        for optimiser, rates in zip(self.optimisers, self.peaks, strict=True):
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor

    def step(self, seen: int) -> None:
        """Make the update from the gradients, average the weights, and advance to the next batch."""
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.update += 1
        self.average.update(self.model, self.update)
        self.seen += seen
        self.place += 1
        if self.place == len(self._batches):
            self.epoch, self.place, self._batches = self.epoch + 1, 0, []

    @property
    def validates(self) -> bool:
        """Whether to validate after this update."""
        return self.update in self.validate_after

    @property
    def shows(self) -> bool:
        """Whether to read the means after this update."""
        return self.update % READ_EVERY[self.sums.device.type] == 0 or self.validates

    @property
    def epochs(self) -> float:
        """Epochs trained so far."""
        return self.epoch + (self.place / len(self._batches) if self.place else 0.0)

    def count(self, *values: Tensor | float) -> None:
        """Add an update's values, each summed over all processes, to the sums since the last validation.

        The order of the values: totals, of which the first is the loss; the count that they are totals over; whether
        this process was asked to stop.
        """
        counted = torch.zeros_like(self.sums)
        for number, value in enumerate(values):
            counted[number] = value
        self.ranks.add(counted)
        self.sums += counted

    def means(self, session: Session) -> list[float]:
        """The means since the last validation; tells ``session`` how many processes were asked to stop.

        Raises UserError if the loss is not finite.
        """
        *totals, number, stops = self.sums.tolist()
        session.stop_if(stops)
        if not math.isfinite(totals[0]):
            raise UserError(
                f"the loss became infinite or undefined at or before update {self.update}; "
                f"lower the learning rates, delete {session.run} and try again"
            )
        return [total / number for total in totals]

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values for a checkpoint."""
        return {
            **{name: getattr(self, name) for name in COUNTERS},
            "sums": self.sums.tolist()[:-1],  # without the processes asked to stop: none when the run resumes
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "generators": seeding.generator_states(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load a ``state_dict``; raises one of many errors for that of another training run."""
        for name in COUNTERS:
            setattr(self, name, state[name])
        self.sums[:-1] = torch.tensor(state["sums"], dtype=torch.float64)
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        seeding.restore_generators(state["generators"])
        self._batches = list(self._batches_of(self.epoch))
        if not (0 <= self.update <= self.updates and 0 <= self.place < len(self._batches)):
            raise ValueError(f"update {self.update} of {self.updates}, batch {self.place} of {len(self._batches)}")
