"""Evaluate the final ResNet-18: the only code that reads the test images.

Writes ``predictions.npz`` (labels, logits, the pictures of the grids), ``explain.npz`` (Grad-CAM maps, images to
explore) and, last, ``metrics.json``, so that drawing and reporting need no model and no data set.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onepage.cls import augment, scores, tta
from onepage.cls.gradcam import GradCAM
from onepage.cls.recipe import Recipe
from onepage.cls.resnet import ResNet18
from onepage.cls.train import predict
from onepage.data.images import ImageSet, split_indices
from onepage.files import write_json, write_with
from onepage.runs import history, provenance
from onepage.training import checkpoint, seeding
from onepage.training.recipe import of_run
from onepage.training.session import common_block
from onepage.training.weights import count_parameters, digest_tensors

GRID = 24  # pictures kept for each grid
EXPLAINED = 8  # pictures explained by Grad-CAM
LAYERS = ("layer3", "layer4")  # layers with Grad-CAM maps
# For the page to explore, the most confident first
MISTAKES = 2000  # images kept: on CIFAR-10 every mistake of a network with 80 % accuracy
MAPPED = 200  # of them have Grad-CAM maps
RIGHT = 20  # correctly classified images kept of each class, all with maps
BATCH = 100  # images explained at once


def load(run: Path, classes: int, device: str = "") -> tuple[ResNet18, Recipe, dict[str, Any], torch.device]:
    """The trained model in evaluation mode, its recipe, its plan (run.json), and its device.

    ``run``: a run folder, or a file by ``make export``.
    ``device``: "cpu" or "cuda", instead of the device of the training.
    Raises UserError if the weights are missing or damaged, or of a version of this program with other recipe keys.
    """
    plan = common_block(run)
    recipe = of_run(Recipe, run, plan)
    where = seeding.prepare(plan["seed"], recipe.threads, device or plan["device"])
    model = ResNet18(classes, shortcut=recipe.shortcut)
    with checkpoint.fitting(run):
        model.load_state_dict(checkpoint.load_weights(run))
    model = model.to(device=where, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return model, recipe, plan, where


def on_validation(
    model: ResNet18, images: ImageSet, recipe: Recipe, precision: str, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """(logits, labels) of the validation images, at the last size of the training."""
    _, index = split_indices(len(images.train_images), recipe.validation_size, recipe.split_seed)
    size = recipe.stages[-1].image_size
    pixels = augment.resize(torch.from_numpy(images.train_images[index]), size).to(device)
    return predict(model, pixels, precision).numpy(), images.train_labels[index]


def evaluate(images: ImageSet, run: Path, settings: Mapping[str, Any], say: Any = print) -> dict[str, Any]:
    """Score ``run/model.pt`` on validation and test; returns the content of metrics.json.

    ``settings``: unused, because no table of this recipe belongs to evaluation alone.
    Raises UserError if the weights are missing or damaged.
    """
    stopwatch = provenance.Stopwatch()
    model, recipe, plan, device = load(run, len(images.class_names))

    size = recipe.stages[-1].image_size
    test = augment.resize(torch.from_numpy(images.test_images.copy()), size).to(device)
    logits = predict(model, test, plan["precision"])
    test_scores = scores.summary(logits.numpy(), images.test_labels, images.class_names)
    views = functools.partial(predict, model, precision=plan["precision"])
    test_scores["tta"] = tta.score(views, test, logits, images.test_labels)
    val_logits, val_labels = on_validation(model, images, recipe, plan["precision"], device)
    val_scores = scores.summary(val_logits, val_labels, images.class_names)
    temperature = scores.fit_temperature(val_logits, val_labels)
    test_scores["calibrated"] = scores.calibrated(logits.numpy(), images.test_labels, temperature)
    last = history.read(run / "history.jsonl")[-1]
    metrics = {
        **plan,
        "weights_digest": digest_tensors(model.state_dict()),
        "class_names": list(images.class_names),
        "model": {"name": "ResNet-18", "parameters": count_parameters(model)},
        "train": {
            "n": recipe.train_images or len(images.train_images) - recipe.validation_size,
            "epochs": sum(stage.epochs for stage in recipe.stages),
            "image_sizes": [stage.image_size for stage in recipe.stages],
            "loss": last["train_loss"],
            "accuracy": last["train_accuracy"],
        },
        "val": {"n": val_scores["n"], "accuracy": val_scores["accuracy"], "loss": val_scores["nll"]},
        "test": test_scores,
    }

    predicted = logits.argmax(dim=1).numpy()
    probabilities = scores.softmax(logits.numpy())
    by_confidence = np.argsort(-probabilities.max(axis=1), kind="stable")
    right = by_confidence[predicted[by_confidence] == images.test_labels[by_confidence]]
    wrong = by_confidence[predicted[by_confidence] != images.test_labels[by_confidence]]
    arrays = {"labels": images.test_labels, "logits": logits.numpy()}
    for name, index in (("correct", spread(right, images.test_labels, GRID)), ("wrong", wrong[:GRID])):
        arrays[f"{name}_index"] = index
        arrays[f"{name}_images"] = images.test_images[index].transpose(0, 2, 3, 1)
    explained = interleave(spread(wrong, images.test_labels, EXPLAINED), spread(right, images.test_labels, EXPLAINED))
    explained = explained[:EXPLAINED]
    explain = {
        "index": explained,
        "images": images.test_images[explained].transpose(0, 2, 3, 1),
        "labels": images.test_labels[explained],
        "predicted": predicted[explained],
        "probabilities": probabilities[explained].astype(np.float32),
        "layers": np.array(LAYERS),
    }
    for name, classes in (("predicted", predicted), ("true", images.test_labels)):
        maps = cams(model, test[explained], classes[explained])
        explain |= {f"cam_{layer}_{name}": values for layer, values in maps.items()}
    explain |= explored(model, images, test, predicted, wrong, right)
    write_with(run / "predictions.npz", lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
    write_with(run / "explain.npz", lambda file: np.savez_compressed(file, **explain))  # type: ignore[arg-type]
    stopwatch.record(run, "evaluate")
    write_json(run / "metrics.json", metrics)
    low, high = test_scores["accuracy_interval"]
    generated = " (generated stand-in data)" if plan["generated"] else ""
    accuracy = f"{test_scores['accuracy']:.1%} (95 % {low:.1%} to {high:.1%}, n={test_scores['n']:,})"
    say(f"cls  test accuracy {accuracy}{generated}")
    return metrics


def spread(order: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Up to ``count`` of ``order`` (most confident first): the first of each class, then the second of each, ..."""
    turn: dict[int, int] = {}
    rank = []
    for place, number in enumerate(order):
        label = int(labels[number])
        turn[label] = turn.get(label, 0) + 1
        rank.append((turn[label], place))
    chosen = [place for _, place in sorted(rank)[:count]]
    return order[np.array(chosen, dtype=np.int64)]


