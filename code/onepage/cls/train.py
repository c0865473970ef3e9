"""Train ResNet-18: low resolution first, one-cycle rate, averaged weights.

The image size grows during training (progressive resizing, Howard 2018): most updates run at small, cheap sizes. The
network is tested at the last size. Test images are never read here.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onepage.cls import augment
from onepage.cls.recipe import Recipe
from onepage.cls.resnet import ResNet18, initialise, whiten_stem
from onepage.data.images import ImageSet, split_indices
from onepage.errors import UserError
from onepage.training import seeding
from onepage.training.averaging import WeightAverage
from onepage.training.device import Replayed, moved
from onepage.training.distributed import ALONE, Ranks
from onepage.training.muon import Muon
from onepage.training.schedules import SCHEDULES
from onepage.training.session import Session
from onepage.training.state import TrainingState

WHITENED = 5000  # training images whose patches determine the whitening filters
LINE = (
    "epoch {epoch:.2f}  {image_size} px  train loss {train_loss:.3f}  "
    "validation loss {val_loss:.3f}  validation accuracy {val_accuracy:.2%}"
)


@dataclasses.dataclass(frozen=True)
class Timetable:
    """The recipe in updates, for a training set of known size."""

    updates: int
    updates_per_epoch: int
    sizes: tuple[tuple[int, int], ...]
    """(first update, image size) of each stage."""

    def size_at(self, update: int) -> int:
        """Image size of update number ``update``, from 0."""
        return [size for first, size in self.sizes if first <= update][-1]

    def work(self, updates: int) -> float:
        """The cost of the first ``updates`` updates: the sum of their images' pixels."""
        ends = [first for first, _ in self.sizes[1:]] + [self.updates]
        done = [min(updates, end) - first for (first, _), end in zip(self.sizes, ends, strict=True)]
        return float(sum(max(0, number) * size**2 for number, (_, size) in zip(done, self.sizes, strict=True)))


