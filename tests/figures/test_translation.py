"""Pictures of a translator: no text over another or the edge, scores in place, examples whole, masks spelled out."""

import json
from itertools import pairwise

import numpy as np
import pytest

from layout import problems, texts_of
from onepage.errors import UserError
from onepage.figures.style import BLUE
from onepage.mt import draw as mt
from onepage.mt.figures import bleu, decodes

PICTURES = ("bleu_report", "bleu_sets", "decodes_table", "decodes_all", "masks_demo", "masks_batch")


def edit(run, change):
    path = run / "metrics.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    change(metrics)
    path.write_text(json.dumps(metrics, indent=1, ensure_ascii=False), encoding="utf-8")
    return metrics


@pytest.mark.parametrize(
    "case",
    ["mt", "mt tame", "mt generated", "earlier evaluation", "few sentences", "long", "low"]
    + ["near the floor", "one set", "own data", "four sets", "nothing published", "tiny"],
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
            test["bleu_lc_norm_tok"] |= {"score": 9.9, "interval": [8.6, 11.0]}
        if case == "near the floor":  # no room on its right
            test["bleu"] |= {"score": 16.3, "interval": [14.1, 18.4]}
        if case == "one set":
            metrics["tests"] = {metrics["headline"]: test}
        if case == "own data":  # of which no lc.norm.tok is measured
            metrics |= {"set": "own", "tests": {metrics["headline"]: test | {"bleu_lc_norm_tok": None}}}
        if case == "four sets":
            metrics["tests"] |= {"test_2018_flickr_of_a_long_name": metrics["tests"]["test_2017_flickr"]}
            test["bleu_by_length"].append(test["bleu_by_length"][-1])
        if case == "nothing published":
            metrics["tgt"] = "cs"
        if case == "tiny":  # intervals that pass 0
            for part in metrics["tests"].values():
                part["n"] = 3
                part["bleu"] |= {"score": 2.1, "interval": [-3.0, 12.5]}
                part["bleu_lc_norm_tok"] |= {"score": 2.4, "interval": [-3.5, 13.0]}
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


def lines_of(sheet, kind):
    return [line for line in plot(sheet).lines if line.get_gid() == kind]


def marks_of(sheet, kind, **wanted):
    """[(x, y)] of the marks of a kind, from the top of the picture down; of those that look as ``wanted``."""
    lines = [line for line in plot(sheet).lines if line.get_marker() == kind]
    chosen = [line for line in lines if all(getattr(line, f"get_{name}")() == look for name, look in wanted.items())]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in chosen]


def test_the_report_has_each_set_and_each_length_and_the_sheet_of_all_scores_the_precisions(copy, draw):
    run = copy("mt tame")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    drawn = draw(run)
    words = written(drawn.sheets["bleu_report"])
    for test in metrics["tests"].values():
        shown = {f"{test['bleu']['score']:.1f}", f"{test['bleu_lc_norm_tok']['score']:.1f}", f"{test['n']:,}"}
        assert shown <= set(words)
    assert words.count("lc.norm.tok") == len(metrics["tests"])
    assert words.count("BLEU") == 2 and words.count("n") == 1  # a column and the axis; a column
    test = metrics["tests"][metrics["headline"]]
    for row in test["bleu_by_length"]:
        assert {bleu.span(row), f"{row['bleu']:.1f}", str(row["n"])} <= set(words)
    alt, words = drawn.alt["bleu_sets"], written(drawn.sheets["bleu_sets"])
    for part in metrics["tests"].values():
        precisions = [f"{value:.1f}" for value in part["bleu"]["precisions"]]
        assert set(precisions) <= set(words)
        assert any(text.startswith(f"brevity penalty {part['bleu']['brevity_penalty']:.3f} (") for text in words)
        assert f"{', '.join(precisions)} %, brevity penalty {part['bleu']['brevity_penalty']:.3f}" in alt
        for key in ("bleu", "bleu_lc_norm_tok", "chrf2", "ter"):
            low, high = part[key]["interval"]
            assert f"{part[key]['score']:.1f} ({low:.1f} to {high:.1f})" in alt


def test_marks_and_intervals_lie_where_metrics_json_has_them(copy, draw):
    run = copy("mt tame")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    test = metrics["tests"][metrics["headline"]]
    sheet = draw(run).sheets["bleu_report"]
    lengths = [{"score": row["bleu"], "interval": row["interval"]} for row in test["bleu_by_length"]]
    rows = [part[key] for part in metrics["tests"].values() for key in ("bleu", "bleu_lc_norm_tok")] + lengths
    marks = marks_of(sheet, "o")
    assert [x for x, _ in marks] == [row["score"] for row in rows]
    intervals = lines_of(sheet, "interval")
    assert [list(map(float, line.get_xdata())) for line in intervals] == [row["interval"] for row in rows]
    assert [set(line.get_ydata()) for line in intervals] == [{y} for _, y in marks]  # each on its own row
    assert [list(line.get_xdata()) for line in lines_of(sheet, "floor")] == [[bleu.FLOOR] * 2]
    low, high = plot(sheet).get_xlim()
    assert all(low <= x <= high for x in [*(x for x, _ in marks), *(x for row in rows for x in row["interval"])])
    assert all(b[1] - a[1] >= bleu.LEAST for a, b in pairwise(marks))  # mm: no mark hangs between two rows


