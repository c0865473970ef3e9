"""Histories for the tests of curves: many seeds, many epochs."""

import hashlib
import json

import numpy as np

from drawing import edit, rows_of, write_rows


def crowd(run):
    """Make a run of 100 epochs in four stages, one of them short, with a schedule the records lie on."""
    stages = [{"epochs": epochs, "image_size": size} for epochs, size in ((30, 16), (40, 24), (3, 28), (27, 32))]
    recipe = {"stages": stages, "schedule": "cosine", "warmup": 0.1, "learning_rate": 0.12}
    edit(run, lambda metrics: metrics["recipe"].update(recipe))
    first = rows_of(run)[0]
    rows = []
    for k in range(1, 21):
        progress = k / 20
        rate = 0.12 * (progress / 0.1 if progress < 0.1 else 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9)))
        row = first | {"epoch": 5 * k, "step": 440 * k, "learning_rate": rate, "seconds": 95 * progress**1.7}
        rows.append(row | {"train_accuracy": 1 - 0.6 * 0.8**k, "val_accuracy": 0.97 - 0.6 * 0.75**k})
    write_rows(run, rows)


def write_seeds(run, count, change=lambda rows: None):
    """seeds.json beside the run: itself and others whose losses and accuracies are a little other."""
    history = rows_of(run)
    own = hashlib.sha256((run / "metrics.json").read_bytes()).hexdigest()
    rows = []
    for seed in range(count):
        factor = 1 + 0.04 * seed
        shifted = [
            {key: value * factor if "loss" in key or "perp" in key else value for key, value in row.items()}
            for row in history
        ]
        digest = own if seed == 0 else f"of seed {seed}"
        rows.append({"seed": seed, "metrics_sha256": digest, "measures": {}, "history": shifted})
    change(rows)
    (run.parent / "seeds.json").write_text(json.dumps({"seeds": list(range(count)), "rows": rows, "summary": {}}))
    return rows