def timetable(recipe: Recipe, n: int) -> Timetable:
    """Turn epochs into updates for ``n`` training images."""
    per_epoch = max(1, n // recipe.batch_size)
    first, sizes = 0, []
    for stage in recipe.stages:
        sizes.append((first, stage.image_size))
        first += max(1, round(stage.epochs * per_epoch))
    return Timetable(first, per_epoch, tuple(sizes))


def train(
    recipe: Recipe, images: ImageSet, run: Path, plan: dict[str, Any], program: str = "", ranks: Ranks = ALONE
) -> None:
    """Train from the seed in ``plan`` to ``run/model.pt``; resumes from a checkpoint if there is one.

    ``ranks``: this process among those that train together, each on its part of the recipe's batch. Only rank 0
    validates; it uses and saves its own running statistics of BatchNorm. Raises UserError for a requested GPU that is
    absent, a checkpoint of another recipe, a full disk; Interrupted (a UserError) after SIGINT or SIGTERM, once a
    checkpoint is saved.
    """
    device = seeding.prepare(plan["seed"], recipe.threads, plan["device"])
    session = Session(run, recipe, plan, program, ranks)
    if session.finished():
        return
    if recipe.batch_size < 2 * ranks.world:
        raise UserError(f"batch_size {recipe.batch_size} gives each of {ranks.world} processes under two images")

    batches, validation = split(recipe, images, plan["seed"], device)
    times = timetable(recipe, len(batches.labels))
    model = build_model(recipe, batches, times.size_at(0), len(images.class_names))
    model = ranks.normalising(model.to(device=device, memory_format=torch.channels_last), recipe.batch_norm)  # type: ignore[call-overload]
    replays = recipe.cuda_graph and device.type == "cuda" and ranks.world == 1
    network = Replayed(model) if replays else ranks.averaging(model)
    optimisers = make_optimisers(model, recipe, plan["precision"])
    average = WeightAverage(model, recipe.average_decay)
    state = TrainingState(model, optimisers, average, times.updates, recipe.validations, batches.of_epoch, 4, ranks)

    with session.training(state, "images", f"{len(batches.labels):,} images", times.work) as report:
        note = ""
        while state.update < state.updates:
            # batch: drawn as a whole for any number of processes; each computes its part
            index, size = state.next_batch(), times.size_at(state.update)
            batch = batches.augmented(index, size, state.epoch, state.update).part(ranks.rows(len(index)))

            # learning rate
            factor = SCHEDULES[recipe.schedule]((state.update + 1) / state.updates, recipe.warmup)
            state.set_rates(factor)

            # forward and backward
            model.train()
            with torch.autocast(plan["device"], torch.bfloat16, enabled=plan["precision"] == "bf16"):
                logits = network(batch.images)
            logits = logits.float()
            loss = batch.loss(logits, recipe.label_smoothing)
            (loss * ranks.weight(batch.size, len(index))).backward()

            # step
            state.step(len(index))

            # log
            state.count(loss.detach() * batch.size, batch.correct(logits), batch.size, session.asked_to_stop)
            if state.shows:
                train_loss, train_accuracy = state.means(session)
                note = f"{size} px  loss {train_loss:.3f}  accuracy {train_accuracy:.3f}"
            report.advance(len(index), note)

            # validate
            if state.validates:
                ranks.check_alike(model, state.update)
                state.sums.zero_()
                if ranks.is_main:
                    row = {"epoch": round(state.update / times.updates_per_epoch, 3), "step": state.update}
                    row |= {"images": state.seen, "image_size": size}
                    row |= {"learning_rate": recipe.peak_learning_rate * factor}
                    row |= {"train_loss": train_loss, "train_accuracy": train_accuracy}
                    row |= validate(state.average.model, *validation, size, plan["precision"])
                    session.add_row(row)
                    report.line(LINE.format(**row))

            # save
            if session.due(state.place == 0):
                session.save(state.update, state.state_dict())
        digest = session.finish(state.average.state_dict())
        report.line(f"done in {session.seconds():.0f} s; weights {digest[:12]}")


@dataclasses.dataclass(frozen=True)
class Batch:
    """Augmented training images, or a part of them."""

    images: Tensor
    """float32 (B, 3, H, W), normalised."""
    labels: Tensor
    """int64 (B,)"""
    others: Tensor
    """int64 (B,), labels of the CutMix partners."""
    own: float = 1.0
    """Share of each image that is not from its CutMix partner."""

    @property
    def size(self) -> int:
        """Number of images."""
        return len(self.labels)

    def part(self, rows: slice) -> "Batch":
        """Some of its rows."""
        return Batch(self.images[rows], self.labels[rows], self.others[rows], self.own)

    def loss(self, logits: Tensor, label_smoothing: float) -> Tensor:
        """Mean cross-entropy of float32 logits (B, classes), with both labels if images are mixed."""
        loss = self.own * F.cross_entropy(logits, self.labels, label_smoothing=label_smoothing)
        if self.own < 1:
            loss = loss + (1 - self.own) * F.cross_entropy(logits, self.others, label_smoothing=label_smoothing)
        return loss

    def correct(self, logits: Tensor) -> Tensor:
        """The number of images classified as their own label."""
        return (logits.argmax(1) == self.labels).sum()


class Batches:
    """The training images in batches; every draw is keyed by (seed, epoch, update)."""

    def __init__(self, recipe: Recipe, images: Tensor, labels: Tensor, seed: int):
        """``images`` uint8 (N, 3, 32, 32) and ``labels`` int64 (N,), on the device."""
        self.recipe, self.images, self.labels, self.seed = recipe, images, labels, seed
        self.coins = augment.flip_coins(len(images), seed)
        self._size, self._resized = 0, images

    def of_epoch(self, epoch: int) -> list[Tensor]:
        """The numbers of the images of each batch."""
        return augment.batch_order(len(self.images), self.recipe.batch_size, self.seed, epoch)

    def augmented(self, index: Tensor, size: int, epoch: int, update: int) -> Batch:
        """The images with these numbers at a size: cropped, mirrored, cut out and mixed as the recipe says."""
        if size != self._size:
            self._size, self._resized = size, augment.resize(self.images, size)
        recipe, draws = self.recipe, seeding.keyed_generator(self.seed, "augment", epoch, update)
        padding = augment.scaled(recipe.crop_padding, size)
        images = augment.augmented_batch(self._resized, index, self.coins, recipe.flip, padding, draws, epoch)
        labels = self.labels[moved(index, images.device)]
        if recipe.cutout:
            images = augment.cutout(images, augment.scaled(recipe.cutout, size), draws)
        if recipe.cutmix and torch.rand((), generator=draws).item() < recipe.cutmix:
            images, others, own = augment.cutmix(images, labels, draws)
            return Batch(images, labels, others, own)
        return Batch(images, labels, labels)


def split(recipe: Recipe, images: ImageSet, seed: int, device: torch.device) -> tuple[Batches, tuple[Tensor, Tensor]]:
    """The training images in batches, and the images and labels held out for validation, on the device."""
    training, validation = split_indices(len(images.train_images), recipe.validation_size, recipe.split_seed)
    if recipe.train_images:
        training = training[: recipe.train_images]

    def chosen(index: np.ndarray) -> tuple[Tensor, Tensor]:
        pixels, labels = images.train_images[index], images.train_labels[index]
        return torch.from_numpy(pixels).to(device), torch.from_numpy(labels).to(device)

    return Batches(recipe, *chosen(training), seed), chosen(validation)


def build_model(recipe: Recipe, batches: Batches, size: int, classes: int) -> ResNet18:
    """The network with its initial weights, on the CPU; whitening is made for images of ``size``."""
    model = ResNet18(classes, shortcut=recipe.shortcut)
    initialise(model, seeding.keyed_generator(batches.seed, "initialise"))
    if recipe.whiten:
        whiten_stem(model, augment.normalise(augment.resize(batches.images[:WHITENED].cpu(), size)))
    return model


def make_optimisers(model: nn.Module, recipe: Recipe, precision: str) -> list[torch.optim.Optimizer]:
    """SGD with Nesterov momentum for all, or Muon for the convolutions beside SGD for the rest."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1 and parameter.requires_grad]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    if recipe.optimiser == "sgd":
        groups: list[dict[str, Any]] = [{"params": matrices, "weight_decay": recipe.weight_decay}]
        groups.append({"params": vectors, "weight_decay": 0.0})
        return [torch.optim.SGD(groups, lr=recipe.sgd_learning_rate, momentum=recipe.sgd_momentum, nesterov=True)]
    filters = [parameter for parameter in matrices if parameter.ndim == 4]
    biases = [parameter for name, parameter in model.named_parameters() if name.endswith("bias")]
    gains = [parameter for name, parameter in model.named_parameters() if parameter.ndim == 1 and "bias" not in name]
    groups = [
        {"params": [parameter for parameter in matrices if parameter.ndim == 2], "weight_decay": recipe.weight_decay},
        {"params": gains, "weight_decay": 0.0},
        {"params": biases, "weight_decay": 0.0, "lr": recipe.sgd_learning_rate * recipe.bias_factor},
    ]
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return [
        Muon(filters, lr=recipe.muon_learning_rate, momentum=recipe.muon_momentum, dtype=dtype),
        torch.optim.SGD(groups, lr=recipe.sgd_learning_rate, momentum=recipe.sgd_momentum, nesterov=True),
    ]


def validate(model: nn.Module, images: Tensor, labels: Tensor, size: int, precision: str) -> dict[str, float]:
    """Loss and accuracy on the validation images, at this size."""
    logits, labels = predict(model, augment.resize(images, size), precision), labels.cpu()
    return {
        "val_loss": F.cross_entropy(logits, labels).item(),
        "val_accuracy": (logits.argmax(1) == labels).float().mean().item(),
    }


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, precision: str, batch_size: int = 500) -> Tensor:
    """float32 logits (N, classes), on the CPU, of uint8 images (N, 3, H, W), which are not resized."""
    model.eval()
    parts = []
    for batch in images.split(batch_size):
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            parts.append(model(augment.normalise(batch)).float().cpu())
    return torch.cat(parts)