def test_lc_norm_tok_is_open_and_alone_has_published_results_in_its_row(copy, draw):
    run = copy("mt tame")
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    sheet = draw(run).sheets["bleu_report"]
    rings = marks_of(sheet, "o", markerfacecolor="white")
    assert [x for x, _ in rings] == [part["bleu_lc_norm_tok"]["score"] for part in metrics["tests"].values()]
    ticks = marks_of(sheet, "|")
    assert [x for x, _ in ticks] == list(bleu.PUBLISHED["en-de"].values())
    assert [y for _, y in ticks] == [y for _, y in rings]


def test_published_results_are_named_beside_the_pair_they_are_of_and_no_other(copy, draw):
    run = copy("mt tame")
    drawn = draw(run)
    assert bleu.PUBLISHED_BY in written(drawn.sheets["bleu_report"]) and bleu.PUBLISHED_BY in drawn.alt["bleu_report"]
    assert "; published 41.0)" in drawn.alt["bleu_report"]
    edit(run, lambda metrics: metrics.update(tgt="fr"))
    drawn = draw(run)
    assert not marks_of(drawn.sheets["bleu_report"], "|")
    assert (
        bleu.PUBLISHED_BY not in written(drawn.sheets["bleu_report"]) and "; published" not in drawn.alt["bleu_report"]
    )
    assert not lines_of(drawn.sheets["bleu_report"], "floor")  # which is claimed from English to German
    assert "floor" not in drawn.alt["bleu_report"]


@pytest.mark.parametrize("other", [{"set": "own"}, {"src": "de", "tgt": "en"}, {"headline": "test_2017_mscoco"}])
def test_the_floor_stands_in_the_row_it_is_claimed_of(other, copy, draw):
    run = copy("mt tame")
    sheet = draw(run).sheets["bleu_report"]
    _, row = marks_of(sheet, "o", markerfacecolor=BLUE)[0]
    (line,) = lines_of(sheet, "floor")
    assert min(line.get_ydata()) < row < max(line.get_ydata())
    metrics = edit(run, lambda metrics: metrics.update(other))
    sheet = draw(run).sheets["bleu_report"]
    assert bool(lines_of(sheet, "floor")) == ("headline" in other)
    score = metrics["tests"][metrics["headline"]]["bleu"]["score"]
    assert marks_of(sheet, "o")[0][0] == score  # the headline set is first, whatever their order


def test_an_interval_of_few_sentences_ends_at_zero_and_stays_off_the_labels(copy, draw):
    run = copy("mt tame")
    edit(run, lambda metrics: metrics["tests"]["test_2017_flickr"]["bleu"].update(score=2.1, interval=[-3.0, 7.5]))
    sheet = draw(run).sheets["bleu_report"]
    assert plot(sheet).get_xlim()[0] == 0
    assert [0.0, 7.5] in [list(map(float, line.get_xdata())) for line in lines_of(sheet, "interval")]


def test_of_more_sets_than_legible_rows_the_last_are_left_to_the_sheet_of_all_scores(copy, draw):
    run = copy("mt tame")

    def change(metrics):
        metrics["tests"] |= {"test_2018": metrics["tests"]["test_2017_flickr"]}
        test = metrics["tests"][metrics["headline"]]
        test["bleu_by_length"] = [test["bleu_by_length"][0] | {"min": low} for low in range(1, 6)]

    edit(run, change)
    sheets = draw(run).sheets
    assert not {"test 2018", "MSCOCO 2017"} <= set(written(sheets["bleu_report"]))
    assert "test 2017" in written(sheets["bleu_report"])
    assert any(text.startswith("test 2018, ") for text in written(sheets["bleu_sets"]))
    edit(run, lambda metrics: [part.update(bleu_lc_norm_tok=None) for part in metrics["tests"].values()])
    assert {"test 2018", "MSCOCO 2017"} <= set(written(draw(run).sheets["bleu_report"]))


def test_generated_sentences_have_no_floor_and_nothing_published(copy, draw):
    run = copy("mt generated")
    drawn = draw(run)
    words = written(drawn.sheets["bleu_report"])
    assert not {f"floor {bleu.FLOOR:g}", bleu.PUBLISHED_BY, "lc.norm.tok"} & set(words)
    assert not lines_of(drawn.sheets["bleu_report"], "floor") and not marks_of(drawn.sheets["bleu_report"], "|")
    assert {"test", "BLEU", "n"} <= set(words)
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


def scores(run, values):
    path = run / "predictions.npz"
    arrays = dict(np.load(path))
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    arrays[f"{metrics['headline']}_chrf"] = np.array(values, np.float32)
    np.savez(path, **arrays)


