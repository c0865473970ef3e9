"""The image-classification half of a synthetic run: logits, pictures, maps and the metrics that follow from them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from onepage.cls import scores


def logits(rng: np.random.Generator, true: np.ndarray, error_rate: float) -> np.ndarray:
    """Logits (N, 10), float32, that err on about ``error_rate`` of the rows, mostly towards the next-but-one class."""
    logits = rng.normal(0, 1, (len(true), 10))
    wrong = rng.random(len(true)) < error_rate
    shift = rng.choice([1, 2, 2, 2, 3, 5], len(true))
    target = np.where(wrong, (true + shift) % 10, true)
    rows = np.arange(len(true))
    logits[rows, target] = (
        np.delete(logits, 0, axis=1).max(1) + np.where(wrong, 0.2, 1.0) + rng.gamma(2, 1.5, len(true))
    )
    logits[rows, target] = np.maximum(logits[rows, target], logits.max(1) + 0.05)
    return logits.astype(np.float32)


def cls_metrics(
    common: dict[str, Any], names: Sequence[str], true: np.ndarray, logits: np.ndarray, history: list[dict[str, Any]]
) -> dict[str, Any]:
    n, last = len(true), history[-1]
    test = scores.summary(logits, true, tuple(names))
    test["calibrated"] = scores.calibrated(logits, true, scores.fit_temperature(logits, true))
    mirrored = scores.accuracy(min(n, test["correct"] + n // 200), n)
    test["tta"] = {"method": "mean logits of the image and its mirror"} | mirrored
    train = {"n": 45_000, "epochs": len(history), "image_sizes": [row["image_size"] for row in history]}
    return common | {
        "class_names": list(names),
        "model": {"name": "ResNet-18", "parameters": 11_173_962},
        "train": train | {"loss": last["train_loss"], "accuracy": last["train_accuracy"]},
        "val": {"n": 5000, "accuracy": last["val_accuracy"], "loss": last["val_loss"]},
        "test": test,
    }


def cls_history(rng: np.random.Generator, sizes: list[int]) -> list[dict[str, Any]]:
    rows = []
    for epoch, size in enumerate(sizes, start=1):
        train_accuracy = 0.89 - 0.52 * math.exp(-0.45 * epoch) + rng.normal(0, 0.004)
        val_accuracy = 0.90 - 0.55 * math.exp(-0.5 * epoch) + rng.normal(0, 0.006)
        rows.append(
            {
                "epoch": epoch,
                "step": 176 * epoch,
                "images": 45_000 * epoch,
                "image_size": size,
                "learning_rate": 0.2 * (1 - epoch / len(sizes)) + 1e-4,
                "train_loss": 0.62 + 1.5 * math.exp(-0.45 * epoch),
                "train_accuracy": train_accuracy,
                "val_loss": 0.32 + 1.55 * math.exp(-0.5 * epoch) + rng.normal(0, 0.02),
                "val_accuracy": val_accuracy,
                "seconds": 68.0 * epoch,
            }
        )
    return rows


def images(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Soft colour gratings, uint8 (k, 32, 32, 3); the label sets their direction, so that classes differ."""
    y, x = np.mgrid[0:32, 0:32] / 32
    pictures = np.zeros((len(labels), 32, 32, 3), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        angle, phase = np.pi * label / 10, rng.random(3) * 6
        wave = np.sin(2 * np.pi * (2 + rng.random()) * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
        picture[:] = np.clip(
            128 + 70 * wave * np.cos(phase) + 60 * np.sin(phase) + rng.normal(0, 12, (32, 32, 3)), 0, 255
        )
    return pictures


def cams(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Maps (count, size, size) scaled to maximum 1, with one all-zero map among them."""
    y, x = np.mgrid[0:size, 0:size] / size
    centres = rng.random((count, 2, 1, 1))
    maps = np.exp(-8 * ((y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2))
    maps = maps / maps.max((1, 2), keepdims=True) if count else maps
    if count > 3:
        maps[3] = 0
    return maps.astype(np.float32)


def explored(
    rng: np.random.Generator, true: np.ndarray, predicted: np.ndarray, order: np.ndarray
) -> dict[str, np.ndarray]:
    """Images to explore, as evaluation stores them: every mistake, 20 correct images per class, and some maps."""
    right = [index for k in range(10) for index in order[(predicted[order] == true[order]) & (true[order] == k)][:20]]
    wrong = order[predicted[order] != true[order]]
    index = np.array([*wrong, *right])
    mapped = np.array([k for k in range(len(index)) if k < 30 or k >= len(wrong)])
    maps = {
        f"explored_cam_layer{layer}_{target}": np.round(255 * cams(rng, len(mapped), 8 if layer == 3 else 4))
        for layer in (3, 4)
        for target in ("predicted", "true")
    }
    found = {"explored_index": index, "explored_images": images(rng, true[index]), "explored_mapped": mapped}
    return found | {name: values.astype(np.uint8) for name, values in maps.items()}
