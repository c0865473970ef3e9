"""A convolution whose weight gradient is a few matrix products where the feature map is small.

On a CPU the weight gradient of the deep 3x3 convolutions takes up to three times as long as their forward pass: the
library's kernel is made for large maps, and on a 2x2 map 20 of the 36 products it forms have padding as a factor. Here
each of the kernel's taps is one matrix product over the positions where that tap meets the image. The forward pass, the
gradient of the input, and everything on a GPU or on a larger map is ``torch.nn.Conv2d``.
"""

from typing import Any

import torch
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
        """Whether products by tap were measured to be faster for this input (benchmarks/convolution.py)."""
        if x.device.type != "cpu" or self.in_channels < 128 or self.kernel_size[0] < 3:
            return False
        return x.shape[2] <= 4 if self.stride[0] == 1 else x.shape[2] <= 16


class _SmallMapConvolution(torch.autograd.Function):
    """Convolution with ``weight_gradient`` below in its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.ops.aten.convolution(x, weight, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        dx = None
        if ctx.needs_input_grad[0]:
            sizes = ([ctx.stride] * 2, [ctx.padding] * 2, [1, 1], False, [0, 0], 1, [True, False, False])
            dx = torch.ops.aten.convolution_backward(dy, x, weight, None, *sizes)[0]
        return dx, weight_gradient(x, dy, weight.shape[2], ctx.stride, ctx.padding), None, None


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
    """Positions along one axis where a tap reads the image, not padding: of the input, and of the output."""
    outputs = [place for place in range(size_out) if 0 <= place * stride + tap - padding < size_in]
    if not outputs:
        return slice(0, 0), slice(0, 0)
    first, last = (place * stride + tap - padding for place in (outputs[0], outputs[-1]))
    return slice(first, last + 1, stride), slice(outputs[0], outputs[-1] + 1)
