"""Text in pictures: it fits, shows every character, and keeps its marks when it is wrapped."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onepage.figures import text as texts
from onepage.figures.style import onepage_style

pytestmark = pytest.mark.usefixtures("style")


def test_every_invisible_character_gets_a_mark():
    assert texts.clean("a\u200bb\x00c\ufeff") == "a·b·c·"
    assert texts.clean("日🙂") == "\ufffd\ufffd"
    assert texts.clean("a\u00a0b\u2003c") == "a b c"
    assert texts.clean("\ud800") == "\ufffd"
    assert texts.clean("Große Öfen: „Straße“ – ▁vor → nach … 5 ≥ 3") == "Große Öfen: „Straße“ – ▁vor → nach … 5 ≥ 3"
    assert texts.clean("u\u0308") == "ü"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.floats(min_value=20, max_value=120))
def test_fitted_text_fits_and_wrapped_text_is_whole(text, room):
    with onepage_style():
        assert texts.width(texts.fit(text, room)) <= room
        lines = texts.wrap(text, room)
        assert all(texts.width(line) <= room for line in lines)
        assert "".join("".join(lines).split()) == "".join(texts.clean(text).split())


def test_wrapping_past_the_limit_ends_in_an_ellipsis():
    words = [[(f"word{i}", i % 2 == 0)] for i in range(100)]
    lines = texts.wrap_words(words, 80, limit=3)
    assert len(lines) == 3
    assert lines[-1][-1] == [("…", False)]
    assert all(texts.width(texts.plain(line)) <= 80 for line in lines)


def test_wider_letters_and_bold_take_more_room():
    assert texts.width("WWW") > texts.width("iii") > 0
    assert texts.width("word", "bold") > texts.width("word")
    assert texts.width("a b") > texts.width("ab")


def test_percentages_never_round_to_certainty_or_nothing():
    shown = [texts.percent(share) for share in (0.999999, 1.0, 0.954, 0.004, 0.0)]
    assert shown == ["99.9 %", "100 %", "95 %", "<1 %", "0 %"]
