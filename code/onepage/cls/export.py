"""The description of ResNet-18's exported weights, which torchvision's ``resnet18`` with the CIFAR stem takes."""

from collections.abc import Mapping
from typing import Any

from onepage.cls.augment import MEAN, STD


def describe(metrics: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """The task's part of model.json."""
    test = metrics["test"]
    return {
        "architecture": "torchvision's resnet18 with conv1 of 3x3, stride 1, padding 1, and no max-pool",
        "input": {
            "image_size": metrics["train"]["image_sizes"][-1],
            "resized": "from 32x32, bilinear, antialiased",
            "mean": list(MEAN),
            "std": list(STD),
        },
        "classes": metrics["class_names"],
        "temperature": test["calibrated"]["temperature"],
        "test": {"n": test["n"], "accuracy": test["accuracy"], "interval": test["accuracy_interval"]},
    }
