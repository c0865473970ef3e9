"""Test-time augmentation: the mean of the logits of each image and its mirror image.

A score in addition to single-image accuracy. The network was trained on mirrored images too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from onepage.cls import scores

METHOD = "mean logits of the image and its mirror"


def score(predict: Callable[[Tensor], Tensor], images: Tensor, logits: Tensor, labels: np.ndarray) -> dict[str, Any]:
    """Accuracy, with its interval, of the mean over both views.

    ``predict``: images (N, 3, H, W) -> logits (N, classes). ``logits``: those of ``images``.
    """
    correct = (logits + predict(images.flip(3))).argmax(dim=1).numpy() == labels
    return {"method": METHOD, **scores.accuracy(int(correct.sum()), len(labels))}
