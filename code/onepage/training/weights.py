"""The number and the digest of weights.

A digest is over name, dtype, shape and bytes of each tensor, so that it does not depend on how a file was written.
"""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (64 hex digits) over all tensors in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def count_parameters(model: nn.Module) -> int:
    """Number of trainable scalars; a tied table counts once."""
    return sum(parameter.numel() for parameter in model.parameters())