def shorten(metrics):
    for example, score in zip(metrics["examples"], (100, 99, 60, 59, 10, 11), strict=True):
        example |= {"source": "a b", "reference": "c d", "output": "c e", "chrf": score}


def test_where_the_examples_leave_room_all_scores_stand_below_and_the_examples_in_their_places(copy, draw):
    run = copy("mt tame")
    edit(run, shorten)
    scores(run, [100] * 4 + [60] * 8 + [10] * 2)
    drawn = draw(run)
    sheet = drawn.sheets["decodes_table"]
    bars = {round(bar.get_x(), 3): bar.get_height() for bar in sheet.figure.axes[0].patches if bar.get_height() > 0}
    assert sorted(height / max(bars.values()) for height in bars.values()) == pytest.approx([0.25, 0.5, 1])
    marks = [line.get_xdata()[0] * sheet.width for line in sheet.figure.artists if line.get_linewidth() == 0.9]
    start, end = decodes.TEXT, sheet.width - decodes.EDGE
    assert sorted(marks) == pytest.approx([start + (end - start) * share for share in (0.1, 0.6, 1.0)])
    for mark, bar in zip(
        sorted(marks), sorted(bars), strict=True
    ):  # each in, or at the edge of, the bar that counts it
        assert bar - 0.2 <= mark <= bar + (end - start) / decodes.BINS + 0.2
    assert {"all 14", "worst 10", "median 60", "best 100"} <= set(written(sheet)) and not problems(sheet)
    assert "chrF2 of all 14 sentences as bars; its quartiles are 60, 60, 90" in drawn.alt["decodes_table"]


@pytest.mark.parametrize("chrf", [(100, 100, 100), (3, 2, 0), (52, 50, 49)])
def test_scores_close_together_are_marked_without_names_over_each_other(chrf, copy, draw):
    run = copy("mt tame")

    def change(metrics):
        shorten(metrics)
        for example, score in zip(metrics["examples"], np.repeat(chrf, 2), strict=True):
            example["chrf"] = float(score)

    edit(run, change)
    scores(run, chrf)
    sheet = draw(run).sheets["decodes_table"]
    assert not problems(sheet, slack=0.3)
    assert len([line for line in sheet.figure.artists if line.get_linewidth() == 0.9]) == 3


def test_where_the_examples_need_the_room_no_scores_stand_below(copy, draw):
    run = copy("mt tame")
    edit(run, lambda metrics: [example.update(output="word " * 60) for example in metrics["examples"]])
    drawn = draw(run)
    assert not [word for word in written(drawn.sheets["decodes_table"]) if word.startswith("all ")]
    assert "as bars" not in drawn.alt["decodes_table"]


def test_the_measure_of_a_sentence_is_named_as_sacrebleu_names_it(copy, draw):
    sheets = draw(copy("mt tame")).sheets
    for name in ("decodes_table", "decodes_all"):
        words = " ".join(written(sheets[name]))
        assert words.count("chrF2") == words.count("chrF") >= 4


def test_the_masks_name_what_reads_and_what_is_read_and_spell_out_one_row(copy, draw):
    drawn = draw(copy("mt tame"))
    words = written(drawn.sheets["masks_demo"])
    assert words.count("position that reads") == 1 and words.count("position read") == 2  # two maps share their rows
    assert [word for word in words if "mask" in word or "together" in word] == [
        "padding mask, hatched: <pad>",
        "causal mask",
        "both together",
    ]
    pieces = ["<s>", "Zwei", "Hunde", "laufen", ".", "<pad>", "<pad>", "<pad>"]
    assert [word for word in words if word in pieces] == pieces
    assert "outlined: Hunde reads <s> Zwei Hunde" in words
    alt = drawn.alt["masks_demo"]
    assert "Hunde reads <s> Zwei Hunde, not the later laufen . and none of 3 padding tokens" in alt
    words = written(drawn.sheets["masks_batch"])
    assert {"Two", "dogs", "run", "standing"} <= set(words)
    assert "Target 2: Hunde sees <s> Zwei Hunde; not the later laufen .; 3 × <pad> unseen." in words


def test_masks_too_fine_for_pieces_are_drawn_without_them_and_without_an_overlap(copy, draw):
    run = copy("mt tame")
    arrays = dict(np.load(run / "explain.npz"))
    length, batch = 24, 6
    tokens = np.array([["<s>", *["\u2581Wort"] * (length - 3 - k), *["<pad>"] * (k + 2)] for k in range(batch)])
    real = tokens != "<pad>"
    causal = np.tril(np.ones((length, length), bool))
    arrays |= {"mask_source_tokens": tokens, "mask_target_tokens": tokens, "mask_source_padding": real}
    arrays |= {"mask_causal": causal, "mask_target_combined": causal[None] & real[:, None, :]}
    np.savez(run / "explain.npz", **arrays)
    sheet = draw(run).sheets["masks_demo"]
    words = written(sheet)
    assert not problems(sheet)
    assert "Wort" not in words and "source 1" not in words and "outlined: Wort reads <s> Wort Wort" in words


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
