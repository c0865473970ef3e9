"""The card of ResNet-18's exported weights, which fit torchvision's ``resnet18`` with the CIFAR stem."""

from collections.abc import Mapping
from typing import Any

from onepage.cls.augment import MEAN, STD


def describe(metrics: Mapping[str, Any]) -> dict[str, str]:
    """The task's rows of the card."""
    test, size = metrics["test"], metrics["train"]["image_sizes"][-1]
    return {
        "test images": f"{test['n']:,}",
        "architecture": "torchvision's resnet18 with conv1 of 3x3, stride 1, padding 1, and no max-pool",
        "input": f"RGB, {size}x{size} (from 32x32, bilinear, antialiased), values from 0 to 1, less mean {list(MEAN)}, "
        f"divided by {list(STD)}",
        "output": f"logits of {', '.join(metrics['class_names'])}",
        "probabilities": f"softmax of logits / {test['calibrated']['temperature']:.4f}",
        "use": "as MODEL of make classify",
        "terms, limits": "docs/model-card-cls.md",
    }
