"""Pictures as they are laid out: no text over another or the edge, seeds as bands, every number where it belongs."""

import hashlib
import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from onepage.errors import UserError
from onepage.figures import attention, bleu, cls, curves, decodes, gradcam, mt
from onepage.figures.sheet import Book
from onepage.figures.style import DPI, MM_PER_INCH
from synthetic_run import write_cls_run, write_mt_run

MM = DPI / MM_PER_INCH  # pixels
CROWDED = {"stages": [[30, 16], [40, 24], [3, 28], [27, 32]], "validations": 20, "seconds": 95.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run of each task, and one on generated data and one without mistakes; to be copied."""
    folder = tmp_path_factory.mktemp("made")
    write_cls_run(folder / "cls")
    write_cls_run(folder / "generated", generated=True)
    write_cls_run(folder / "no mistakes", error_rate=0.0)
    write_mt_run(folder / "mt", layers=1, heads=1)
    write_mt_run(folder / "mt generated", layers=1, heads=1, generated=True)
    write_mt_run(folder / "mt tame", layers=1, heads=1, hostile=False)
    return folder


@pytest.fixture
def copy(made, tmp_path):
    def copied(name):
        return Path(shutil.copytree(made / name, tmp_path / "runs" / "seed0"))

    return copied


class Drawn:
    """What a task draws, by name, as matplotlib lays it out; nothing is written."""

    def __init__(self):
        self.sheets, self.alt = {}, {}

    def add(self, book, name, sheet, alt):
        self.sheets[name], self.alt[name] = sheet, alt

    def __call__(self, run):
        self.sheets.clear()
        task = mt if (run / "metrics.json").read_text().startswith('{\n "task": "mt"') else cls
        task.draw(run, run / "figures")
        return self


@pytest.fixture
def draw(monkeypatch):
    drawn = Drawn()
    monkeypatch.setattr(Book, "add", lambda book, name, sheet, alt: drawn.add(book, name, sheet, alt))
    monkeypatch.setattr(Book, "close", lambda book: None)
    for module in (gradcam, attention):  # the dearest pictures have their own tests
        monkeypatch.setattr(module, "draw_all", lambda book, explain: None)
    return drawn


def texts_of(sheet):
    """(text, box in mm) of all that is written on a sheet."""
    sheet.figure.canvas.draw()
    shown = [*sheet.figure.texts]
    for axes in [*sheet.figure.axes, *(child for parent in sheet.figure.axes for child in parent.child_axes)]:
        shown += axes.texts
        if not axes.axison:
            continue
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [tick for tick in axis.get_major_ticks() if low - 1e-9 <= tick.get_loc() <= high + 1e-9]
            shown += [label for tick in ticks for label in (tick.label1, tick.label2)]
    boxes = []
    for text in shown:
        if text.get_visible() and text.get_text().strip() and (text.axes is None or text.axes.axison):
            box = text.get_window_extent()
            boxes.append((text.get_text(), (box.x0 / MM, box.y0 / MM, box.x1 / MM, box.y1 / MM)))
    return boxes


def problems(sheet, slack=0.7):
    """Texts over the edge, or over each other by more than ``slack`` mm (a line is higher than its digits)."""
    found = []
    boxes = texts_of(sheet)
    for text, (left, low, right, high) in boxes:
        if left < -0.05 or low < -0.05 or right > sheet.width + 0.05 or high > sheet.height + 0.05:
            found.append(f"{text!r} is over the edge")
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        across, up = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        if across > 0.1 and up > slack:
            found.append(f"{one!r} over {other!r}")
    return found


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
    for name in ("curves_cls", "confusion_counts", "reliability_cls"):
        assert not problems(sheets[name]), name


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
        assert shown == sorted(shown, reverse=True) and len(shown) == 9
        assert shown[0] == int(100 * sure[arrays[f"{kind}_index"]].max())


# --- translation -------------------------------------------------------------------------------------------------

PICTURES = ("bleu_report", "bleu_sets", "decodes_table", "decodes_all", "masks_demo", "masks_batch")


def edit(run, change):
    path = run / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    change(metrics)
    path.write_text(json.dumps(metrics, indent=1, ensure_ascii=False), encoding="utf-8")
    return metrics


@pytest.mark.parametrize(
    "case", ["mt", "mt tame", "mt generated", "earlier evaluation", "few sentences", "long", "low"]
)
def test_no_text_meets_another_or_the_edge_in_scores_examples_and_masks(case, copy, draw):
    run = copy(case if case.startswith("mt") else "mt tame")

    def change(metrics):
        test = metrics["tests"][metrics["headline"]]
        if case == "earlier evaluation":  # without TER, ranks and intervals of lengths
            for part in metrics["tests"].values():
                del part["ter"], part["exact"]
                for row in part["bleu_by_length"]:
                    del row["interval"]
            for example in metrics["examples"]:
                del example["rank"]
        if case == "few sentences":
            for part in metrics["tests"].values():
                part["bleu_by_length"] = []
        if case == "low":  # under the floor, which then stands at the right
            test["bleu"] |= {"score": 9.3, "interval": [8.1, 10.4]}
            test["bleu_lc_norm_tok"]["score"] = 9.9
        if case == "long":
            for example in metrics["examples"]:
                example["output"] = "Donaudampfschifffahrtsgesellschaft und noch mehr davon " * 5

    edit(run, change)
    sheets = draw(run).sheets
    for name in PICTURES:
        assert not problems(sheets[name]), name


def plot(sheet):
    """The first axes with a scale."""
    return next(axes for axes in sheet.figure.axes if axes.axison)


def written(sheet):
    return [text for text, _ in texts_of(sheet)]


def test_the_report_has_each_set_each_length_and_each_precision(copy, draw):
    run = copy("mt tame")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    drawn = draw(run)
    words = written(drawn.sheets["bleu_report"])
    for test in metrics["tests"].values():
        assert f"{test['bleu']['score']:.1f}" in words and f"{test['n']:,}" in words
    test = metrics["tests"][metrics["headline"]]
    for row in test["bleu_by_length"]:
        assert {bleu.span(row), f"{row['bleu']:.1f}", str(row["n"])} <= set(words)
    assert {f"{value:.0f}" for value in test["bleu"]["precisions"]} <= set(words)
    assert f"brevity {test['bleu']['brevity_penalty']:.2f}" in words
    alt = drawn.alt["bleu_sets"]
    for part in metrics["tests"].values():
        for key in ("bleu", "bleu_lc_norm_tok", "chrf2", "ter"):
            low, high = part[key]["interval"]
            assert f"{part[key]['score']:.1f} ({low:.1f} to {high:.1f})" in alt


def test_dots_and_intervals_lie_where_metrics_json_has_them(copy, draw):
    run = copy("mt tame")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    test = metrics["tests"][metrics["headline"]]
    axes = plot(draw(run).sheets["bleu_report"])
    dots = [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"]
    bars = [[float(x) for x in line.get_xdata()] for line in axes.lines if len(line.get_xdata()) == 2]
    assert dots == [part["bleu"]["score"] for part in metrics["tests"].values()] + [
        row["bleu"] for row in test["bleu_by_length"]
    ]
    intervals = [part["bleu"]["interval"] for part in metrics["tests"].values()]
    intervals += [row["interval"] for row in test["bleu_by_length"]]
    assert [bar for bar in bars if bar != [bleu.FLOOR] * 2] == intervals
    assert [bleu.FLOOR] * 2 in bars
    low, high = axes.get_xlim()
    assert all(low <= x <= high for x in [*dots, *(x for bar in bars for x in bar)])


def test_published_results_stand_beside_the_pair_they_are_of_and_no_other(copy, draw):
    run = copy("mt tame")

    def marks():
        lines = plot(draw(run).sheets["bleu_report"]).lines
        return [float(line.get_xdata()[0]) for line in lines if line.get_marker() == "|"]

    assert marks() == list(bleu.PUBLISHED["en-de"].values())
    edit(run, lambda metrics: metrics.update(tgt="fr"))
    assert marks() == []
    drawn = draw(run)
    assert "published" not in written(drawn.sheets["bleu_report"])
    assert "floor" not in drawn.alt["bleu_report"]  # which is claimed from English to German


def test_generated_sentences_have_no_floor_and_nothing_published(copy, draw):
    run = copy("mt generated")
    drawn = draw(run)
    words = written(drawn.sheets["bleu_report"])
    assert not {"floor", "published", "lc.norm.tok"} & set(words)
    assert "published" not in drawn.alt["bleu_report"] + drawn.alt["bleu_sets"]


def test_of_each_kind_the_first_example_is_shown_that_lets_all_stand_uncut(copy, draw):
    run = copy("mt tame")
    edit(run, lambda metrics: metrics["examples"][0].update(source="word " * 200))
    drawn = draw(run)
    examples = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["examples"]
    for name, shown, missing in (("decodes_table", examples[1], examples[0]), ("decodes_all", examples[0], None)):
        assert shown["source"].strip() in drawn.alt[name]
        assert missing is None or missing["source"].strip() not in drawn.alt[name]
        assert "…" not in "".join(written(drawn.sheets[name]))
    assert "".join(written(drawn.sheets["decodes_all"])).count("word") == 200


def test_what_no_choice_fits_is_cut_visibly_on_the_page_and_stands_whole_beside_it(copy, draw):
    run = copy("mt tame")

    def change(metrics):
        for example in metrics["examples"]:
            example["output"] = "word " * 300

    edit(run, change)
    sheets = draw(run).sheets
    assert "…" in "".join(written(sheets["decodes_table"])) and sheets["decodes_table"].height == decodes.HEIGHT
    assert "".join(written(sheets["decodes_all"])).count("word") == 6 * 300


def test_each_mark_of_a_difference_has_a_line_of_its_own_kind(copy, draw):
    run = copy("mt tame")
    changed = {"reference": "a b", "output": "a c"}
    edit(run, lambda metrics: metrics.update(examples=[metrics["examples"][0] | changed]))
    lines = draw(run).sheets["decodes_table"].figure.artists
    styles = {line.get_color(): line.get_linestyle() for line in lines if line.get_linewidth() == 0.7}
    assert len(styles) == len(set(styles.values())) == 2  # colour is not the only sign


def test_the_masks_spell_out_what_a_query_sees_and_what_not(copy, draw):
    drawn = draw(copy("mt tame"))
    assert "Hunde (outlined) sees <s> Zwei Hunde," in written(drawn.sheets["masks_demo"])
    assert "not what is later: laufen .," in written(drawn.sheets["masks_demo"])
    assert "nor what is hatched: 3 × <pad>" in written(drawn.sheets["masks_demo"])
    words = written(drawn.sheets["masks_batch"])
    assert {"Two", "dogs", "run", "standing"} <= set(words)
    assert "Target 2: Hunde sees <s> Zwei Hunde; not the later laufen .; 3 × <pad> unseen." in words


def test_a_mask_that_differs_is_drawn_differently(copy, draw):
    run = copy("mt tame")

    def pixels():
        return [image.get_array() for image in draw(run).sheets["masks_demo"].figure.axes[0].images]

    before = pixels()
    arrays = dict(np.load(run / "explain.npz"))
    arrays["mask_target_combined"][:, 0, 1] = True  # a leak
    np.savez(run / "explain.npz", **arrays)
    assert [bool((a != b).any()) for a, b in zip(before, pixels(), strict=True)] == [False, False, True]


@pytest.mark.fault("attention rows that do not sum to one", "explain.npz and the row are named; nothing is drawn")
@pytest.mark.parametrize("name", ["encoder_self", "decoder_self", "cross"])
def test_attention_that_is_no_distribution_is_not_drawn(name, copy, tmp_path):
    run = copy("mt tame")
    arrays = dict(np.load(run / "explain.npz"))
    arrays[name][0, 0, 2] *= 0.9
    np.savez(run / "explain.npz", **arrays)
    with pytest.raises(UserError, match=rf"explain\.npz: {name}: row \(0, 0, 2\) .* delete it and run make again"):
        mt.draw(run, tmp_path / "figures")
    assert not (tmp_path / "figures" / "figures.json").exists()
