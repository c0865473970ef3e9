"""A convolution computed as a few matrix products where the feature map is small.

The library's bf16 CPU kernels are made for large maps: with 512 channels on a 2x2 map they reach at most a quarter of
the machine's matrix-product rate, and 20 of the 36 products of a 3x3 kernel multiply padding. Where this was measured
to be faster,

* each output position is one matrix product of the pixels in its window with the taps on them (for the gradient of the
  input, inputs and outputs exchange roles), and
* each tap of the weight gradient is one matrix product over the positions where that tap meets the image.

In all other cases, and on a GPU, it is ``torch.nn.Conv2d``.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Conv2d(nn.Conv2d):
    """``nn.Conv2d`` without bias, groups or dilation, square in kernel, stride and padding."""

    def __init__(self, width_in: int, width: int, kernel_size: int, stride: int = 1, padding: int = 0):
        super().__init__(width_in, width, kernel_size, stride, padding, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, width_in, H, W) -> (B, width, H', W')
        if not (torch.is_grad_enabled() and self.weight.requires_grad and self.has_small_map(x)):
            return super().forward(x)
        if not torch.is_autocast_enabled("cpu"):
            return _SmallMapConvolution.apply(x, self.weight, self.stride[0], self.padding[0])
        dtype = torch.get_autocast_dtype("cpu")
        return _SmallMapConvolution.apply(x.to(dtype), self.weight.to(dtype), self.stride[0], self.padding[0])

    def has_small_map(self, x: Tensor) -> bool:
        """Whether products by tap are faster for this input, as measured."""
        if x.device.type != "cpu" or self.in_channels < 128 or self.kernel_size[0] < 3:
            return False
        return x.shape[2] <= 4 if self.stride[0] == 1 else x.shape[2] <= 16


def by_position(x: Tensor, weight: Tensor, stride: int) -> bool:
    """Whether products by position are faster for a map (B, C, H, W) and its (O, C, K, K) weights, as measured.

    In fp32, whose kernels are otherwise as fast on small maps, only if most taps of most positions meet padding.
    """
    if max(weight.shape[:2]) < 512:
        return False
    return x.shape[2] <= 8 if x.dtype == torch.bfloat16 else x.shape[2] <= 2 * stride


class _SmallMapConvolution(torch.autograd.Function):
    """Convolution whose weight gradient is computed by taps, and the rest by positions where that is faster."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        if by_position(x, weight, stride):
            return convolve(x, weight, stride, padding)
        return torch.ops.aten.convolution(x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        dx = None
        if ctx.needs_input_grad[0]:
            if by_position(x, weight, ctx.stride):
                dx = input_gradient(dy, weight, x.shape, ctx.stride, ctx.padding)
            else:
                sizes = ([ctx.stride] * 2, [ctx.padding] * 2, [1, 1], False, [0, 0], 1, [True, False, False])
                dx = torch.ops.aten.convolution_backward(dy, x, weight, None, *sizes)[0]
        return dx, weight_gradient(x, dy, weight.shape[2], ctx.stride, ctx.padding), None, None


Place = tuple[slice, slice]
"""For one output position along an axis: the input positions it reads, and the taps that read them."""


def convolve(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The convolution (B, O, H', W') of (B, C, H, W) with weights (O, C, K, K), one product per position."""
    kernel = weight.shape[2]

    def places(size: int) -> list[Place]:
        found = []
        for output in range((size + 2 * padding - kernel) // stride + 1):
            first = output * stride - padding
            start, stop = max(0, first), min(size, first + kernel)
            found.append((slice(start, stop), slice(start - first, stop - first)))
        return found

    return _by_position(x, weight.permute(0, 2, 3, 1), places(x.shape[2]), places(x.shape[3]))


def input_gradient(dy: Tensor, weight: Tensor, shape: torch.Size, stride: int, padding: int) -> Tensor:
    """Gradient of the input, of ``shape`` (B, C, H, W), from ``dy`` (B, O, H', W') and weights (O, C, K, K).

    K must be at least the stride, so that every pixel is read by some output.
    """
    kernel = weight.shape[2]
    turned = weight.flip(2, 3).permute(1, 2, 3, 0)  # (C, K, K, O): taps in the order of their outputs

    def places(size: int, outputs: int) -> list[Place]:
        found = []
        for place in range(size):
            reading = [output for output in range(outputs) if 0 <= place + padding - output * stride < kernel]
            tap = kernel - 1 - (place + padding - reading[0] * stride)
            taps = slice(tap, tap + stride * (len(reading) - 1) + 1, stride)
            found.append((slice(reading[0], reading[-1] + 1), taps))
        return found

    return _by_position(dy, turned, places(shape[2], dy.shape[2]), places(shape[3], dy.shape[3]))


def _by_position(x: Tensor, taps: Tensor, rows: list[Place], columns: list[Place]) -> Tensor:
    """(B, C, H, W) and taps (O, K, K, C) -> (B, O, rows, columns), channels last."""
    x, batch, width = x.permute(0, 2, 3, 1), x.shape[0], taps.shape[0]
    products = [
        F.linear(x[:, i, j].reshape(batch, -1), taps[:, tap_i, tap_j].reshape(width, -1))
        for i, tap_i in rows
        for j, tap_j in columns
    ]
    return torch.stack(products, dim=1).view(batch, len(rows), len(columns), width).permute(0, 3, 1, 2)


def weight_gradient(x: Tensor, dy: Tensor, kernel_size: int, stride: int, padding: int) -> Tensor:
    """Gradient (O, C, K, K) of a convolution's weights from its input (B, C, H, W) and ``dy`` (B, O, H', W')."""
    channels_in, channels = x.shape[1], dy.shape[1]
    x, dy = x.permute(0, 2, 3, 1), dy.permute(0, 2, 3, 1)
    gradient = torch.empty((channels, kernel_size, kernel_size, channels_in), dtype=x.dtype, device=x.device)
    rows = [_meeting(x.shape[1], dy.shape[1], tap, stride, padding) for tap in range(kernel_size)]
    columns = [_meeting(x.shape[2], dy.shape[2], tap, stride, padding) for tap in range(kernel_size)]
    for i, (rows_in, rows_out) in enumerate(rows):
        for j, (columns_in, columns_out) in enumerate(columns):
            inputs = x[:, rows_in, columns_in].reshape(-1, channels_in)
            outputs = dy[:, rows_out, columns_out].reshape(-1, channels)
            gradient[:, i, j] = outputs.T @ inputs
    return gradient.permute(0, 3, 1, 2)


def _meeting(size_in: int, size_out: int, tap: int, stride: int, padding: int) -> tuple[slice, slice]:
    """Positions along one axis, of the input and of the output, where a tap reads the image and not padding."""
    outputs = [place for place in range(size_out) if 0 <= place * stride + tap - padding < size_in]
    if not outputs:
        return slice(0, 0), slice(0, 0)
    first, last = (place * stride + tap - padding for place in (outputs[0], outputs[-1]))
    return slice(first, last + 1, stride), slice(outputs[0], outputs[-1] + 1)
