"""The convolution with our own weight gradient equals the library's, at every shape that uses it."""

import pytest
import torch
from torch import nn

from onepage.cls.convolution import Conv2d, by_position, convolve, input_gradient, weight_gradient
from onepage.cls.resnet import ResNet18

SHAPES = [(1, 1), (2, 1), (3, 1), (4, 1), (4, 2), (5, 2), (6, 2), (16, 2)]  # (height and width, stride)


def pair(stride: int, dtype: torch.dtype = torch.float32) -> tuple[Conv2d, nn.Conv2d]:
    torch.manual_seed(3)
    own = Conv2d(128, 16, 3, stride, padding=1).to(dtype=dtype, memory_format=torch.channels_last)
    theirs = nn.Conv2d(128, 16, 3, stride, padding=1, bias=False).to(dtype=dtype, memory_format=torch.channels_last)
    theirs.load_state_dict(own.state_dict())
    return own, theirs


@pytest.mark.parametrize(("size", "stride"), SHAPES)
def test_values_and_gradients_match_the_library(size: int, stride: int) -> None:
    own, theirs = pair(stride, torch.float64)
    x = torch.randn(3, 128, size, size + 1 if size < 4 else size, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    assert own.has_small_map(x)
    outputs = [own(inputs[0]), theirs(inputs[1])]
    assert torch.equal(*outputs)
    direction = torch.randn_like(outputs[0])
    for output in outputs:
        output.backward(direction)
    torch.testing.assert_close(own.weight.grad, theirs.weight.grad, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("size", "stride"), SHAPES)
def test_products_by_position_equal_convolution_and_input_gradient(size: int, stride: int) -> None:
    torch.manual_seed(4)
    x = torch.randn(3, 5, size, size + 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(7, 5, 3, 3, dtype=torch.float64)
    expected = nn.functional.conv2d(x, weight, stride=stride, padding=1)
    torch.testing.assert_close(convolve(x, weight, stride, 1), expected, rtol=1e-12, atol=1e-12)
    direction = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(expected, x, direction)
    torch.testing.assert_close(input_gradient(direction, weight, x.shape, stride, 1), gradient, rtol=1e-12, atol=1e-12)


def test_widest_layers_take_products_by_position() -> None:
    """They do so in bf16, and in fp32 if their output map is 2x2."""
    weight = Conv2d(256, 512, 3, 2, padding=1).weight
    x = torch.randn(2, 256, 6, 6)
    assert by_position(x.bfloat16(), weight, 2) and not by_position(x, weight, 2)
    for width_in, size, stride in ((256, 4, 2), (512, 2, 1)):
        weight, x = Conv2d(width_in, 512, 3, stride, padding=1).weight, torch.randn(4, width_in, size, size)
        assert by_position(x, weight, stride) and not by_position(torch.cat([x, x], dim=2), weight, stride)


def layer_shapes(image_size: int) -> list[tuple[int, int, int, int]]:
    """(channels in, channels out, stride, input height) of our convolutions in ResNet-18, each shape once."""
    shapes: dict[tuple[int, int, int, int], None] = {}

    def note(layer: nn.Conv2d, inputs: tuple[torch.Tensor, ...]) -> None:
        shapes[layer.in_channels, layer.out_channels, layer.stride[0], inputs[0].shape[2]] = None

    model = ResNet18().eval()
    for layer in model.modules():
        if isinstance(layer, Conv2d):
            layer.register_forward_pre_hook(note)
    with torch.no_grad():
        model(torch.zeros(1, 3, image_size, image_size))
    return list(shapes)


def test_layers_are_those_of_resnet18() -> None:
    maps = [(64, 64, 1, 20), (64, 128, 2, 20), (128, 128, 1, 10), (128, 256, 2, 10), (256, 256, 1, 5)]
    assert layer_shapes(20) == [*maps, (256, 512, 2, 5), (512, 512, 1, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("image_size", [16, 20, 24, 32])
def test_every_layer_of_resnet18_matches_the_library(image_size: int, dtype: torch.dtype) -> None:
    """Output and both gradients: our rounding error is at most a tenth more than the library's."""
    torch.manual_seed(7)
    for width_in, width, stride, size in layer_shapes(image_size):
        exact = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        own, theirs = (
            Conv2d(width_in, width, 3, stride, padding=1),
            nn.Conv2d(width_in, width, 3, stride, 1, bias=False),
        )
        x = torch.randn(4, width_in, size, size).to(dtype)
        exact.weight.data = exact.weight.data.to(dtype).double()
        found, direction = [], None
        for layer, kind in ((exact, torch.float64), (own, dtype), (theirs, dtype)):
            layer.load_state_dict(exact.state_dict())
            layer.to(dtype=kind, memory_format=torch.channels_last)
            given = x.to(kind).contiguous(memory_format=torch.channels_last).requires_grad_()
            output = layer(given)
            direction = torch.randn_like(output).to(dtype) if direction is None else direction
            output.backward(direction.to(kind))
            found.append((output.detach(), given.grad, layer.weight.grad))
        for true, ours, library in zip(*found, strict=True):
            errors = [((value.double() - true).norm() / true.norm()).item() for value in (ours, library)]
            least = 4 * torch.finfo(dtype).eps
            assert errors[0] <= max(1.1 * errors[1], least) and errors[0] < 0.01


def test_tap_on_padding_alone_has_no_gradient() -> None:
    gradient = weight_gradient(torch.ones(2, 4, 1, 1), torch.ones(2, 5, 1, 1), 3, 1, 1)
    assert gradient[:, :, 1, 1].eq(2).all()
    gradient[:, :, 1, 1] = 0
    assert gradient.eq(0).all()


@pytest.mark.parametrize(("width_in", "width", "size", "stride"), [(128, 16, 2, 1), (256, 512, 6, 2)])
def test_autocast_rounds_no_more_than_the_library(width_in: int, width: int, size: int, stride: int) -> None:
    torch.manual_seed(5)
    own = Conv2d(width_in, width, 3, stride, padding=1)
    layers = [own, *(nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False) for _ in range(2))]
    x = torch.randn(32, width_in, size, size)
    found: list[list[torch.Tensor]] = []
    for layer, rounded in zip(layers, (True, True, False), strict=True):
        layer.load_state_dict(own.state_dict())
        layer.to(memory_format=torch.channels_last)
        given = x.contiguous(memory_format=torch.channels_last).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            output = layer(given)
        assert output.dtype == (torch.bfloat16 if rounded else torch.float32)
        assert output.is_contiguous(memory_format=torch.channels_last)
        output.float().square().sum().backward()
        assert given.grad is not None and layer.weight.grad is not None and layer.weight.grad.dtype == torch.float32
        found.append([output.detach().float(), given.grad, layer.weight.grad])
    for ours, library, exact in zip(*found, strict=True):
        errors = [((value - exact).norm() / exact.norm()).item() for value in (ours, library)]
        assert errors[0] <= 1.1 * errors[1] + 1e-6 and errors[1] < 0.02


def test_frozen_weights_and_plain_inputs_get_no_gradient() -> None:
    own, _ = pair(1)
    own.weight.requires_grad_(False)
    x = torch.randn(2, 128, 2, 2, requires_grad=True)
    own(x).sum().backward()
    assert own.weight.grad is None and x.grad is not None
    own.weight.requires_grad_(True)
    own(torch.randn(2, 128, 2, 2)).sum().backward()
    assert own.weight.grad is not None


@pytest.mark.parametrize(("width", "size", "stride"), [(64, 2, 1), (128, 5, 1), (128, 17, 2)])
def test_larger_maps_and_narrow_layers_use_the_library(width: int, size: int, stride: int) -> None:
    assert not Conv2d(width, 8, 3, stride, padding=1).has_small_map(torch.zeros(1, width, size, size))
