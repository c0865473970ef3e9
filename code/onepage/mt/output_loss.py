"""Output layer and label-smoothed cross-entropy in one, without a (tokens, vocabulary) array for the whole batch.

Part by part, the logits of the rows become the loss, then (in place) its gradient, then the gradients of the hidden
states, weight and bias. torch's separate passes over all rows (log-softmax, its gradient, label and smoothing
gradients, casts) take more than a third of a step on a CPU. Szegedy et al. 2016, section 7 (label smoothing).
Shapes: N rows, D width, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = {"cpu": 256, "cuda": 4096}  # rows per part: few enough for a CPU's cache, or a GPU's memory


def output_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    label_smoothing: float,
    ignored: int,
    dtype: torch.dtype,
) -> Tensor:
    """Mean cross-entropy of ``labels`` (N,), except ``ignored`` ones, under softmax(hidden weight^T + bias), nats.

    hidden (N, D), weight (V, D), bias (V,). ``dtype``: of the products; everything else is in fp32.
    """
    if torch.is_grad_enabled():
        loss: Tensor = _OutputLoss.apply(hidden, weight, bias, labels, label_smoothing, ignored, dtype)
        return loss
    logits = F.linear(hidden.to(dtype), weight.to(dtype), bias.to(dtype))
    return F.cross_entropy(logits.to(bias.dtype), labels, label_smoothing=label_smoothing, ignore_index=ignored)


class _OutputLoss(torch.autograd.Function):
    """The forward pass computes the gradients too; the backward pass scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, smoothing: float, ignored: int,
        dtype: torch.dtype,
    ) -> Tensor:  # fmt: skip
        small_hidden, small_weight, small_bias = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
        counted = labels != ignored
        share = counted.to(bias.dtype)[:, None] / counted.sum()  # of each row in the mean
        label = labels.masked_fill(~counted, 0)[:, None]
        to_hidden, to_weight, to_bias = torch.empty_like(hidden), torch.zeros_like(weight), torch.zeros_like(bias)
        total = bias.new_zeros(())
        for rows in torch.arange(len(hidden)).split(ROWS[hidden.device.type]):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            logits = F.linear(small_hidden[part], small_weight, small_bias).to(bias.dtype)
            logs = torch.log_softmax(logits, dim=-1)
            loss = (smoothing - 1) * logs.gather(1, label[part]) - smoothing * logs.mean(-1, keepdim=True)
            total += (loss * share[part]).sum()
            gradient = logs.exp_().sub_(smoothing / len(bias))
            gradient.scatter_add_(1, label[part], gradient.new_full((len(rows), 1), smoothing - 1))
            gradient *= share[part]
            to_bias += gradient.sum(0)
            small = gradient.to(dtype)
            to_hidden[part] = small @ small_weight
            to_weight += small.t() @ small_hidden[part]
        ctx.save_for_backward(to_hidden, to_weight, to_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        to_hidden, to_weight, to_bias = ctx.saved_tensors
        return to_hidden * upstream[0], to_weight * upstream[0], to_bias * upstream[0], None, None, None, None
