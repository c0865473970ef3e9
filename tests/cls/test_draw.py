"""Pictures of a classifier: curves with their floor, grids of predictions, no text over another or the edge."""

import numpy as np
import pytest

from drawing import alt_of, crowd, edit, metrics_of, rows_of, write_rows, write_seeds
from edits import edited
from layout import MM, problems, texts_of, written
from onepage.cls import draw as cls
from onepage.cls.facts import SHORT
from onepage.figures import text as texts
from onepage.figures.style import PT_PER_MM, onepage_style
from onepage.files import HOME
from onepage.verification.claims import load_claims
from printed import text_of
from synthetic_run import CIFAR_CLASSES, HOSTILE, write_cls_run

PICTURES = {"curves_cls", "confusion_matrix", "confusion_counts", "preds_grid", "miscls_grid", "reliability_cls"} | {
    "gradcam_mistakes"
}


# Percent: near both ends of the 80 % line, a curve is in the way of the longer label.
SLOW_TRAIN = [37, 52, 58, 61, 62, 65, 71, 74, 75, 77, 78, 80, 82, 84, 86, 88, 90, 91, 93, 95]
SLOW_VAL = [48, 67, 70, 73, 73, 75, 78, 81, 82, 84, 85, 86, 88, 88, 89, 91, 90, 92, 92, 93]


def one_record(run):
    write_rows(run, rows_of(run)[:1])


def five_seeds(run):
    write_seeds(run, 5)


def slow(run):
    row, pairs = rows_of(run)[-1], enumerate(zip(SLOW_TRAIN, SLOW_VAL, strict=True), 1)
    rows = [row | {"epoch": 0.435 * i, "train_accuracy": a / 100, "val_accuracy": b / 100} for i, (a, b) in pairs]
    write_rows(run, rows)


NO_MISTAKES = pytest.param("no mistakes", marks=pytest.mark.slow)
CURVES = {"crowded": crowd, "one record": one_record, "five seeds": five_seeds, "slow": slow}


@pytest.fixture
def of_case(drawn):
    """A function that returns the pictures of a case: of a change in CURVES the curves, of a run every picture."""
    return lambda case: drawn("cls", "_curves", change=CURVES[case]) if case in CURVES else drawn(case)


@pytest.mark.parametrize("case", ["cls", "crowded", "one record", "generated", "five seeds", NO_MISTAKES])
def test_no_text_meets_another_or_the_edge(case, of_case):
    sheets = of_case(case).sheets
    assert set(sheets) == ({"curves_cls"} if case in CURVES else PICTURES)
    for name, sheet in sheets.items():
        assert not problems(sheet), name


def test_the_learning_rate_is_the_schedule(copy, draw):
    run = copy("cls")
    (line,) = draw(run, "_curves").sheets["curves_cls"].figure.axes[1].lines[-1:]
    rows = rows_of(run)
    assert line.get_ydata() == pytest.approx([row["learning_rate"] for row in rows])  # not the schedule: as recorded
    crowd(run)
    (line,) = draw(run, "_curves").sheets["curves_cls"].figure.axes[1].lines[-1:]
    at = dict(zip(np.round(line.get_xdata(), 9), line.get_ydata(), strict=True))
    assert (at[0.0], at[10.0], at[55.0]) == pytest.approx((0, 0.12, 0.06)) and at[100.0] == pytest.approx(0, abs=1e-9)


def test_images_are_of_one_size_in_each_grid(drawn):
    sheets = drawn("cls").sheets
    for name, count in (("preds_grid", 10), ("miscls_grid", 8)):
        extents = [image.get_extent() for axes in sheets[name].figure.axes for image in axes.images]
        assert len(extents) == count
        assert len({(round(abs(x1 - x0), 6), round(abs(y1 - y0), 6)) for x0, x1, y0, y1 in extents}) == 1
        assert "confidence: softmax before calibration" in written(sheets[name])
        assert not [text for text in sheets[name].figure.texts if text.get_rotation()]  # no text is rotated


def test_short_names_fit_after_the_arrow():
    with onepage_style():
        room = 45 / cls.COLUMNS["wrong"] * PT_PER_MM
        assert all(texts.width(f"→ {SHORT.get(name, name)}") <= room for name in CIFAR_CLASSES)


@pytest.mark.parametrize("case", ["cls", "generated"])
def test_the_arrow_stands_before_each_prediction(case, drawn):
    sheet = drawn(case).sheets["miscls_grid"]
    assert sum(text.startswith("→ ") for text, _ in texts_of(sheet)) == 8


