"""Muon: momentum whose update is made orthogonal, for the filters of the convolutions.

Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": the Nesterov momentum of a weight matrix
is replaced by the nearest semi-orthogonal matrix, found by a quintic Newton-Schulz iteration. As in its CIFAR-10
speed-run form every filter bank is first scaled to a fixed norm, which BatchNorm makes free of effect on the
function and which takes the place of weight decay. Left out: distribution over devices.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315  # maximise the slope at zero (Jordan et al., "the coefficients")


def orthogonalise(matrix: Tensor, iterations: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The matrix (m, n) with its singular values moved close to one, by Newton-Schulz.

    X' = (a + b G + c G^2) X with G = X X^T. All iterations but the last product work on the Gram matrix alone
    (G' = P G P for the polynomial P), in float32: for wide matrices that is half the work. The two products with
    the matrix itself are done in ``dtype``.
    """
    x = matrix.to(dtype)
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    gram = (x @ x.T).float()
    product: Tensor | None = None
    for number in range(iterations):
        polynomial = _B * gram + _C * (gram @ gram)
        polynomial.diagonal().add_(_A)
        product = polynomial if product is None else polynomial @ product
        if number + 1 < iterations:
            gram = polynomial @ gram @ polynomial
    if product is not None:
        x = product.to(dtype) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Muon over parameters of two or more dimensions; the first is taken as the matrix's rows (output channels)."""

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        lr: float,
        momentum: float = 0.6,
        iterations: int = 3,
        dtype: torch.dtype = torch.float32,
    ):
        self.iterations = iterations
        self.dtype = dtype
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter.grad)
                buffer = state["momentum"]
                buffer.mul_(group["momentum"]).add_(parameter.grad)
                update = parameter.grad.add(buffer, alpha=group["momentum"])
                rows = parameter.shape[0]
                flat = orthogonalise(update.reshape(rows, -1), self.iterations, self.dtype)
                parameter.mul_(rows**0.5 / parameter.norm())
                parameter.add_(flat.view_as(parameter), alpha=-group["lr"])
