"""Train ResNet-18: low resolution first, one-cycle rate, averaged weights.

The image size grows during training (progressive resizing, Howard 2018): most updates are made where they are cheap,
and the network is tested at the last size. Nothing is read from the test images here.
"""

import dataclasses
import math
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
from onepage.terminal.progress import Reporter
from onepage.training import seeding
from onepage.training.averaging import WeightAverage
from onepage.training.distributed import ALONE, Ranks
from onepage.training.muon import Muon
from onepage.training.schedules import SCHEDULES
from onepage.training.session import Session

READ_EVERY = {"cpu": 1, "cuda": 20}  # updates between looks at the loss; each makes a GPU wait
WHITENED = 5000  # training images whose patches give the whitening filters


@dataclasses.dataclass(frozen=True)
class Plan:
    """The recipe laid out in updates for a training set of known size."""

    updates: int
    updates_an_epoch: int
    sizes: tuple[tuple[int, int], ...]
    """(first update, image size) of each stage."""
    validate_after: frozenset[int]

    def size_at(self, update: int) -> int:
        """Image size of update number ``update``, from 0."""
        return [size for first, size in self.sizes if first <= update][-1]

    def work(self, updates: int) -> float:
        """What the first so many updates cost, as the sum of their images' pixels."""
        ends = [first for first, _ in self.sizes[1:]] + [self.updates]
        done = [min(updates, end) - first for (first, _), end in zip(self.sizes, ends, strict=True)]
        return float(sum(max(0, number) * size**2 for number, (_, size) in zip(done, self.sizes, strict=True)))


