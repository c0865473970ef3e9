"""The peak rate of the machine, and the FLOPs of a network.

A rate in images/s means little without a bound. The bound here is the fastest matrix product that torch reaches in the
same precision. FLOPs are 2 x multiply-adds of convolutions and linear layers; everything else (BatchNorm, ReLU,
pooling, optimiser) counts zero, and training counts three times its forward pass.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from onepage.runs import provenance
from onepage.training import seeding

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
TRAINING_PASSES = 3  # forward, gradient of the inputs, gradient of the weights
SIZES = {"cpu": (1024, 2048, 4096), "cuda": (4096, 8192, 16384)}
PRODUCTS = 5  # of each size; the fastest counts


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def best_seconds(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Shortest time of ``work()`` in ``repeats`` tries, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        synchronise(device)
        start = perf_counter()
        work()
        synchronise(device)
        times.append(perf_counter() - start)
    return min(times)


def matmul_peak(precision: str, device: torch.device) -> dict[str, Any]:
    """Best rate of square matrix products over SIZES: {"flops" a second, "size", "by"}.

    On a CPU the product is also measured as a 1x1 convolution ("by": "convolution"), because the two libraries differ:
    a BLAS that does not use the processor's widest instructions would not be a bound. On a GPU "fp32" is measured with
    TF32 allowed, as in the fp32 convolutions of a plain loop there.
    """
    allowed = torch.backends.cuda.matmul.allow_tf32
    seeding.allow_tf32(True)
    try:
        best: dict[str, Any] = {"flops": 0.0, "size": 0, "by": ""}
        for size in SIZES[device.type]:
            a, b = (torch.randn(size, size, device=device).to(DTYPES[precision]) for _ in range(2))
            ways: dict[str, Callable[[], Tensor]] = {"matrix product": partial(torch.mm, a, b, out=torch.empty_like(a))}
            if device.type == "cpu":
                image, filters = a.view(1, size, size, 1), b.view(size, size, 1, 1)
                channels_last = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (image, filters))
                ways["convolution"] = partial(functional.conv2d, *channels_last)
            for by, work in ways.items():
                rate = 2 * size**3 / best_seconds(work, device, PRODUCTS)
                if rate > best["flops"]:
                    best = {"flops": rate, "size": size, "by": by}
        return best
    finally:
        seeding.allow_tf32(allowed)


@torch.no_grad()
def forward_flops(model: nn.Module, image_size: int) -> int:
    """FLOPs of the forward pass of one image (3, image_size, image_size), counted layer by layer, on the CPU."""
    with FlopCounterMode(display=False) as counter:
        model.eval()(torch.zeros(1, 3, image_size, image_size))
    return counter.get_total_flops()


def training_rate(updates: Iterator[int], count: int, warm_up: int, device: torch.device) -> float:
    """Images or tokens per second of a loop over ``count`` updates, after ``warm_up`` that are not counted.

    ``updates`` trains without end, and yields the number of images or tokens of each update.
    """
    for _ in range(warm_up):
        next(updates)
    synchronise(device)
    start = perf_counter()
    done = sum(next(updates) for _ in range(count))
    synchronise(device)
    return done / (perf_counter() - start)


def forward_rate(predict: Callable[[Tensor], Tensor], images: Tensor) -> float:
    """Images per second of inference on images in memory, after some that are not counted."""
    predict(images[:512])
    start = perf_counter()
    predict(images)
    return len(images) / (perf_counter() - start)


def use_all_cores() -> int:
    """Let torch use all cores of this process, regardless of OMP_NUM_THREADS; returns their number."""
    torch.set_num_threads(provenance.cores())
    return provenance.cores()


def other_threads(threads: int) -> list[int]:
    """Numbers of threads to compare with ``threads``: 1, 2, 4, 8 and 16, up to the number of cores."""
    return [number for number in (1, 2, 4, 8, 16) if number <= provenance.cores() and number != threads]


def measure(device: str, precision: str) -> dict[str, Any]:
    """Matrix-product peaks in fp32 and in ``precision``, on all cores."""
    threads = use_all_cores()
    found = {name: matmul_peak(name, torch.device(device)) for name in sorted({"fp32", precision})}
    return {"matmul": found, "threads": threads}


def peaks(result: Mapping[str, Any]) -> dict[str, float]:
    """The best matrix-product rate in each precision, over all turns of a benchmark."""
    taken = [sample["matmul"] for sample in result["samples"]["machine"]]
    return {precision: max(found[precision]["flops"] for found in taken) for precision in taken[0]}
