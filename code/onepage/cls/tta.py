"""Test-time augmentation: the mean of the logits over several views of each image.

Two scores, reported beside the accuracy of the single image: over the image and its mirror, and over these two moved by
one pixel as well. A network trained on crops has learned that neither changes the class.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from onepage.cls import scores

MIRROR = "mean logits of the image and its mirror"
SHIFTS = (
    "mean logits of six views: the image and its mirror, each as it is, moved by one pixel down and to the right, "
    "and moved by one pixel up and to the left; the rim is filled by reflection"
)


def shift(images: Tensor, down: int, right: int) -> Tensor:
    """Images (N, 3, H, W) moved by whole pixels; reflection about the border fills the gap."""
    pad = max(abs(down), abs(right))
    height, width = images.shape[2:]
    padded = F.pad(images.float(), (pad,) * 4, mode="reflect").to(images.dtype)
    return padded[:, :, pad - down : pad - down + height, pad - right : pad - right + width]


def score(predict: Callable[[Tensor], Tensor], images: Tensor, logits: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy with its interval over the views: {"tta": mirror, "tta_shifts": mirror and shifts}.

    ``predict``: images (N, 3, H, W) -> logits (N, classes). ``logits``: those of ``images``. The mirrored image moved
    right mirrors the image moved left, so the six views hold all four diagonal moves.
    """
    mirrored = logits + predict(images.flip(3))
    total = mirrored.clone()
    for step in (1, -1):
        for views in (images, images.flip(3)):
            total += predict(shift(views, step, step))
    return {"tta": _accuracy(mirrored, labels, MIRROR), "tta_shifts": _accuracy(total, labels, SHIFTS)}


def _accuracy(logits: Tensor, labels: np.ndarray, method: str) -> dict[str, Any]:
    return {"method": method, **scores.accuracy(int((logits.argmax(dim=1).numpy() == labels).sum()), len(labels))}
