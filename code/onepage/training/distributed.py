"""One training in several processes: started by torchrun, joined by gloo or NCCL, averaged by DistributedDataParallel.

Each process holds the whole model and computes its part of the recipe's global batch. The gradients are averaged after
the backward pass (Li et al. 2020, "PyTorch Distributed"), in fp32, so that every process makes the same update. Random
numbers that must not depend on the number of processes are drawn for the global batch first. Only rank 0 writes. A
training in one process is ``ALONE``: then nothing below computes, waits or imports. Left out: sharded parameters and
optimisers.
"""

import contextlib
import ctypes
import datetime
import inspect
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from onepage.errors import UserError
from onepage.training.seeding import keyed_seed

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)
PATIENCE = datetime.timedelta(minutes=30)  # to wait for a process that neither answers nor ends
LINGER = 5.0  # seconds: a process that lost a peer ends this much later, so that the peer's own error is reported


@dataclass(frozen=True)
class Ranks:
    """This process and the number of processes of its training."""

    rank: int = 0
    world: int = 1
    """Processes of the training, over all nodes."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def words(self) -> str:
        """The number of processes, to add to a line; "" for one."""
        return f", {self.world} processes" if self.world > 1 else ""

    def rows(self, n: int) -> slice:
        """This process's part of ``n`` rows of a global batch; the sizes of parts differ by at most one row."""
        return slice(self.rank * n // self.world, (self.rank + 1) * n // self.world)

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of a global batch sorted by length: every ``world``-th row, for similar lengths."""
        return items if self.world == 1 else items[self.rank :: self.world]

    def weight(self, mine: int, total: int) -> float:
        """The weight of a mean over ``mine``, with which the average over processes is the mean over all ``total``."""
        return 1.0 if self.world == 1 else mine * self.world / total

    def normalising(self, model: M, batch_norm: str) -> M:
        """The model with the recipe's BatchNorm: over each process's part, or over the global batch.

        Raises UserError for "synchronised" on a CPU, which PyTorch does not support.
        """
        if self.world == 1 or batch_norm == "local":
            return model
        if next(model.parameters()).device.type != "cuda":
            raise UserError('batch_norm = "synchronised" needs CUDA GPUs; on a CPU train with "local", or NPROC=1')
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)

    def averaging(self, model: nn.Module) -> nn.Module:
        """The module to call in the loop: its backward pass averages the gradients over all processes.

        BatchNorm's running statistics are not exchanged: training does not read them, and only those of rank 0 are
        saved.
        """
        if self.world == 1:
            return model
        wrapper: Any = nn.parallel.DistributedDataParallel
        now = "forward_sync_buffers" in inspect.signature(wrapper).parameters  # from torch 2.13 on
        wrapped: nn.Module = wrapper(model, **{"forward_sync_buffers" if now else "broadcast_buffers": False})
        return wrapped

    def reseed(self, seed: int, update: int) -> None:
        """Seed the default generators for an update, with other draws in each process (dropout).

        A training in one process continues its random stream. With several, whose number may change at a checkpoint,
        each process is seeded by (seed, update, rank).
        """
        if self.world > 1:
            torch.manual_seed(keyed_seed(seed, "default", update, self.rank))

    def add(self, sums: Tensor) -> None:
        """Replace ``sums``, in place, by the sums over all processes."""
        if self.world > 1:
            torch.distributed.all_reduce(sums)

    def from_main(self, value: T) -> T:
        """The value of rank 0, sent to every process."""
        if self.world == 1:
            return value
        held = [value]
        torch.distributed.broadcast_object_list(held, src=0, device=_device())
        return held[0]

    @torch.no_grad()
    def check_alike(self, model: nn.Module, update: int) -> None:
        """Raise UserError if the weights are no longer the same in all processes.

        Each process makes its own update from the averaged gradients; different processors would round it differently.
        """
        if self.world == 1:
            return
        own = torch.stack([parameter.double().sum() for parameter in model.parameters()]).sum()
        ends = torch.stack([own, -own])
        torch.distributed.all_reduce(ends, torch.distributed.ReduceOp.MAX)
        if not torch.equal(ends[0], -ends[1]):
            raise UserError(
                f"after update {update} the processes hold different weights; use processors of one kind for all"
            )


ALONE = Ranks()


def _device() -> torch.device:
    """The device of tensors to exchange: NCCL requires the GPU."""
    return torch.device("cuda" if torch.distributed.get_backend() == "nccl" else "cpu")


def in_job() -> bool:
    """Whether torchrun, or a program that sets the same variables, started this process as one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextlib.contextmanager
def join(device: str) -> Iterator[Ranks]:
    """This process's ``Ranks`` among those that torchrun started; ``ALONE`` if there are no others.

    ``device`` "cpu" joins them by gloo, "cuda" by NCCL, each process with the GPU of its local rank. Raises UserError
    if that GPU does not exist, or if another process has ended.
    """
    if not in_job():
        yield ALONE
        return
    _end_with_parent()
    if device == "cuda":
        local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= there:
            raise UserError(
                f"process {local + 1} of this machine has no CUDA GPU: torch sees {there}; set NPROC={there}"
            )
        torch.cuda.set_device(local)
    elif os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
        # all on one machine: gloo need not look up the machine's network name
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    try:
        torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
        yield Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())
    except RuntimeError as error:
        if not of_a_lost_peer(error):
            raise
        time.sleep(LINGER)
        raise UserError("another process of this training has ended; run the same command to go on") from error
    torch.distributed.destroy_process_group()


def of_a_lost_peer(error: BaseException) -> bool:
    """Whether the text of an error says that an exchange failed because another process has ended."""
    text = str(error).lower()
    return isinstance(error, torch.distributed.DistError) or any(name in text for name in ("gloo", "nccl", "peer"))


def _end_with_parent() -> None:
    """Have Linux send SIGTERM to this process when its launcher ends, because a killed torchrun leaves its workers."""
    if sys.platform == "linux" and "TORCHELASTIC_RUN_ID" in os.environ:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
