"""The plain loop: ResNet-18 on CIFAR-10 as in a tutorial, for comparison with ours.

torchvision's ``resnet18`` with the CIFAR stem (3x3 convolution, no max-pool), so the same network as ours; fp32, SGD
0.1 with momentum 0.9 and weight decay 5e-4 with a cosine schedule over 200 epochs, batch 128, cross-entropy; a
DataLoader with worker processes and the usual transforms (pad 4, crop, mirror, normalise). Nothing here is slowed down:
threads are torch's default, and cuDNN may search for its fastest kernels.
"""

from collections.abc import Callable, Iterator
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, library, nn
from torch.utils.data import DataLoader, Dataset

from onepage.benchmarks.machine import synchronise
from onepage.cls.augment import MEAN, STD

BATCH_SIZE = 128
LEARNING_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
EPOCHS = 200  # of the schedule
ABOUT = {"batch_size": BATCH_SIZE, "optimiser": "sgd", "learning_rate": LEARNING_RATE, "precision": "fp32"}
_LIBRARIES: list[library.Library] = []  # kept as long as the process, because schemas end with their library


def import_torchvision() -> ModuleType:
    """The torchvision package; its compiled operators (nms) may be absent.

    Its Linux wheel on PyPI is built for CUDA: with a CPU build of torch its operators do not load, and the import fails
    where it registers two of them. With their schemas declared, everything written in Python works.
    """
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        fragment = library.Library("torchvision", "FRAGMENT")
        fragment.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        fragment.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(fragment)
        import torchvision
    return torchvision


def make_model(classes: int = 10) -> nn.Module:
    """torchvision's resnet18 with the stem for images of 32 pixels."""
    model = import_torchvision().models.resnet18(num_classes=classes)
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


class Images(Dataset[tuple[Tensor, int]]):
    """Images one by one, like torchvision's CIFAR10: from array to PIL image to transforms."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, transform: Callable[[Any], Tensor]):
        self.images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))  # uint8 (N, 3, H, W) -> (N, H, W, 3)
        self.labels = [int(label) for label in labels]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def train_loader(images: np.ndarray, labels: np.ndarray, workers: int) -> DataLoader[tuple[Tensor, int]]:
    """Shuffled batches of augmented training images."""
    import_torchvision()
    from torchvision import transforms

    augment = transforms.Compose(
        [
            transforms.RandomCrop(images.shape[-1], padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    return DataLoader(Images(images, labels, augment), batch_size=BATCH_SIZE, shuffle=True, num_workers=workers)


class Loop:
    """The training loop, one update at a time, so that a caller can measure it."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, classes: int, device: torch.device, workers: int):
        """images: uint8 (N, 3, H, W); labels: (N,); workers: of the DataLoader, 0 for none."""
        torch.backends.cudnn.benchmark = True
        self.device = device
        self.model = make_model(classes).to(device)
        self.loader = train_loader(images, labels, workers)
        self.optimiser = torch.optim.SGD(
            self.model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, T_max=EPOCHS)

    def updates(self) -> Iterator[int]:
        """Train without end; yields the number of images of each finished update."""
        while True:
            for images, labels in self.loader:
                self.model.train()
                images, labels = images.to(self.device), labels.to(self.device)
                self.optimiser.zero_grad()
                loss = F.cross_entropy(self.model(images), labels)
                loss.backward()
                self.optimiser.step()
                loss.item()  # a tutorial prints it
                yield len(images)
            self.schedule.step()


def to_input(images: np.ndarray) -> Tensor:
    """uint8 (N, 3, H, W) -> normalised float32 (N, 3, H, W), like the test transforms of a tutorial."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (torch.from_numpy(images.copy()).float() / 255 - mean) / std


@torch.no_grad()
def predict(model: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    """Predicted classes (N,), on the CPU, of normalised images (N, 3, H, W)."""
    model.eval()
    return torch.cat([model(batch.to(device)).argmax(1).cpu() for batch in inputs.split(BATCH_SIZE)])


def learning_curve(
    loop: Loop,
    val_images: np.ndarray,
    val_labels: np.ndarray,
    seconds: float,
    readings: int,
    target: float,
    add_row: Callable[[dict[str, Any]], None],
) -> None:
    """Train for ``seconds``, or until the validation accuracy is ``target``; ``add_row`` gets each reading.

    Readings are evenly spaced on a logarithmic scale, the first after an eighth of the time. The clock stops during
    validation.
    """
    due = [seconds * 8 ** (k / max(1, readings - 1) - 1) for k in range(readings)]
    inputs, labels = to_input(val_images), torch.from_numpy(val_labels.copy())
    spent, seen, updates = 0.0, 0, loop.updates()
    while due:
        start = perf_counter()
        seen += next(updates)
        synchronise(loop.device)
        spent += perf_counter() - start
        if spent < due[0]:
            continue
        while due and due[0] <= spent:
            due.pop(0)
        accuracy = (predict(loop.model, inputs, loop.device) == labels).float().mean().item()
        add_row({"images": seen, "seconds": round(spent, 2), "val_accuracy": accuracy})
        if accuracy >= target:
            return
