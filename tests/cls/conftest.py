"""Fixtures of drawing, and a run that classifies."""

from pathlib import Path

import pytest

from classify_cases import write_run
from drawing import copy, draw, drawn, made, style  # noqa: F401
from onepage.cls.classify import Classifier
from onepage.cls.resnet import ResNet18
from small_training import narrow


@pytest.fixture(scope="session")
def classifying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated run with random weights and few channels; tests must not change it."""
    return write_run(tmp_path_factory.mktemp("classify") / "runs/cls/cifar10/quick/seed0")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with ResNet-18 itself."""
    return write_run(tmp_path_factory.mktemp("whole") / "runs/cls/cifar10/quick/seed0", network=ResNet18)


@pytest.fixture(scope="session")
def classifier(classifying: Path) -> Classifier:
    """The classifier of ``classifying``."""
    with narrow():
        return Classifier(classifying)