@pytest.mark.parametrize("case", ["cls", "crowded", "one record", "five seeds", "generated", "slow"])
def test_the_floors_label_meets_no_curve(case, of_case):
    pictures = of_case(case)
    sheet = pictures.sheets["curves_cls"]
    axes = sheet.figure.axes[2]
    level = [line for line in axes.lines if set(line.get_ydata()) == {cls.FLOOR}]
    label = "floor 80 %" if case == "slow" else "test floor 80 %"
    labels = [box for text, box in texts_of(sheet) if text == label]
    if case == "generated":  # it has no claim
        assert not level and not labels and "floor" not in pictures.alt["curves_cls"]
        return
    assert len(level) == 1 and "floor of 80 %" in pictures.alt["curves_cls"]
    ((left, low, right, high),) = labels
    for line in axes.lines[:2]:
        points = axes.transData.transform(line.get_xydata()) / MM
        x = np.linspace(*points[[0, -1], 0], 500)
        y = np.interp(x, *points.T)
        assert not ((x > left) & (x < right) & (y > low + 0.3) & (y < high - 0.3)).any()


def confidence(logits):
    """The highest softmax probability of each row of logits."""
    raised = np.exp(logits.astype(float))
    return (raised / raised.sum(1, keepdims=True)).max(1)


def test_grids_go_from_the_most_confident_down(copy, draw):
    run = copy("cls")
    with edited(run / "predictions.npz") as arrays:
        for kind in ("correct", "wrong"):
            for name in (f"{kind}_index", f"{kind}_images"):
                arrays[name] = arrays[name][:9][::-1]
    alt = draw(run, "_grids").alt
    sure = confidence(arrays["logits"])
    for name, kind in (("preds_grid", "correct"), ("miscls_grid", "wrong")):
        shown = [int(part.rsplit(" ", 2)[1].split(".")[0]) for part in alt[name].split(": ")[1].split(",")]
        assert shown == sorted(shown, reverse=True) and len(shown) == min(9, 2 * cls.COLUMNS[kind])
        assert shown[0] == int(100 * sure[arrays[f"{kind}_index"]].max())


@pytest.mark.slow
def test_each_image_stands_over_its_own_classes(copy, draw):
    run = copy("cls")
    names = metrics_of(run)["class_names"]
    arrays = dict(np.load(run / "predictions.npz"))
    predicted, sure = arrays["logits"].argmax(1), confidence(arrays["logits"])
    drawn = draw(run, "_grids")
    for name, kind in (("preds_grid", "correct"), ("miscls_grid", "wrong")):
        kept = arrays[f"{kind}_index"][: 2 * cls.COLUMNS[kind]]
        order = np.argsort(-sure[kept], kind="stable")
        figure = drawn.sheets[name].figure
        pictures = [image.get_array() for axes in figure.axes for image in axes.images]
        assert np.array_equal(np.stack(pictures), arrays[f"{kind}_images"][order])
        words = [text.get_text() for text in figure.texts]
        short = [SHORT.get(each, each) for each in names]
        if kind == "correct":
            expected = [short[predicted[i]] for i in kept[order]]
            assert [word for word in words if word in short] == expected
        else:
            pairs = [f"{short[arrays['labels'][i]]} taken for {short[predicted[i]]} " for i in kept[order]]
            told = drawn.alt[name].split(": ")[1].split(", ")
            assert all(part.startswith(pair) for part, pair in zip(told, pairs, strict=True))
            expected = [each for i in kept[order] for each in (short[arrays["labels"][i]], f"→ {short[predicted[i]]}")]
            assert [word for word in words if word.removeprefix("→ ") in short] == expected


@pytest.mark.slow
@pytest.mark.fault("hostile class names in pictures", "drawn as themselves, no formula")
@pytest.mark.filterwarnings("error")
def test_hostile_names_and_no_mistakes_are_drawn(tmp_path):
    run = write_cls_run(tmp_path / "run", error_rate=0.0)
    names = [HOSTILE, "$x", "日本語", "", "a\nb", "x" * 60, "%d", "_^", "{}", "\\alpha"]
    edit(run, lambda metrics: metrics.update(class_names=names))
    write_rows(run, rows_of(run)[:1])
    out = tmp_path / "figures"
    cls.draw(run, out)
    alt = alt_of(out)
    assert alt["miscls_grid"] == "None of the 2000 test images is classified wrongly."
    assert "classified wrongly" in text_of(out / "miscls_grid.pdf")
    assert "over 1 epoch " in alt["curves_cls"]
    assert "$x" in text_of(out / "confusion_matrix.pdf")  # literally, not as a formula


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_nothing_explained_and_nothing_right_are_drawn(tmp_path):
    run = write_cls_run(tmp_path / "run")
    for name in ("explain", "predictions"):
        keep = ("layers", "logits", "labels") if name == "predictions" else ("layers",)
        with edited(run / f"{name}.npz") as arrays:
            arrays |= {key: value[:0] for key, value in arrays.items() if key not in keep}
    cls.draw(run, tmp_path / "figures")
    assert set(alt_of(tmp_path / "figures")) == PICTURES


def test_the_floor_drawn_is_the_one_claimed():
    (claim,) = [claim for claim in load_claims(HOME / "report" / "claims.toml") if claim.task == "cls"]
    assert (100 * claim.minimum, claim.set) == (cls.FLOOR, "cifar10")  # the set of the drawn floor
