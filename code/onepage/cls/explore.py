"""Data of an image-classification run to explore: curves, the images behind the confusion matrix, calibration."""

from pathlib import Path
from typing import Any

import numpy as np

from onepage.cls import draw, scores
from onepage.cls.figures.confusion import order_of
from onepage.figures import curves, explore
from onepage.files import read_arrays, read_json, sha256_file
from onepage.runs import history

COLUMNS = 40  # images in a row of the sprite
LINES = (("training", "train"), ("validation", "val"))


def parts(run: Path) -> list[explore.Part]:
    """The parts of report.html, in its order."""
    metrics = read_json(run / "metrics.json")
    predictions, explained = (read_arrays(run / f"{name}.npz") for name in ("predictions", "explain"))
    return [_curves(run, metrics), _confusion(metrics, predictions, explained), _reliability(metrics["test"])]


def _curves(run: Path, metrics: dict[str, Any]) -> explore.Part:
    records = history.read(run / "history.jsonl")
    histories = curves.read_seeds(run, records, sha256_file(run / "metrics.json"))
    epochs = [row["epoch"] for row in records]
    panels = []
    for title, unit, what, factor in (("Loss", "nats", "loss", 1), ("Accuracy", "%", "accuracy", 100)):
        lines = [(name, epochs, curves.values(histories, f"{key}_{what}", factor)) for name, key in LINES]
        panels.append(explore.panel(title, unit, lines))
    steps = [(x, size) for size, *span in draw.stages(metrics) for x in span]
    places, sizes = zip(*steps, strict=True)
    rates = draw.learning_rates(metrics, records)
    panels.append(explore.panel("Learning rate", "", [("learning rate", rates[0], np.array(rates[1]))], small=True))
    panels.append(explore.panel("Image size", "px", [("image size", places, np.array(sizes))], small=True))
    return explore.learning("curves_cls", "epoch", histories, panels)


def _confusion(metrics: dict[str, Any], predictions: dict[str, np.ndarray], explained: dict[str, Any]) -> explore.Part:
    """Counts, and the images behind them with their Grad-CAM maps."""
    names = list(metrics["class_names"])
    part: explore.Part = {"kind": "confusion", "picture": "confusion_matrix", "classes": names}
    part |= {"order": order_of(names), "counts": metrics["test"]["confusion"]}
    index = explained["explored_index"]
    shares = scores.softmax(predictions["logits"][index])
    part["images"] = {
        "sprite": explore.sprite(explained["explored_images"], COLUMNS),
        "columns": COLUMNS,
        "index": index.tolist(),
        "true": predictions["labels"][index].tolist(),
        "predicted": shares.argmax(1).tolist(),
        "shares": np.round(10_000 * shares).astype(int).ravel().tolist(),
    }
    layers = [str(layer) for layer in explained["layers"]]
    cams = {layer: {of: explained[f"explored_cam_{layer}_{of}"] for of in ("predicted", "true")} for layer in layers}
    part["maps"] = {
        "of": explained["explored_mapped"].tolist(),
        "layers": [
            {"name": layer, "high": maps["true"].shape[1], "wide": maps["true"].shape[2]}
            | {of: explore.encoded(values) for of, values in maps.items()}
            for layer, maps in cams.items()
        ],
    }
    return part


def _reliability(test: dict[str, Any]) -> explore.Part:
    """The bins of both diagrams that hold images."""
    after = test["calibrated"]
    titles = ("As trained", f"At temperature {after['temperature']:.2f}, fitted on validation images")
    panels = [
        {"title": title, "rows": [row for row in scored["reliability"] if row["n"]]}
        | {key: scored[key] for key in ("ece", "nll", "brier")}
        for title, scored in zip(titles, (test, after), strict=True)
    ]
    return {"kind": "reliability", "picture": "reliability_cls", "panels": panels}
