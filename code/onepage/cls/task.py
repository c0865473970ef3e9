"""The record of image classification: ResNet-18 on CIFAR-10. Standard library only."""

from collections.abc import Mapping
from typing import Any

from onepage.tasks import Measure, Task


def measures(metrics: Mapping[str, Any]) -> dict[str, Measure]:
    """Test accuracy of the single image, and of the mean over it and its mirror image."""
    test = metrics["test"]
    parts = {"test accuracy": ("test", test), "test accuracy with mirror image": ("test.tta", test["tta"])}
    return {
        name: Measure(part["accuracy"], tuple(part["accuracy_interval"]), True, f"{path}.accuracy")
        for name, (path, part) in parts.items()
    }


TASK = Task(
    name="cls",
    model="ResNet-18",
    real_set="cifar10",
    generated_set="toy-images",
    measures=measures,
    headline=lambda metrics: "test accuracy",
    percent=True,
    unit="%",
    tolerance=1e-9,  # a count of images
    recounted="accuracy, confusion, NLL, Brier score and ECE",
)
