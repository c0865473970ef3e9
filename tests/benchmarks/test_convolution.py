"""The layers that are timed, in pairs with the same weights, and what is made of the times."""

import pytest
import torch

from onepage.benchmarks import convolution

CPU = torch.device("cpu")


def test_layers_are_those_of_resnet18() -> None:
    maps = [(64, 64, 1, 20), (64, 128, 2, 20), (128, 128, 1, 10), (128, 256, 2, 10), (256, 256, 1, 5)]
    assert convolution.layer_shapes(20) == [*maps, (256, 512, 2, 5), (512, 512, 1, 3)]


def test_pairs_compute_the_same() -> None:
    pair = convolution.make_pair((8, 4, 2, 5), torch.float32, CPU)
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(pair["ours"](x), pair["library"](x))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_layer_is_timed_as_often_as_asked(precision: str) -> None:
    found = convolution.layer_times((128, 4, 1, 3), precision, 2, CPU, batch_size=2)
    assert set(found) == {"library", "ours"}
    for times in found.values():
        assert {measure: len(values) for measure, values in times.items()} == dict.fromkeys(convolution.MEASURES, 2)
        assert all(value > 0 for values in times.values() for value in values)


def row(size: int, factor: float) -> dict[str, object]:
    """A layer of which the library's times are 2, 3, 8 ms in the middle, and ours by ``factor`` of them."""
    middle = {"forward": 0.002, "weight": 0.003, "backward": 0.008}
    library = {name: [value * 0.5, value, value * 9] for name, value in middle.items()}
    ours = {name: [value * factor for value in values] for name, values in library.items()}
    shape = [64, 128, 2, 10]
    return {"image_size": size, "shape": shape, "precision": "fp32", "seconds": {"library": library, "ours": ours}}


def test_medians_and_the_difference_that_is_the_input_gradient() -> None:
    found = convolution.medians(row(16, 0.5))
    assert found["library"]["input"] == pytest.approx(0.005) and found["ours"]["update"] == pytest.approx(0.005)
    assert convolution.cells(row(16, 0.5)) == (
        "16 px", "64 to 128, 10x10, stride 2", "fp32",
        "2.0 / 1.0 = 2.00", "5.0 / 2.5 = 2.00", "3.0 / 1.5 = 2.00", "10 / 5.0 = 2.00",
    )  # fmt: skip


def test_totals_are_ratios_of_sums() -> None:
    rows = [row(16, 0.5), row(16, 1.5), row(24, 2.0)]
    assert list(convolution.totals(rows)) == [
        ("16 px", "all of these", "fp32", *["1.00"] * 4),
        ("24 px", "all of these", "fp32", *["0.50"] * 4),
    ]
