"""What more GPUs would bring to the recipe for 96 %, reckoned from a few numbers; nothing here is measured on one.

An update on N GPUs of a global batch of B images takes

    t(N) = B F / (N U P) + S + max(0, X(N) - H B F / (N U P))
    X(N) = 2 (N - 1) / N G / W(N) + 2 (N - 1) L

the part of the arithmetic that is divided, the part that is not (kernel launches of one update, the optimiser, the
augmentation of the whole batch), and what of the gradients' exchange by a ring (Patarasuk & Yuan 2009) does not hide
behind the backward pass. Training takes the recipe's updates times t(N); its price is N times that. Scaling has ended
where the divided part is the smaller one: twice as many GPUs then bring less than a third.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from onepage.benchmarks import results
from onepage.benchmarks.machine import TRAINING_PASSES
from onepage.cls.resnet import PARAMETERS


@dataclass(frozen=True)
class Inputs:
    """The recipe full-cuda, which aims at 96 %, and assumed hardware: H100 GPUs, eight a node."""

    images: int = 49_000
    """Training images of an epoch."""
    batch: int = 512
    """B, images an update, over all GPUs."""
    epochs: tuple[tuple[float, int], ...] = ((6.0, 24), (20.0, 32))
    """Epochs at each image size, in pixels."""
    flops_32: float = 1.11e9
    """Forward pass of one image at 32 px; training is three times it (F), and goes with the square of the size."""
    peak: float = 989e12
    """P, bf16 FLOP/s of one GPU without sparsity (NVIDIA's data sheet of the H100 SXM)."""
    used: float = 0.25
    """U, share of it that the convolutions reach (assumed)."""
    fixed_seconds: float = 4e-3
    """S, of an update whatever its batch: about 700 kernel launches of 5 microseconds, and the optimiser (assumed)."""
    gradient_bytes: float = 4.0 * PARAMETERS
    """G, in fp32."""
    inside: float = 300e9
    """W inside a node, bytes/s of the exchange (NVLink; assumed)."""
    between: float = 40e9
    """W between nodes, bytes/s a GPU (InfiniBand NDR; assumed)."""
    latency: float = 5e-6
    """L, seconds a step of the ring (assumed)."""
    hidden: float = 0.5
    """H, share of the divided part that the exchange can hide behind (the backward pass, less its end; assumed)."""
    node: int = 8
    """GPUs of one node."""
    price: float = 3.0
    """US dollars a GPU and hour (assumed)."""


INPUTS = Inputs()
GPUS = (1, 2, 4, 8, 16, 64)


def divided_seconds(gpus: int, size: int, inputs: Inputs = INPUTS) -> float:
    """The part of an update that N GPUs divide, at one image size."""
    flops = TRAINING_PASSES * inputs.flops_32 * (size / 32) ** 2
    return inputs.batch * flops / (gpus * inputs.used * inputs.peak)


def exchange_seconds(gpus: int, inputs: Inputs = INPUTS) -> float:
    """X(N): the exchange of the gradients by itself."""
    width = inputs.inside if gpus <= inputs.node else inputs.between
    return 2 * (gpus - 1) / gpus * inputs.gradient_bytes / width + 2 * (gpus - 1) * inputs.latency


def update_seconds(gpus: int, size: int, inputs: Inputs = INPUTS) -> float:
    """t(N), at one image size."""
    divided = divided_seconds(gpus, size, inputs)
    return divided + inputs.fixed_seconds + max(0.0, exchange_seconds(gpus, inputs) - inputs.hidden * divided)


def training_seconds(gpus: int, inputs: Inputs = INPUTS) -> float:
    """All updates of the recipe."""
    an_epoch = inputs.images // inputs.batch
    return sum(round(epochs * an_epoch) * update_seconds(gpus, size, inputs) for epochs, size in inputs.epochs)


def end_of_scaling(inputs: Inputs = INPUTS) -> int:
    """The fewest GPUs, 1, 2, 4 ..., at which the divided part is under half of an update at the last size."""
    gpus, size = 1, inputs.epochs[-1][1]
    while divided_seconds(gpus, size, inputs) >= update_seconds(gpus, size, inputs) / 2:
        gpus *= 2
    return gpus


def markdown(inputs: Inputs = INPUTS, gpus: Sequence[int] = GPUS) -> str:
    """The table of the estimate, and where scaling ends."""
    alone = training_seconds(1, inputs)
    rows = []
    for number in gpus:
        seconds, size = training_seconds(number, inputs), inputs.epochs[-1][1]
        rows.append(
            (
                str(number),
                f"{1000 * update_seconds(number, size, inputs):.1f} ms",
                f"{1000 * exchange_seconds(number, inputs):.2f} ms",
                results.duration(seconds),
                f"{alone / seconds:.1f}",
                f"{100 * alone / seconds / number:.0f} %",
                f"{number * seconds / 3600 * inputs.price:.2f} $",
            )
        )
    heads = ("GPUs", "update at 32 px", "exchange alone", "training", "speed-up", "efficiency", "price")
    end = end_of_scaling(inputs)
    return (
        results.markdown(heads, rows)
        + f"\n\nReckoned, not measured. From {end} GPUs on, less than half of an update is work that more GPUs divide."
    )
