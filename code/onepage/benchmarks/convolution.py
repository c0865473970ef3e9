"""``make bench-conv``: our convolution against ``nn.Conv2d``, layer by layer.

Every 3x3 layer of ResNet-18 that is ours (``onepage.cls.convolution.Conv2d``), at each image size, batch 256, channels
last, in turns with the library's: the forward pass (with gradients recorded), the gradient of the weights (of an input
that needs none), and the backward pass whole. The gradient of the input is the difference of the last two. All through
autograd, as training does it.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onepage.benchmarks import results, turns
from onepage.benchmarks.machine import DTYPES, synchronise
from onepage.cls.convolution import Conv2d
from onepage.cls.resnet import ResNet18
from onepage.terminal.progress import clock
from onepage.training.locking import cpu_training_lock

IMAGE_SIZES = (16, 20, 24, 32)
BATCH_SIZE = 256
MEASURES = ("forward", "weight", "backward")
CONTENDERS = ("library", "ours")
HEADS = ("image", "layer", "precision", "forward", "input gradient", "weight gradient", "update")
Shape = tuple[int, int, int, int]  # channels in, channels out, stride, height of the input


def layer_shapes(image_size: int) -> list[Shape]:
    """The distinct shapes of our convolutions in ResNet-18 at an image size, in order of the forward pass."""
    shapes: dict[Shape, None] = {}

    def note(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.Conv2d)
        shapes[layer.in_channels, layer.out_channels, layer.stride[0], inputs[0].shape[2]] = None

    model = ResNet18().eval()
    for layer in model.modules():
        if isinstance(layer, Conv2d):
            layer.register_forward_pre_hook(note)
    with torch.no_grad():
        model(torch.zeros(1, 3, image_size, image_size))
    return list(shapes)


def make_pair(shape: Shape, dtype: torch.dtype, device: torch.device) -> dict[str, nn.Module]:
    """The layer by the library and by us, with the same weights."""
    width_in, width, stride, _ = shape
    pair = {
        "library": nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False),
        "ours": Conv2d(width_in, width, 3, stride, padding=1),
    }
    pair["ours"].load_state_dict(pair["library"].state_dict())
    return {
        name: layer.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        for name, layer in pair.items()
    }


def pass_seconds(layer: nn.Module, x: Tensor, dy: Tensor, device: torch.device) -> dict[str, float]:
    """Seconds of one forward pass, of the weight gradient alone, and of a whole backward pass."""
    times: dict[str, float] = {}
    for measure, needs_input in (("weight", False), ("backward", True)):
        x.requires_grad_(needs_input)
        x.grad = None
        layer.zero_grad(set_to_none=True)
        synchronise(device)
        start = time.perf_counter()
        y = layer(x)
        synchronise(device)
        middle = time.perf_counter()
        y.backward(dy)
        synchronise(device)
        times[measure] = time.perf_counter() - middle
        times["forward"] = middle - start  # of the second, where the input needs its gradient: as in training
    return times


def layer_times(
    shape: Shape, precision: str, repeats: int, device: torch.device, batch_size: int = BATCH_SIZE
) -> dict[str, dict[str, list[float]]]:
    """{contender: {measure: seconds of each repeat}}, in turns, after one that is not counted."""
    width_in, width, stride, size = shape
    dtype, out = DTYPES[precision], (size - 1) // stride + 1
    pair = make_pair(shape, dtype, device)
    x = torch.randn(batch_size, width_in, size, size, device=device, dtype=dtype)
    dy = torch.randn(batch_size, width, out, out, device=device, dtype=dtype)
    x, dy = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, dy))
    times: dict[str, dict[str, list[float]]] = {name: {measure: [] for measure in MEASURES} for name in CONTENDERS}
    for repeat in range(repeats + 1):
        for name in CONTENDERS:
            found = pass_seconds(pair[name], x, dy, device)
            for measure in MEASURES if repeat else ():
                times[name][measure].append(found[measure])
    return times


def run(
    repeats: int, threads: int, device: str, out: Path, image_sizes: Sequence[int], precisions: Sequence[str]
) -> dict[str, Any]:
    """Time every layer at every size; returns the result as it is kept."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    result = results.about(device) | {"batch_size": BATCH_SIZE, "threads": threads, "repeats": repeats, "layers": []}
    log, say = turns.opened_log(out, "conv", result, "layers")
    cases = [
        (size, shape, precision) for precision in precisions for size in image_sizes for shape in layer_shapes(size)
    ]
    with cpu_training_lock(device, say):
        say(f"{results.hardware(result)}; {len(cases)} layers, {repeats} turns each, log in {log}")
        started = time.monotonic()
        for done, (size, shape, precision) in enumerate(cases, 1):
            times = layer_times(shape, precision, repeats, torch.device(device))
            row = {"image_size": size, "shape": list(shape), "precision": precision, "seconds": times}
            result["layers"].append(row)
            left = (time.monotonic() - started) / done * (len(cases) - done)
            say(f"{done}/{len(cases)}  {'  '.join(cells(row))}  {clock(left)} left")
    return result


def medians(row: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """{contender: {measure: median seconds}}, with "input" (backward less weight gradient) and "update" (all)."""
    found = {}
    for name, times in row["seconds"].items():
        middle = {measure: statistics.median(values) for measure, values in times.items()}
        middle["input"] = max(0.0, middle["backward"] - middle["weight"])
        middle["update"] = middle["forward"] + middle["backward"]
        found[name] = middle
    return found


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """One layer for the table: milliseconds of the library's and ours, and how many times faster ours is."""
    width_in, width, stride, size = row["shape"]
    found = medians(row)

    def beside(measure: str) -> str:
        theirs, ours = (found[name][measure] * 1e3 for name in CONTENDERS)
        ratio = f"{theirs / ours:.2f}" if ours > 0 else "-"
        return f"{results.digits(theirs, 2)} / {results.digits(ours, 2)} = {ratio}"

    layer = f"{width_in} to {width}, {size}x{size}" + (f", stride {stride}" if stride > 1 else "")
    head = (f"{row['image_size']} px", layer, row["precision"])
    return head + tuple(beside(measure) for measure in ("forward", "input", "weight", "update"))


def totals(layers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """A row for each precision and image size: the ratio of the sums over the layers, each counted once."""
    for precision, size in dict.fromkeys((row["precision"], row["image_size"]) for row in layers):
        found = [medians(row) for row in layers if (row["precision"], row["image_size"]) == (precision, size)]
        sums = {
            measure: [sum(layer[name][measure] for layer in found) for name in CONTENDERS]
            for measure in ("forward", "input", "weight", "update")
        }
        ratios = (f"{theirs / ours:.2f}" if ours > 0 else "-" for theirs, ours in sums.values())
        yield (f"{size} px", "all of these", precision, *ratios)


def show(result: Mapping[str, Any]) -> None:
    """Print the table to the terminal: milliseconds, library / ours = ratio."""
    from onepage.verification.verify import print_rows

    rows = [*(cells(row) for row in result["layers"]), *totals(result["layers"])]
    print_rows("Milliseconds by nn.Conv2d / by ours = times faster", HEADS, rows)
