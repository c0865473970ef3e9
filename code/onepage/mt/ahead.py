"""The pairs of the next epoch, sampled in another process while this one trains, with bit-identical results.

BPE-dropout is plain Python, for which a GPU would wait. On a CPU all cores train, and the training process samples.
"""

import contextlib
import multiprocessing
import signal
from multiprocessing.connection import Connection

from onepage.mt.batching import Material, Pair


class Ahead:
    """Gives the epochs of ``material``; if the other process has ended, this one samples."""

    def __init__(self, material: Material):
        self.material, self.asked = material, -1  # the epoch that the other process was asked for
        context = multiprocessing.get_context("spawn")  # a forked copy of a process that holds a GPU is of no use
        self.other, ours = context.Pipe()
        self.process = context.Process(target=_serve, args=(ours, material), daemon=True)
        self.process.start()
        ours.close()

    def epoch(self, epoch: int) -> tuple[list[Pair], list[list[int]]]:
        """Pairs and batches of an epoch; the one after it is asked for."""
        found, asked = None, self.asked
        with contextlib.suppress(EOFError, OSError):
            sampled = self.other.recv() if asked >= 0 else None
            found = sampled if epoch == asked else None
            self.asked = epoch + 1
            self.other.send(self.asked)
        return found or self.material.epoch(epoch)


def _serve(training: Connection, material: Material) -> None:
    """Sample the epochs that are asked for until the training has ended, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which saves and ends
    with contextlib.suppress(EOFError, OSError):
        while True:
            training.send(material.epoch(training.recv()))
