"""Example translations: marked differences, no cuts if there is room, all scores below."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawing import edit, metrics_of
from edits import edited
from layout import problems, written
from onepage.figures import text as texts
from onepage.figures.style import onepage_style
from onepage.figures.text import wrap_words
from onepage.mt.figures import decodes
from onepage.mt.figures.decodes import compare


def marked(words):
    return ["".join(part for part, mark in word if mark) for word in words if any(mark for _, mark in word)]


def test_what_only_one_side_has_is_marked():
    reference, output = compare("ein roter Hund läuft schnell", "ein Hund läuft sehr schnell")
    assert (marked(reference), marked(output)) == (["roter"], ["sehr"])
    assert not any(map(marked, compare("ein Hund", "ein Hund")))


def test_a_full_stop_is_marked_without_its_word():
    reference, output = compare("Er hält ein T-Shirt", "Er hält ein T-Shirt.")
    assert (marked(reference), marked(output)) == ([], ["."])
    assert marked(compare("Er fällt, lacht", "Er lacht")[0]) == ["fällt,"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40), st.floats(min_value=20, max_value=120))
def test_wrapped_comparisons_lose_no_character_and_no_mark(reference, output, room):
    with onepage_style():
        for text, words in zip((reference, output), compare(reference, output), strict=True):
            lines = wrap_words(words, room)
            joined = [" ".join("".join(part for part, _ in word) for word in line) for line in lines]
            assert all(texts.width(line) <= room for line in joined)
            assert "".join("".join(joined).split()) == "".join(texts.clean(text).split())
            flat = [mark for line in lines for word in line for part, mark in word for _ in part]
            assert flat == [mark for word in words for part, mark in word for _ in part]


def test_the_first_example_that_stands_uncut_is_shown(copy, draw):
    run = copy("mt tame")
    edit(run, lambda metrics: metrics["examples"][0].update(source="word " * 200))
    drawn = draw(run, "decodes")
    examples = metrics_of(run)["examples"]
    for name, shown, missing in (("decodes_table", examples[1], examples[0]), ("decodes_all", examples[0], None)):
        assert shown["source"].strip() in drawn.alt[name]
        assert missing is None or missing["source"].strip() not in drawn.alt[name]
        assert "…" not in "".join(written(drawn.sheets[name]))
    assert "".join(written(drawn.sheets["decodes_all"])).count("word") == 200


def test_what_does_not_fit_is_cut_visibly(copy, draw):
    run = copy("mt tame")
    edit(run, lambda metrics: [example.update(output="word " * 300) for example in metrics["examples"]])
    sheets = draw(run, "decodes").sheets
    assert "…" in "".join(written(sheets["decodes_table"])) and sheets["decodes_table"].height == decodes.HEIGHT
    assert "".join(written(sheets["decodes_all"])).count("word") == 6 * 300


def test_each_mark_has_its_own_line(copy, draw):
    run = copy("mt tame")
    changed = {"reference": "a b", "output": "a c"}
    edit(run, lambda metrics: metrics.update(examples=[metrics["examples"][0] | changed]))
    lines = draw(run, "decodes").sheets["decodes_table"].figure.artists
    styles = {line.get_color(): line.get_linestyle() for line in lines if line.get_linewidth() == 0.7}
    assert len(styles) == len(set(styles.values())) == 2  # colour is not the only sign


def scores(run, values):
    with edited(run / "predictions.npz") as arrays:
        arrays[f"{metrics_of(run)['headline']}_chrf"] = np.array(values, np.float32)


def shorten(metrics, chrf=(100, 99, 60, 59, 10, 11)):
    for example, score in zip(metrics["examples"], chrf, strict=True):
        example |= {"source": "a b", "reference": "c d", "output": "c e", "chrf": float(score)}


def test_all_scores_stand_below_where_room_is_left(copy, draw):
    run = copy("mt tame")
    edit(run, shorten)
    scores(run, [100] * 4 + [60] * 8 + [10] * 2)
    drawn = draw(run, "decodes")
    sheet = drawn.sheets["decodes_table"]
    bars = {round(bar.get_x(), 3): bar.get_height() for bar in sheet.figure.axes[0].patches if bar.get_height() > 0}
    assert sorted(height / max(bars.values()) for height in bars.values()) == pytest.approx([0.25, 0.5, 1])
    marks = [line.get_xdata()[0] * sheet.width for line in sheet.figure.artists if line.get_linewidth() == 0.9]
    start, end = decodes.TEXT, sheet.width - decodes.EDGE
    assert sorted(marks) == pytest.approx([start + (end - start) * share for share in (0.1, 0.6, 1.0)])
    offsets = np.sort(marks) - sorted(bars)  # each mark is in its bar, or at the edge
    assert (offsets >= -0.2).all() and (offsets <= (end - start) / decodes.BINS + 0.2).all()
    assert {"all", "worst", "median", "best"} <= set(written(sheet)) and not problems(sheet)
    assert "chrF2 of all 14 sentences as bars; its quartiles are 60, 60, 90" in drawn.alt["decodes_table"]


@pytest.mark.parametrize("chrf", [(100, 100, 100), (3, 2, 0), (52, 50, 49)])
def test_names_of_close_scores_do_not_meet(chrf, copy, draw):
    run = copy("mt tame")
    edit(run, lambda metrics: shorten(metrics, np.repeat(chrf, 2)))
    scores(run, chrf)
    sheet = draw(run, "decodes").sheets["decodes_table"]
    assert not problems(sheet, slack=0.3)
    assert len([line for line in sheet.figure.artists if line.get_linewidth() == 0.9]) == 3


def test_long_examples_leave_out_the_scores(copy, draw):
    run = copy("mt tame")
    edit(run, lambda metrics: [example.update(output="word " * 60) for example in metrics["examples"]])
    drawn = draw(run, "decodes")
    assert "all" not in written(drawn.sheets["decodes_table"])
    assert "as bars" not in drawn.alt["decodes_table"]


def test_the_measure_is_named_as_sacrebleu_does(drawn):
    sheets = drawn("mt tame", "decodes").sheets
    for name in ("decodes_table", "decodes_all"):
        words = " ".join(written(sheets[name]))
        assert words.count("chrF2") == words.count("chrF") >= 3
