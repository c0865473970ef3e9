"""Pictures of a classifier, and all curves: no text over another or the edge, seeds as bands, numbers in place."""

import hashlib
import json

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from layout import MM, problems, texts_of
from onepage.cls import draw as cls
from onepage.cls.figures import gradcam
from onepage.errors import UserError
from onepage.figures import curves
from onepage.figures import text as texts
from onepage.figures.sheet import Book
from onepage.figures.style import PT_PER_MM, RED, onepage_style
from synthetic_run import CIFAR_CLASSES

DRAW_CAMS = gradcam.draw_all  # the fixture ``draw`` leaves them out
CROWDED = {"stages": [[30, 16], [40, 24], [3, 28], [27, 32]], "validations": 20, "seconds": 95.0}


def crowd(run):
    """Make a run of 100 epochs in four stages, one of them short, with a schedule the records lie on."""
    path = run / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    stages = [{"epochs": epochs, "image_size": size} for epochs, size in CROWDED["stages"]]
    metrics["recipe"] |= {"stages": stages, "schedule": "cosine", "warmup": 0.1, "learning_rate": 0.12}
    path.write_text(json.dumps(metrics), encoding="utf-8")
    first = json.loads((run / "history.jsonl").read_text(encoding="utf-8").splitlines()[0])
    rows = []
    for k in range(1, 21):
        progress = k / 20
        rate = 0.12 * (progress / 0.1 if progress < 0.1 else 0.5 * (1 + np.cos(np.pi * (progress - 0.1) / 0.9)))
        row = first | {"epoch": 5 * k, "step": 440 * k, "learning_rate": rate, "seconds": 95 * progress**1.7}
        rows.append(row | {"train_accuracy": 1 - 0.6 * 0.8**k, "val_accuracy": 0.97 - 0.6 * 0.75**k})
    (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_seeds(run, count, change=lambda rows: None):
    """seeds.json beside the run: itself and others whose losses and accuracies are a little other."""
    history = [json.loads(line) for line in (run / "history.jsonl").read_text(encoding="utf-8").splitlines()]
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


@pytest.mark.parametrize("case", ["cls", "crowded", "one record", "generated", "five seeds", "no mistakes"])
def test_no_text_meets_another_or_the_edge_in_the_pictures_of_a_classifier(case, copy, draw):
    run = copy(case if case in ("generated", "no mistakes") else "cls")
    if case == "crowded":
        crowd(run)
    if case == "one record":
        (run / "history.jsonl").write_text((run / "history.jsonl").read_text().splitlines()[0] + "\n")
    if case == "five seeds":
        write_seeds(run, 5)
    sheets = draw(run).sheets
    assert set(sheets) == {
        "curves_cls",
        "confusion_matrix",
        "confusion_counts",
        "preds_grid",
        "miscls_grid",
        "reliability_cls",
    }
    for name, sheet in sheets.items():
        assert not problems(sheet), name


def test_no_text_meets_another_or_the_edge_in_the_curves_of_a_translator(copy, draw):
    run = copy("mt")
    write_seeds(run, 12)
    assert not problems(draw(run).sheets["curves_mt"])


@pytest.mark.parametrize("task", ["cls", "mt"])
def test_several_seeds_are_their_mean_and_a_band_of_one_standard_deviation(task, copy, draw):
    run = copy(task)
    rows = write_seeds(run, 3)
    drawn = draw(run)
    losses = np.array([[record["val_loss"] for record in row["history"]] for row in rows])
    sheet = drawn.sheets[f"curves_{task}"]
    axes = sheet.figure.axes[0]
    assert axes.lines[1].get_ydata() == pytest.approx(losses.mean(0))
    band = axes.collections[1].get_paths()[0].vertices[:, 1]
    mean, half = losses.mean(0)[-1], losses.std(0, ddof=1)[-1]
    assert {round(mean - half, 9), round(mean + half, 9)} <= {round(value, 9) for value in band}
    assert "means of 3 seeds, bands one standard deviation either way" in drawn.alt[f"curves_{task}"]
    written = " ".join(text for text, _ in texts_of(sheet))
    assert "3 seeds, mean ± sd" in written and f"± {half:.2f}" in written


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.__delitem__(slice(1, None)),  # one seed
        lambda rows: rows[0].update(metrics_sha256="of an earlier run"),
        lambda rows: rows[1]["history"].pop(),  # recorded at other updates
    ],
)
def test_one_seed_or_seeds_that_do_not_compare_are_one_line(change, copy, draw):
    run = copy("cls")
    write_seeds(run, 3, change)
    drawn = draw(run)
    axes = drawn.sheets["curves_cls"].figure.axes[0]
    own = [json.loads(line)["val_loss"] for line in (run / "history.jsonl").read_text().splitlines()]
    assert not axes.collections and axes.lines[1].get_ydata() == pytest.approx(own)
    assert "seeds" not in drawn.alt["curves_cls"]


