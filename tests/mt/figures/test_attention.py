"""Pictures of attention: whole sentences above their pieces if there is room, no overlaps, omissions stated."""

import numpy as np
import pytest

from edits import edited
from layout import Drawn, problems, written
from onepage.errors import UserError
from onepage.figures.sheet import HALF, Book
from onepage.figures.style import onepage_style
from onepage.files import read_arrays
from onepage.mt import draw as mt
from onepage.mt.figures import attention
from onepage.mt.figures.attention import readable
from synthetic_run import write_mt_run


def explained(source, output):
    """Arrays in the form that evaluation writes, with one layer and two heads, for two lists of pieces."""
    rng = np.random.default_rng(0)

    def weights(rows, columns):
        return rng.dirichlet(np.full(columns, 0.3), (1, 2, rows))

    sentences = ["".join(pieces[:-1]).replace("\u2581", " ") for pieces in (source, output)]
    return {
        "source": np.array(sentences[0]),
        "output": np.array(sentences[1]),
        "source_tokens": np.array(source),
        "target_input_tokens": np.array(["<s>", *output[:-1]]),
        "target_output_tokens": np.array(output),
        "encoder_self": weights(len(source), len(source)),
        "decoder_self": weights(len(output), len(output)),
        "cross": weights(len(output), len(source)),
    }


SHORT = ["▁A", "▁child", "▁is", "▁splas", "hing", "▁in", "▁the", "▁water", "</s>"]
WRITTEN = ["▁Ein", "▁Kind", "▁pl", "an", "scht", "▁im", "▁Wasser", ".", "</s>"]
WORDS = ["▁Wort"] * 11 + ["</s>"]


@pytest.fixture
def sheets(copy, monkeypatch):
    """A function that draws arrays (None: the run's own) with the named run: sheets and alternative texts."""

    def drawn(name, arrays=None):
        run, result = copy(name), Drawn()
        monkeypatch.setattr(Book, "add", lambda book, *picture: result.add(book, *picture))
        with onepage_style():
            attention.draw_all(Book(run, run / "figures"), arrays or read_arrays(run / "explain.npz"))
        return result

    return drawn


CASES = {
    "short": (SHORT, WRITTEN),
    "many rows": (SHORT, WORDS),
    "long": (["\u2581source"] * 60, ["\u2581output"] * 50),
    "many columns": (["\u2581source"] * 30, WORDS),
    "one piece": (["</s>"], ["</s>"]),
    "hostile": (
        ["\u2581$x_1$", "\u2581\\\\frac{", "\u2581\u200b", "\u2581日本", "\u2581" + "W" * 90, "</s>"],
        ["\u2581%", "\u2581" + "ß" * 70, "</s>"],
    ),
}


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case == "hostile" else pytest.mark.slow) for case in CASES]
)
@pytest.mark.parametrize("data", ["mt tame", pytest.param("mt generated", marks=pytest.mark.slow)])
def test_no_text_meets_another_or_the_edge(case, data, sheets):
    with onepage_style():
        drawn = sheets(data, explained(*CASES[case]))
        for name, sheet in drawn.sheets.items():
            assert not problems(sheet), name


def test_both_sentences_stand_above_the_map(sheets):
    drawn = sheets("mt tame", explained(SHORT, WRITTEN))
    words = written(drawn.sheets["attention_layer1_head2"])
    assert words[0] == "Cross-attention, layer 1, head 2 of 2"
    assert words.index("source →") + 1 == words.index("A child is splashing in the water")
    assert words.index("output ↓") + 1 == words.index("Ein Kind planscht im Wasser.")
    assert {"weight", "0", "1", "## continues a word"} <= set(words)
    assert "head 2 of 2, from “A child is splashing in the water” to “Ein" in drawn.alt["attention_layer1_head2"]
    both = "A child is splashing in the water → Ein Kind planscht im Wasser."
    assert both in written(drawn.sheets["attention_cross"])
    assert "A child is splashing in the water" in written(drawn.sheets["attention_encoder_self"])


def test_rows_get_the_room_of_the_sentences(sheets):
    words = written(sheets("mt tame", explained(SHORT, WORDS)).sheets["attention_layer1_head1"])
    assert words.count("Wort") == len(WORDS) - 1 and "output ↓  source →" in words
    assert not [word for word in words if "splashing" in word]


def test_pieces_left_out_are_counted(sheets):
    source, output = CASES["long"]
    drawn = sheets("mt tame", explained(source, output))
    name = "attention_layer1_head1"
    words = written(drawn.sheets[name])
    across, down = words.count("source"), words.count("output")
    assert 5 <= down < 50 and 5 <= across < 60
    assert [word for word in words if word.startswith((f"({across} of 60 shown) source", f"({down} of 50 shown)"))]
    assert f"Shown are the first {across} of 60 across; first {down} of 50 down." in drawn.alt[name]
    assert all(sheet.width == HALF for key, sheet in drawn.sheets.items() if "head" in key)


def test_pieces_are_shown_as_words():
    pieces = [
        "<s>",
        "▁Ein",
        "▁Kind",
        "▁pl",
        "an",
        "scht",
        "▁im",
        "▁T",
        "-",
        "Shirt",
        ".",
        "▁",
        "<unk>",
        "</s>",
        "<pad>",
    ]
    shown = "<s> Ein Kind pl ##an ##scht im T - ##Shirt . ▁ <unk> </s> <pad>"
    assert readable(pieces) == shown.split()


@pytest.mark.slow
@pytest.mark.fault("attention rows that do not sum to one", "explain.npz and the row are named; nothing is drawn")
@pytest.mark.parametrize("name", ["encoder_self", "decoder_self", "cross"])
def test_attention_that_is_no_distribution_is_not_drawn(name, copy, tmp_path):
    run = copy("mt tame")
    with edited(run / "explain.npz") as arrays:
        arrays[name][0, 0, 2] *= 0.9
    with pytest.raises(UserError, match=rf"explain\.npz: {name}: row \(0, 0, 2\) .* delete it and run make again"):
        mt.draw(run, tmp_path / "figures")
    assert not (tmp_path / "figures" / "figures.json").exists()


def test_page_shows_every_head_and_counts_them(tmp_path):
    """Two of six heads are focused, one rests on the end, three do neither; the page enlarges the sharpest."""
    pieces, written = ["▁A", "▁dog", "▁runs", ".", "</s>"], ["▁Ein", "▁Hund", "▁läuft", ".", "</s>"]
    cross = np.full((2, 3, 5, 5), 0.2, np.float32)
    cross[0, 1] = 0.1 + 0.5 * np.eye(5)
    cross[1, 2] = 0.05 + 0.75 * np.eye(5)
    cross[1, 0] = 0.1
    cross[1, 0, :, -1] = 0.6
    run = write_mt_run(tmp_path / "run", layers=2, heads=3)
    added = {}
    book = Book(run, tmp_path)
    book.add = lambda name, sheet, alt, facts=None: added.update({name: (sheet, alt, facts)})
    sides = (attention.Side(attention.readable(x), "a sentence") for x in (written, pieces))
    with onepage_style():
        attention._page(book, cross, *sides)
    sheet, alt, facts = added["attention_heads"]
    assert facts == {"heads_all": "6", "heads_focused": "2", "heads_rest": "1"}
    assert "2 of 6 heads" in alt and "Enlarged: layer 2, head 3" in alt
    images = [image for axes in sheet.figure.axes for image in axes.images]
    maps = [image.get_array().shape[:2] for image in images]
    assert maps == [(5, 5), (1, 32), *[(5, 5)] * 6]  # the enlarged head, the scale, and all heads
    assert not problems(sheet)
