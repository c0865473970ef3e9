"""Test-time augmentation: the mean of the logits over several views of each image.

Two scores, reported in addition to single-image accuracy: over the image and its mirror image, and over these two and
both shifted by one pixel. A network trained on crops has learned that neither changes the class.
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
    """Images (N, 3, H, W) shifted by whole pixels; reflection about the border fills the gap."""
    pad = max(abs(down), abs(right))
    height, width = images.shape[2:]
    padded = F.pad(images.float(), (pad,) * 4, mode="reflect").to(images.dtype)
    return padded[:, :, pad - down : pad - down + height, pad - right : pad - right + width]


def score(predict: Callable[[Tensor], Tensor], images: Tensor, logits: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy with its interval over the views: {"tta": mirror, "tta_shifts": mirror and shifts}.

    ``predict``: images (N, 3, H, W) -> logits (N, classes). ``logits``: those of ``images``. The mirror image shifted
    right mirrors the image shifted left, so the six views cover all four diagonal shifts.
    """
    mirrored = logits + predict(images.flip(3))
    total = mirrored.clone()
    for step in (1, -1):
        for views in (images, images.flip(3)):
            total += predict(shift(views, step, step))
    return {"tta": _accuracy(mirrored, labels, MIRROR), "tta_shifts": _accuracy(total, labels, SHIFTS)}


def _accuracy(logits: Tensor, labels: np.ndarray, method: str) -> dict[str, Any]:
    return {"method": method, **scores.accuracy(int((logits.argmax(dim=1).numpy() == labels).sum()), len(labels))}
