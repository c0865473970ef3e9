"""The page of image classification: every ``{name}`` of its prose, its pictures, and its tables. No torch, no numpy.

If a run lacks the figure of a name, the name is left out, and so is each sentence that needs it.
"""

from collections.abc import Mapping
from typing import Any

from onepage.runs.words import NBSP, NONE, interval, number, percent, shorten, signed
from onepage.tasks import Table

ROWS = (("curves_cls",), ("confusion_matrix", "gradcam_mistakes"), ("preds_grid", "miscls_grid"))
ABLATED = ("whole", "no-shortcuts")
SHORT = {"airplane": "plane", "automobile": "car"}  # for names beside each other in a caption


def facts(metrics: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, str]:
    """{name: text} for the prose about a run."""
    train, val, test = metrics["train"], metrics["val"], metrics["test"]
    classes = sorted(test["per_class"], key=lambda row: row["recall"])
    found = {
        "classes": number(len(metrics["class_names"])),
        "image_size": number(train["image_sizes"][-1]),
        "epochs": f"{round(train['epochs'], 1):g}",
        "val_accuracy": percent(val["accuracy"]),
        "test_n": number(test["n"]),
        "correct_n": number(test["correct"]),
        "wrong_n": number(test["n"] - test["correct"]),
        "test_accuracy": percent(test["accuracy"]),
        "nll": number(test["nll"], 2),
        "brier": number(test["brier"], 3),
        "ece": percent(test["ece"]),
        "temperature": number(test["calibrated"]["temperature"], 2),
        "calibrated_ece": percent(test["calibrated"]["ece"]),
        "best_class": shorten(classes[-1]["name"]),
        "best_recall": percent(classes[-1]["recall"], 0),
        "mirror_accuracy": percent(test["tta"]["accuracy"]),
        "worst_class": shorten(classes[0]["name"]),
        "worst_recall": percent(classes[0]["recall"], 0),
    }
    if test["calibrated"]["ece"] < test["ece"]:
        found["better_calibrated"] = found["calibrated_ece"]
    if test["calibrated"]["temperature"] < 1:  # sharpening helps
        found["under_confident"] = found["temperature"]
    low, high = test["accuracy_interval"]
    if low <= val["accuracy"] <= high:
        found["gap_inside"] = signed(100 * (test["accuracy"] - val["accuracy"]))
    return found | _confusions(test)


def _confusions(test: Mapping[str, Any]) -> dict[str, str]:
    """Facts about the classes confused most often; {} without a mistake."""
    pairs, wrong = test["top_confusions"], test["n"] - test["correct"]
    if not pairs or not wrong:
        return {}
    top, names = pairs[0], [row["name"] for row in test["per_class"]]
    pair = top["true"], top["predicted"]
    true, predicted = names.index(top["true"]), names.index(top["predicted"])
    found = {
        "confused_true": shorten(top["true"]),
        "confused_predicted": shorten(top["predicted"]),
        "confused_pair": " and ".join(SHORT.get(name, shorten(name, 12)) for name in pair).capitalize(),
        "confused_both": number(top["count"] + test["confusion"][predicted][true]),
    }
    if len(pairs) >= 3:
        found["top_share"] = percent(sum(pair["count"] for pair in pairs[:3]) / wrong, 0)
        found["top_pairs"] = ", ".join(
            f"{shorten(pair['true'], 12)} → {shorten(pair['predicted'], 12)}" for pair in pairs[:3]
        )
    return found


def tables(metrics: Mapping[str, Any], page: Mapping[str, Any]) -> list[Table]:
    """Accuracy and calibration, and every class."""
    test = metrics["test"]
    columns = ("", "accuracy", f"95{NBSP}% interval", "NLL, nats", "Brier score", "ECE, 15 bins")
    classes = [
        [row["name"], number(row["n"]), percent(row["recall"]), percent(row["precision"])] for row in test["per_class"]
    ]
    mistakes = [
        f"{row['true']} → {row['predicted']} {row['count']} ({percent(row['share'])})" for row in test["top_confusions"]
    ]
    note = f"Most frequent mistakes: {'; '.join(mistakes) or 'none'}."
    return [
        Table("Accuracy and calibration of the test images", columns, _scores(test)),
        Table("Every class", ("class", "n", "recall", "precision"), classes, note),
    ]


def _scores(test: Mapping[str, Any]) -> list[list[str]]:
    """Accuracy and calibration of the test images: as trained, at the fitted temperature, with the mirror image."""
    after = test["calibrated"]
    rows = []
    for name, part in (
        ("single image", test),
        (f"at temperature {number(after['temperature'], 2)}, fitted on validation", test | after),
        (test["tta"]["method"], test["tta"]),
    ):
        measured = [number(part[key], 3) if key in part else NONE for key in ("nll", "brier")]
        ece = percent(part["ece"]) if "ece" in part else NONE
        bounds = interval(part["accuracy_interval"], 1, percent)
        rows.append([name, percent(part["accuracy"]), bounds, *measured, ece])
    return rows