@pytest.mark.parametrize("content", ["{", "[]", '{"rows": [{"seed": 0}]}', '{"rows": 3}'])
def test_seeds_that_cannot_be_read_are_one_clear_error(content, tmp_path):
    (tmp_path / "seeds.json").write_text(content)
    with pytest.raises(UserError, match=r"seeds\.json .*delete it and run make again"):
        curves.read_seeds(tmp_path / "seed0", [{"step": 1}], "digest")


def test_minutes_stand_over_the_epoch_they_fall_in(copy, draw):
    run = copy("cls")
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    for row, minutes in zip(rows, (1, 2, 3, 5, 8, 12), strict=True):  # later epochs take longer
        row["seconds"] = 60.0 * minutes
    (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    axes = draw(run).sheets["curves_cls"].figure.axes[0]
    (top,) = axes.child_axes
    found = {label.get_text(): place for label, place in zip(top.get_xticklabels(), top.get_xticks(), strict=True)}
    assert found["0"] == 0 and found["5"] == pytest.approx(4)  # after the fourth epoch
    assert found["10"] == pytest.approx(5.5)  # half way from 8 to 12
    assert [curves.time_axis(axes, [1], [seconds], 20) for seconds in (20.0, 600.0, 20_000.0)] == ["s", "min", "h"]


def test_the_learning_rate_is_the_schedule_where_the_records_lie_on_it(copy, draw):
    run = copy("cls")
    (line,) = draw(run).sheets["curves_cls"].figure.axes[1].lines[-1:]
    rows = [json.loads(text) for text in (run / "history.jsonl").read_text().splitlines()]
    assert line.get_ydata() == pytest.approx([row["learning_rate"] for row in rows])  # no schedule known: as recorded
    crowd(run)
    (line,) = draw(run).sheets["curves_cls"].figure.axes[1].lines[-1:]
    at = dict(zip(np.round(line.get_xdata(), 9), line.get_ydata(), strict=True))
    assert (at[0.0], at[10.0], at[55.0]) == pytest.approx((0, 0.12, 0.06)) and at[100.0] == pytest.approx(0, abs=1e-9)


def test_every_cell_of_the_full_matrix_holds_its_share_and_its_count(copy, draw):
    run = copy("cls")
    sheet = draw(run).sheets["confusion_counts"]
    metrics = json.loads((run / "metrics.json").read_text())
    written = sorted(text for text, _ in texts_of(sheet))
    counts = np.array(metrics["test"]["confusion"])
    for value in counts[counts > 0]:
        assert str(value) in written
        written.remove(str(value))
        share = f"{100 * value / 200:.1f}"
        written.remove(share)
    assert not [text for text in written if text.replace(".", "").isdigit()]


def marked(axes):
    """Cells (row, column) of a matrix that are outlined as the most confused."""
    return {(p.get_y(), p.get_x()) for p in axes.patches if p.get_edgecolor() == to_rgba(RED)}


def test_the_most_confused_pair_is_outlined_and_nothing_rounds_up_to_all(copy, draw):
    run = copy("cls")
    path = run / "metrics.json"
    metrics = json.loads(path.read_text())
    counts = np.diag([1000] * 10)
    names = metrics["class_names"]
    cat, dog = names.index("cat"), names.index("dog")
    counts[cat] = counts[dog] = 0
    counts[cat, [cat, dog]], counts[dog, [dog, cat]], counts[0, :2] = (800, 200), (999, 1), (999, 1)
    metrics["test"]["confusion"] = counts.tolist()
    path.write_text(json.dumps(metrics))
    sheets = draw(run).sheets
    (axes,) = [axes for axes in sheets["confusion_matrix"].figure.axes if axes.axison]
    order = [label.get_text() for label in axes.get_yticklabels()]
    cat, dog = order.index("cat"), order.index("dog")
    assert marked(axes) == {(cat, dog), (dog, cat)}
    diagonal = [text.get_text() for text in axes.texts if text.get_position()[0] == text.get_position()[1]]
    assert diagonal == [{"cat": "80", "dog": "99", names[0]: "99"}.get(name, "all") for name in order]
    assert {"true class", "predicted class"} <= {text for text, _ in texts_of(sheets["confusion_matrix"])}
    counts[names.index("dog"), [names.index("dog"), names.index("cat")]] = 1000, 0
    metrics["test"]["confusion"] = counts.tolist()
    path.write_text(json.dumps(metrics))
    for sheet in (draw(run).sheets[name] for name in ("confusion_matrix", "confusion_counts")):
        (axes,) = [axes for axes in sheet.figure.axes if axes.axison]
        assert marked(axes) == {(cat, dog)}  # of the converse there was none


def test_no_mistake_is_no_outline(copy, draw):
    (axes,) = [a for a in draw(copy("no mistakes")).sheets["confusion_matrix"].figure.axes if a.axison]
    assert not marked(axes) and [text.get_text() for text in axes.texts if text.get_text()] == ["all"] * 10


def test_images_are_of_one_size_in_both_grids(copy, draw):
    sheets = draw(copy("cls")).sheets
    sizes = set()
    for name in ("preds_grid", "miscls_grid"):
        images = [image for axes in sheets[name].figure.axes for image in axes.images]
        assert len(images) == 8
        sizes |= {
            (round(abs(x1 - x0), 6), round(abs(y1 - y0), 6)) for x0, x1, y0, y1 in (i.get_extent() for i in images)
        }
        assert "confidence: softmax before calibration" in {text for text, _ in texts_of(sheets[name])}
        assert not [text for text in sheets[name].figure.texts if text.get_rotation()]  # all is level
    assert len(sizes) == 1


def test_true_and_predicted_are_joined_by_an_arrow_wherever_one_fits():
    with onepage_style():
        pairs = [(a, b) for a in CIFAR_CLASSES for b in CIFAR_CLASSES if a != b]
        lines = [cls._arrow(true, predicted, 11.0 * PT_PER_MM) for true, predicted in pairs]
        assert all(
            " ".join(line) == f"{true} → {predicted}" for line, (true, predicted) in zip(lines, pairs, strict=True)
        )
        assert all(texts.width(part) <= 11.0 * PT_PER_MM for line in lines for part in line)
        assert cls._arrow("x" * 12, "y" * 12, 30) == ("x" * 12, "y" * 12)


@pytest.mark.parametrize(("case", "arrows"), [("cls", 8), ("generated", 0)])
def test_a_grid_has_an_arrow_at_every_image_or_at_none(case, arrows, copy, draw):
    sheet = draw(copy(case)).sheets["miscls_grid"]
    assert sum("→" in text for text, _ in texts_of(sheet)) == 1 + arrows  # the title's own; one texture has no room


# Percent: for as long as the longer label is, a curve is beside both ends of the line of 80 %.
SLOW_TRAIN = [37, 52, 58, 61, 62, 65, 71, 74, 75, 77, 78, 80, 82, 84, 86, 88, 90, 91, 93, 95]
SLOW_VAL = [48, 67, 70, 73, 73, 75, 78, 81, 82, 84, 85, 86, 88, 88, 89, 91, 90, 92, 92, 93]


@pytest.mark.parametrize("case", ["cls", "crowded", "one record", "five seeds", "generated", "slow"])
def test_the_floor_claimed_of_cifar_is_drawn_and_its_label_meets_no_curve(case, copy, draw):
    run = copy("generated" if case == "generated" else "cls")
    if case == "crowded":
        crowd(run)
    if case == "one record":
        (run / "history.jsonl").write_text((run / "history.jsonl").read_text().splitlines()[0] + "\n")
    if case == "five seeds":
        write_seeds(run, 5)
    if case == "slow":
        row = json.loads((run / "history.jsonl").read_text().splitlines()[-1])
        rows = [
            row | {"epoch": 0.435 * (i + 1), "train_accuracy": train / 100, "val_accuracy": val / 100}
            for i, (train, val) in enumerate(zip(SLOW_TRAIN, SLOW_VAL, strict=True))
        ]
        (run / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    drawn = draw(run)
    sheet = drawn.sheets["curves_cls"]
    axes = sheet.figure.axes[2]
    level = [line for line in axes.lines if set(line.get_ydata()) == {cls.FLOOR}]
    label = "floor 80 %" if case == "slow" else "test floor 80 %"
    labels = [box for text, box in texts_of(sheet) if text == label]
    if case == "generated":  # of which nothing is claimed
        assert not level and not labels and "floor" not in drawn.alt["curves_cls"]
        return
    assert len(level) == 1 and "floor of 80 %" in drawn.alt["curves_cls"]
    ((left, low, right, high),) = labels
    for line in axes.lines[:2]:
        points = axes.transData.transform(line.get_xydata()) / MM
        x = np.linspace(*points[[0, -1], 0], 500)
        y = np.interp(x, *points.T)
        assert not ((x > left) & (x < right) & (y > low + 0.3) & (y < high - 0.3)).any()


def test_no_text_meets_another_or_the_edge_in_grad_cam(copy, draw):
    run = copy("cls")
    explain = dict(np.load(run / "explain.npz"))
    for names in (CIFAR_CLASSES, ("automobile " * 9,) * 10):
        book = Book(run, run / "figures")
        book.metrics["class_names"] = list(names)
        with onepage_style():
            DRAW_CAMS(book, explain)
    for name in (name for name in draw.sheets if name.startswith("gradcam")):
        assert not problems(draw.sheets[name]), name
    assert sum(name.startswith("gradcam") for name in draw.sheets) == 8


def test_the_diagram_shows_the_bins_of_metrics_json_and_is_left_out_where_there_are_none(copy, draw):
    run = copy("cls")
    axes = draw(run).sheets["reliability_cls"].figure.axes
    path = run / "metrics.json"
    metrics = json.loads(path.read_text())
    for number, part in ((0, metrics["test"]), (2, metrics["test"]["calibrated"])):
        full = [row for row in part["reliability"] if row["n"]]
        (points,) = [line for line in axes[number].lines if line.get_marker() in ("o", "s")]
        assert points.get_xdata() == pytest.approx([100 * row["confidence"] for row in full])
        assert points.get_ydata() == pytest.approx([100 * row["accuracy"] for row in full])
        heights = [bar.get_height() for bar in axes[number + 1].patches]
        assert heights == pytest.approx([100 * row["n"] / 2000 for row in part["reliability"]])
    for part in (metrics["test"], metrics["test"]["calibrated"]):
        del part["reliability"]
    path.write_text(json.dumps(metrics))
    assert "reliability_cls" not in draw(run).sheets


def test_grids_go_from_the_most_confident_down_whatever_the_order_of_the_arrays(copy, draw):
    run = copy("cls")
    arrays = dict(np.load(run / "predictions.npz"))
    for kind in ("correct", "wrong"):
        for name in (f"{kind}_index", f"{kind}_images"):
            arrays[name] = arrays[name][:9][::-1]
    np.savez(run / "predictions.npz", **arrays)
    alt = draw(run).alt
    probabilities = np.exp(arrays["logits"].astype(float))
    sure = (probabilities / probabilities.sum(1, keepdims=True)).max(1)
    for name, kind in (("preds_grid", "correct"), ("miscls_grid", "wrong")):
        shown = [int(part.rsplit(" ", 2)[1].split(".")[0]) for part in alt[name].split(": ")[1].split(",")]
        assert shown == sorted(shown, reverse=True) and len(shown) == 8
        assert shown[0] == int(100 * sure[arrays[f"{kind}_index"]].max())


def test_each_image_of_a_grid_stands_over_its_own_true_and_predicted_class(copy, draw):
    run = copy("cls")
    names = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["class_names"]
    arrays = dict(np.load(run / "predictions.npz"))
    predicted = arrays["logits"].argmax(1)
    raised = np.exp(arrays["logits"].astype(float))
    sure = (raised / raised.sum(1, keepdims=True)).max(1)
    drawn = draw(run)
    for name, kind in (("preds_grid", "correct"), ("miscls_grid", "wrong")):
        kept = arrays[f"{kind}_index"][:8]
        order = np.argsort(-sure[kept], kind="stable")
        figure = drawn.sheets[name].figure
        pictures = [image.get_array() for axes in figure.axes for image in axes.images]
        assert all(
            (np.asarray(picture) == arrays[f"{kind}_images"][k]).all()
            for picture, k in zip(pictures, order, strict=True)
        )
        words = [text.get_text() for text in figure.texts]
        if kind == "correct":
            expected = [names[predicted[i]] for i in kept[order]]
            assert [word for word in words if word in names] == expected
        else:
            pairs = [f"{names[arrays['labels'][i]]} taken for {names[predicted[i]]} " for i in kept[order]]
            told = drawn.alt[name].split(": ")[1].split(", ")
            assert all(part.startswith(pair) for part, pair in zip(told, pairs, strict=True))
            joined = [word for word in words if word.removesuffix(" →").removeprefix("→ ") in names]
            expected = [names[label] for i in kept[order] for label in (arrays["labels"][i], predicted[i])]
            assert [word.removesuffix(" →").removeprefix("→ ") for word in joined] == expected
