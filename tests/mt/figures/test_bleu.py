"""BLEU as pictures: scores, intervals and published results stand at the values of metrics.json."""

from itertools import pairwise

import pytest

from drawing import edit, metrics_of
from layout import written
from onepage.figures.style import TEAL
from onepage.files import HOME
from onepage.mt import facts
from onepage.mt.figures import bleu
from onepage.mt.figures.bleu import readable_name
from onepage.verification.claims import load_claims


def plot(sheet):
    """The first axes with a scale."""
    return next(axes for axes in sheet.figure.axes if axes.axison)


def lines_of(sheet, kind):
    return [line for line in plot(sheet).lines if line.get_gid() == kind]


def marks_of(sheet, kind, **wanted):
    """[(x, y)] of the marks of a kind that look as ``wanted``, from the top of the picture down."""
    lines = [line for line in plot(sheet).lines if line.get_marker() == kind]
    chosen = [line for line in lines if all(getattr(line, f"get_{name}")() == look for name, look in wanted.items())]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in chosen]


def test_every_set_length_and_precision_is_there(made, drawn):
    metrics = metrics_of(made / "mt tame")
    drawn = drawn("mt tame", "bleu")
    words = written(drawn.sheets["bleu_report"])
    for test in metrics["tests"].values():
        shown = {f"{test['bleu']['score']:.1f}", f"{test['bleu_lc_norm_tok']['score']:.1f}"}
        assert shown <= set(words)
    assert words.count("lc.norm.tok") == len(metrics["tests"])
    assert [words.count(word) for word in ("BLEU", "ours", "published", "n")] == [1, 1, 1, 1]  # axis and columns
    beside = [f"{value:.1f}" for value in facts.PUBLISHED["en-de"].values()]
    assert set(beside) <= set(words)
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


def test_marks_lie_where_metrics_json_has_them(made, drawn):
    metrics = metrics_of(made / "mt tame")
    test = metrics["tests"][metrics["headline"]]
    sheet = drawn("mt tame", "bleu").sheets["bleu_report"]
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
    assert all(b[1] - a[1] >= bleu.LEAST for a, b in pairwise(marks))  # mm between rows


def test_only_lc_norm_tok_has_published_results(made, drawn):
    metrics = metrics_of(made / "mt tame")
    sheet = drawn("mt tame", "bleu").sheets["bleu_report"]
    rings = marks_of(sheet, "o", markerfacecolor="white")
    assert [x for x, _ in rings] == [part["bleu_lc_norm_tok"]["score"] for part in metrics["tests"].values()]
    ticks = marks_of(sheet, "|")
    assert [x for x, _ in ticks] == list(facts.PUBLISHED["en-de"].values())
    assert [y for _, y in ticks] == [y for _, y in rings]


def test_published_results_are_named_beside_their_pair(copy, draw, drawn):
    drawn = drawn("mt tame", "bleu")
    assert bleu.PUBLISHED_BY in written(drawn.sheets["bleu_report"]) and bleu.PUBLISHED_BY in drawn.alt["bleu_report"]
    assert "; published 41.0)" in drawn.alt["bleu_report"]
    run = copy("mt tame")
    edit(run, lambda metrics: metrics.update(tgt="fr"))
    drawn = draw(run, "bleu")
    sheet, alt = drawn.sheets["bleu_report"], drawn.alt["bleu_report"]
    assert not marks_of(sheet, "|") and bleu.PUBLISHED_BY not in written(sheet) and "; published" not in alt
    assert not lines_of(sheet, "floor") and "floor" not in alt  # the claim covers English to German only


@pytest.mark.parametrize("other", [{"set": "own"}, {"src": "de", "tgt": "en"}, {"headline": "test_2017_mscoco"}])
def test_the_floor_stands_in_its_row(other, copy, draw, drawn):
    sheet = drawn("mt tame", "bleu").sheets["bleu_report"]
    _, row = marks_of(sheet, "o", markerfacecolor=TEAL)[0]
    (line,) = lines_of(sheet, "floor")
    assert min(line.get_ydata()) < row < max(line.get_ydata())
    run = copy("mt tame")
    metrics = edit(run, lambda metrics: metrics.update(other))
    sheet = draw(run, "bleu").sheets["bleu_report"]
    assert bool(lines_of(sheet, "floor")) == ("headline" in other)
    score = metrics["tests"][metrics["headline"]]["bleu"]["score"]
    assert marks_of(sheet, "o")[0][0] == score  # the headline set is first, whatever their order


def test_an_interval_of_few_sentences_ends_at_zero(copy, draw):
    run = copy("mt tame")
    edit(run, lambda metrics: metrics["tests"]["test_2017_flickr"]["bleu"].update(score=2.1, interval=[-3.0, 7.5]))
    sheet = draw(run, "bleu").sheets["bleu_report"]
    assert plot(sheet).get_xlim()[0] == 0
    assert [0.0, 7.5] in [list(map(float, line.get_xdata())) for line in lines_of(sheet, "interval")]


def test_too_many_sets_are_left_to_the_sheet(copy, draw):
    run = copy("mt tame")

    def change(metrics):
        metrics["tests"] |= {"test_2018": metrics["tests"]["test_2017_flickr"]}
        test = metrics["tests"][metrics["headline"]]
        test["bleu_by_length"] = [test["bleu_by_length"][0] | {"min": low} for low in range(1, 6)]

    edit(run, change)
    sheets = draw(run, "bleu").sheets
    assert not {"test 2018", "MSCOCO 2017"} <= set(written(sheets["bleu_report"]))
    assert "test 2017" in written(sheets["bleu_report"])
    assert any(text.startswith("test 2018, ") for text in written(sheets["bleu_sets"]))
    edit(run, lambda metrics: [part.update(bleu_lc_norm_tok=None) for part in metrics["tests"].values()])
    assert {"test 2018", "MSCOCO 2017"} <= set(written(draw(run, "bleu").sheets["bleu_report"]))


def test_generated_sentences_have_no_floor_and_nothing_published(drawn):
    drawn = drawn("mt generated", "bleu")
    words = written(drawn.sheets["bleu_report"])
    assert not {f"floor {bleu.FLOOR:g}", bleu.PUBLISHED_BY, "lc.norm.tok"} & set(words)
    assert not lines_of(drawn.sheets["bleu_report"], "floor") and not marks_of(drawn.sheets["bleu_report"], "|")
    assert {"test", "BLEU", "n"} <= set(words)
    assert "published" not in drawn.alt["bleu_report"] + drawn.alt["bleu_sets"]


def test_test_set_names_are_made_readable():
    names = ("test_2016_flickr", "test_2017_mscoco", "test", "other")
    assert [readable_name(name) for name in names] == ["test 2016", "MSCOCO 2017", "test", "other"]


def test_the_floor_drawn_is_the_one_claimed():
    claims = load_claims(HOME / "report" / "claims.toml")
    assert [claim.minimum for claim in claims if claim.task == "mt"] == [bleu.FLOOR]