def lay_out(recipe: Recipe, n: int) -> Plan:
    """Turn epochs into updates for ``n`` training images."""
    an_epoch = max(1, n // recipe.batch_size)
    first, sizes = 0, []
    for stage in recipe.stages:
        sizes.append((first, stage.image_size))
        first += max(1, round(stage.epochs * an_epoch))
    marks = {math.ceil(first * (i + 1) / recipe.validations) for i in range(recipe.validations)}
    return Plan(first, an_epoch, tuple(sizes), frozenset(marks))


def train(
    recipe: Recipe, images: ImageSet, run: Path, block: dict[str, Any], program: str = "", ranks: Ranks = ALONE
) -> None:
    """Train from the seed in ``block`` to ``run/model.pt``; goes on from a checkpoint where there is one.

    ``ranks``: this process among those that train together, each on its part of the recipe's batch. Rank 0 reads the
    validation images, alone; BatchNorm's running statistics that it reads them with, and that are kept, are its own.
    Raises UserError for a GPU asked for and absent, a checkpoint of another recipe, a full disk; Interrupted (a
    UserError) after SIGINT or SIGTERM, when a checkpoint has been saved.
    """
    seed = block["seed"]
    device = seeding.prepare(seed, recipe.threads, block["device"])
    session = Session(run, recipe, block, program, ranks)
    if session.finished():
        return
    if recipe.batch_size < 2 * ranks.world:
        raise UserError(f"batch_size {recipe.batch_size} is under two images for each of {ranks.world} processes")

    train_index, val_index = split_indices(len(images.train_images), recipe.validation_size, recipe.split_seed)
    if recipe.train_images:
        train_index = train_index[: recipe.train_images]
    train_images, train_labels = to_tensors(images.train_images[train_index], images.train_labels[train_index], device)
    val_images, val_labels = to_tensors(images.train_images[val_index], images.train_labels[val_index], device)
    coins = augment.flip_coins(len(train_images), seed)
    plan = lay_out(recipe, len(train_images))

    model = ResNet18(len(images.class_names), shortcut=recipe.shortcut)
    initialise(model, seeding.keyed_generator(seed, "initialise"))
    if recipe.whiten:
        first = augment.resize(train_images[:WHITENED].cpu(), plan.size_at(0))
        whiten_stem(model, augment.normalise(first))
    model = model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    model = ranks.normalising(model, recipe.batch_norm)
    network = ranks.averaging(model)
    optimisers = make_optimisers(model, recipe, block["precision"])
    peaks = [[group["lr"] for group in optimiser.param_groups] for optimiser in optimisers]
    average = WeightAverage(model, recipe.average_decay)
    averaged = ResNet18(len(images.class_names), shortcut=recipe.shortcut)
    averaged = averaged.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    with session:
        update = 0
        # since the last validation: loss, correct, images, processes asked to stop; on the device: nothing waits for it
        sums = torch.zeros(4, dtype=torch.float64, device=device)
        with session.going_on():
            state = session.restore(print)
            if state is not None:
                update = state["update"]
                sums[:3] = torch.tensor(state["sums"], dtype=torch.float64)
                model.load_state_dict(state["model"])
                average.load_state_dict(state["average"])
                for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
                    optimiser.load_state_dict(saved)
                seeding.restore_generators(state["generators"])
                if not 0 <= update <= plan.updates:
                    raise ValueError(f"update {update} of {plan.updates}")

        sized: dict[int, Tensor] = {}
        order_of: dict[int, list[Tensor]] = {}
        log, name = run / "train.log", f"cls seed {seed}"
        with Reporter(name, plan.updates, "images", log, update, plan.work, not ranks.is_main) as report:
            report.line(
                f"{'going on at' if update else 'training from'} update {update} of {plan.updates}: "
                f"{len(train_images):,} images, {block['device']}, {block['precision']}, {recipe.threads} threads"
                f"{ranks.words()}"
            )
            note = ""
            while update < plan.updates:
                size, epoch = plan.size_at(update), update // plan.updates_an_epoch
                if size not in sized:
                    sized = {size: augment.resize(train_images, size)}
                if epoch not in order_of:
                    order_of = {epoch: augment.batch_order(len(train_images), recipe.batch_size, seed, epoch)}
                index = order_of[epoch][update % plan.updates_an_epoch]
                draws = seeding.keyed_generator(seed, "augment", epoch, update)
                padding = augment.scaled(recipe.crop_padding, size)
                batch = augment.augmented_batch(sized[size], index, coins, recipe.flip, padding, draws, epoch)
                labels = others = train_labels[augment.moved(index, device)]
                own = 1.0  # share of each image that is its own, not its CutMix partner's
                if recipe.cutout:
                    batch = augment.cutout(batch, augment.scaled(recipe.cutout, size), draws)
                if recipe.cutmix and torch.rand((), generator=draws).item() < recipe.cutmix:
                    batch, others, own = augment.cutmix(batch, labels, draws)
                # drawn for the whole batch, whatever the number of processes; from here on this one's part of it
                mine = ranks.rows(len(index))
                batch, labels, others = batch[mine], labels[mine], others[mine]

                factor = SCHEDULES[recipe.schedule]((update + 1) / plan.updates, recipe.warmup)
                for optimiser, rates in zip(optimisers, peaks, strict=True):
                    for group, rate in zip(optimiser.param_groups, rates, strict=True):
                        group["lr"] = rate * factor
                model.train()
                with torch.autocast(device.type, torch.bfloat16, enabled=block["precision"] == "bf16"):
                    logits = network(batch)
                logits, smoothing = logits.float(), recipe.label_smoothing
                loss = own * F.cross_entropy(logits, labels, label_smoothing=smoothing)
                if own < 1:
                    loss = loss + (1 - own) * F.cross_entropy(logits, others, label_smoothing=smoothing)
                (loss * ranks.weight(len(batch), len(index))).backward()
                for optimiser in optimisers:
                    optimiser.step()
                    optimiser.zero_grad(set_to_none=True)
                update += 1
                average.update(model, update)
                counted = torch.zeros_like(sums)
                counted[0], counted[1] = loss.detach() * len(batch), (logits.argmax(1) == labels).sum()
                counted[2], counted[3] = len(batch), session.asked_to_stop
                ranks.add(counted)
                sums += counted
                if update % READ_EVERY[device.type] == 0 or update in plan.validate_after:
                    loss_sum, correct, seen, stops = sums.tolist()
                    session.stop_if(stops)
                    train_loss, train_accuracy = loss_sum / seen, correct / seen
                    note = f"{size} px  loss {train_loss:.3f}  accuracy {train_accuracy:.3f}"
                    if not math.isfinite(train_loss):
                        raise UserError(
                            f"the loss is not finite by update {update}; lower learning_rate, delete {run}, try again"
                        )
                report.advance(len(index), note)

                if update in plan.validate_after:
                    ranks.check_alike(model, update)
                    sums.zero_()
                if update in plan.validate_after and ranks.is_main:
                    averaged.load_state_dict(average.state_dict())
                    val_logits = predict(averaged, augment.resize(val_images, size), block["precision"])
                    row = {
                        "epoch": round(update / plan.updates_an_epoch, 3),
                        "step": update,
                        "images": update * recipe.batch_size,
                        "image_size": size,
                        "learning_rate": recipe.learning_rate * factor,
                        "train_loss": train_loss,
                        "train_accuracy": train_accuracy,
                        "val_loss": F.cross_entropy(val_logits, val_labels.cpu()).item(),
                        "val_accuracy": (val_logits.argmax(1) == val_labels.cpu()).float().mean().item(),
                    }
                    session.add_row(row)
                    report.line(
                        f"epoch {row['epoch']:.2f}  {size} px  train loss {row['train_loss']:.3f}  "
                        f"validation loss {row['val_loss']:.3f}  validation accuracy {row['val_accuracy']:.2%}"
                    )
                if session.due(update % plan.updates_an_epoch == 0):
                    loop = {"update": update, "sums": sums.tolist()[:3], "model": model.state_dict()}
                    loop["average"] = average.state_dict()
                    loop["optimisers"] = [optimiser.state_dict() for optimiser in optimisers]
                    loop["generators"] = seeding.generator_states()
                    session.save(update, loop)
            digest = session.finish(average.state_dict())
            report.line(f"done in {session.seconds():.0f} s; weights {digest[:12]}")


def make_optimisers(model: nn.Module, recipe: Recipe, precision: str) -> list[torch.optim.Optimizer]:
    """SGD with Nesterov momentum for all, or Muon for the convolutions beside SGD for the rest."""
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1 and parameter.requires_grad]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    if recipe.optimiser == "sgd":
        groups: list[dict[str, Any]] = [{"params": matrices, "weight_decay": recipe.weight_decay}]
        groups.append({"params": vectors, "weight_decay": 0.0})
        return [torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)]
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
        Muon(filters, lr=recipe.learning_rate, momentum=recipe.momentum, dtype=dtype),
        torch.optim.SGD(groups, lr=recipe.sgd_learning_rate, momentum=0.9, nesterov=True),
    ]


def to_tensors(images: np.ndarray, labels: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """uint8 (N, 3, 32, 32) and int64 (N,) arrays as tensors on the device."""
    return torch.from_numpy(images.copy()).to(device), torch.from_numpy(labels.copy()).to(device)


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, precision: str, batch_size: int = 500) -> Tensor:
    """float32 logits (N, classes), on the CPU, of uint8 images (N, 3, H, W) at the size they have."""
    model.eval()
    parts = []
    for batch in images.split(batch_size):
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            parts.append(model(augment.normalise(batch)).float().cpu())
    return torch.cat(parts)
