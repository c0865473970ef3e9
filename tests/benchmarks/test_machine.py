"""FLOPs of the networks, and rates of the machine."""

import pytest
import torch
from torch import nn

from onepage.benchmarks import machine
from onepage.benchmarks.plain_cls import make_model
from onepage.cls.resnet import ResNet18

CPU = torch.device("cpu")


def by_hand(size: int) -> int:
    """FLOPs of ResNet-18 (He et al. 2015, table 1, CIFAR stem) per image, from the widths alone."""
    flops, width_in = 2 * size**2 * 64 * 3 * 9, 64
    for stage, width in enumerate((64, 128, 256, 512)):
        positions = (size // 2**stage) ** 2
        flops += 2 * positions * width * 9 * (width_in + 3 * width)
        flops += 2 * positions * width * width_in if width != width_in else 0
        width_in = width
    return flops + 2 * 512 * 10


@pytest.mark.parametrize("size", [16, 32])
def test_flops_of_resnet18_are_those_of_its_widths(size: int) -> None:
    assert machine.forward_flops(ResNet18(), size) == by_hand(size)
    assert machine.forward_flops(make_model(), size) == by_hand(size)


def test_flops_are_those_of_convolutions_and_linear_layers() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))
    assert machine.forward_flops(model, 8) == 2 * (4 * 36 * 27 + 5 * 144)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_peak_is_the_best_of_its_sizes(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With these times, the convolution at size 16 has twice the rate of every other measurement."""
    seconds = iter([1.0, 1.0, 8.0, 4.0, 64.0, 64.0])
    monkeypatch.setattr(machine, "best_seconds", lambda work, device, repeats: (work(), next(seconds))[1])
    monkeypatch.setattr(machine, "SIZES", {"cpu": (8, 16, 32)})
    found = machine.matmul_peak(precision, CPU)
    assert found == {"flops": 2 * 16**3 / 4.0, "size": 16, "by": "convolution"}


def test_rates_are_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SIZES", {"cpu": (32,)})
    assert machine.matmul_peak("fp32", CPU)["flops"] > 0
    assert not torch.backends.cuda.matmul.allow_tf32


def test_the_shortest_time_counts_and_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 5.0, 10.0, 13.0, 20.0, 24.0])
    monkeypatch.setattr(machine, "perf_counter", lambda: next(ticks))
    calls: list[int] = []
    assert machine.best_seconds(lambda: calls.append(1), CPU, 3) == 3.0
    assert len(calls) == 4


def test_training_rates_leave_out_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 14.0])
    monkeypatch.setattr(machine, "perf_counter", lambda: next(ticks))
    assert machine.training_rate(iter([128, 128, 100, 28, 128]), 2, 2, CPU) == 128 / 4


def test_peaks_are_the_best_of_all_turns() -> None:
    turns = [{"matmul": {"fp32": {"flops": rate}}} for rate in (1.0, 3.0, 2.0)]
    assert machine.peaks({"samples": {"machine": turns}}) == {"fp32": 3.0}


@pytest.mark.parametrize(
    ("cores", "threads", "others"), [(1, 1, []), (2, 2, [1]), (4, 2, [1, 4]), (24, 8, [1, 2, 4, 16])]
)
def test_other_numbers_of_threads_are_those_of_the_cores(
    cores: int, threads: int, others: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.provenance, "cores", lambda: cores)
    assert machine.other_threads(threads) == others