def interleave(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Items of both lists in turn, then the rest of the longer list."""
    pairs = [number for pair in zip(first, second, strict=False) for number in pair]
    shorter = min(len(first), len(second))
    return np.array([*pairs, *first[shorter:], *second[shorter:]], dtype=np.int64)


def explored(
    model: ResNet18, images: ImageSet, test: torch.Tensor, predicted: np.ndarray, wrong: np.ndarray, right: np.ndarray
) -> dict[str, np.ndarray]:
    """Arrays for report.html: mistakes, then correct images class by class, each with the most confident first.

    ``wrong`` and ``right``: numbers of test images, the most confident first. ``explored_index``: the numbers kept;
    ``explored_images``: their pixels; ``explored_mapped``: which of them have maps; ``explored_cam_LAYER_CLASS``: these
    maps for the predicted and the true class, uint8, 255 for 1.
    """
    labels, wrong = images.test_labels, wrong[:MISTAKES]
    best = [right[labels[right] == label][:RIGHT] for label in range(len(images.class_names))]
    index = np.concatenate([wrong, *best])
    mapped = np.flatnonzero((np.arange(len(index)) < MAPPED) | (np.arange(len(index)) >= len(wrong)))
    found = {"explored_index": index, "explored_images": images.test_images[index].transpose(0, 2, 3, 1)}
    found["explored_mapped"] = mapped
    for name, classes in (("predicted", predicted), ("true", labels)):
        for layer, maps in cams(model, test[index[mapped]], classes[index[mapped]]).items():
            found[f"explored_cam_{layer}_{name}"] = np.round(255 * maps).astype(np.uint8)
    return found


def cams(model: ResNet18, images: torch.Tensor, classes: np.ndarray) -> dict[str, np.ndarray]:
    """Grad-CAM maps {layer: float32 (B, h, w)} of uint8 images (B, 3, H, H) for the classes (B,)."""
    targets = torch.from_numpy(classes).split(BATCH)
    with GradCAM(model, [getattr(model, layer) for layer in LAYERS]) as cam:
        parts = [cam(augment.normalise(some), of) for some, of in zip(images.split(BATCH), targets, strict=True)]
    return {layer: torch.cat(maps).cpu().numpy() for layer, maps in zip(LAYERS, zip(*parts, strict=True), strict=True)}
