"""What the pictures are made of: text that fits and shows everything, words compared, maps laid over images."""

import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layout import texts_of
from onepage.cls import draw as cls
from onepage.cls.figures.confusion import ANIMALS, VEHICLES
from onepage.cls.figures.gradcam import PIXELS, enlarge, overlay
from onepage.figures import text as texts
from onepage.figures.style import BLUES, REPOSITORY, onepage_style
from onepage.mt.figures.attention import readable
from onepage.mt.figures.bleu import FLOOR, readable_name
from onepage.mt.figures.decodes import compare, wrap
from synthetic_run import CIFAR_CLASSES


@pytest.fixture(autouse=True)
def style():
    with onepage_style():
        yield


def test_every_character_that_cannot_be_seen_gets_a_mark():
    assert texts.clean("a\u200bb\x00c\ufeff") == "a·b·c·"
    assert texts.clean("日🙂") == "\ufffd\ufffd"
    assert texts.clean("a\u00a0b\u2003c") == "a b c"
    assert texts.clean("\ud800") == "\ufffd"
    assert texts.clean("Große Öfen: „Straße“ – ▁vor → nach … 5 ≥ 3") == "Große Öfen: „Straße“ – ▁vor → nach … 5 ≥ 3"
    assert texts.clean("u\u0308") == "ü"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.floats(min_value=20, max_value=120))
def test_what_was_fitted_fits_and_what_was_wrapped_loses_nothing(text, room):
    with onepage_style():
        assert texts.width(texts.fit(text, room)) <= room
        lines = texts.wrap(text, room)
        assert all(texts.width(line) <= room for line in lines)
        assert "".join("".join(lines).split()) == "".join(texts.clean(text).split())


def test_wrapping_past_the_limit_ends_in_an_ellipsis_within_the_width():
    words = [(f"word{i}", i % 2 == 0) for i in range(100)]
    lines = texts.wrap_words(words, 80, limit=3)
    assert len(lines) == 3
    assert lines[-1][-1] == ("…", False)
    assert all(texts.width(" ".join(word for word, _ in line)) <= 80 for line in lines)


def test_wider_letters_and_bold_take_more_room():
    assert texts.width("WWW") > texts.width("iii") > 0
    assert texts.width("word", "bold") > texts.width("word")
    assert texts.width("a b") > texts.width("ab")


def test_a_percentage_never_rounds_to_certainty_or_to_nothing():
    shown = [texts.percent(share) for share in (0.999999, 1.0, 0.954, 0.004, 0.0)]
    assert shown == ["99.9 %", "100 %", "95 %", "<1 %", "0 %"]


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
            lines = wrap(words, room)
            joined = [" ".join("".join(part for part, _ in word) for word in line) for line in lines]
            assert all(texts.width(line) <= room for line in joined)
            assert "".join("".join(joined).split()) == "".join(texts.clean(text).split())
            flat = [mark for line in lines for word in line for part, mark in word for _ in part]
            assert flat == [mark for word in words for part, mark in word for _ in part]


def test_past_the_limit_of_lines_stands_an_ellipsis_within_the_width():
    words, _ = compare("Donaudampfschiff " * 40, "")
    lines = wrap(words, 80, limit=3)
    assert len(lines) == 3 and lines[-1][-1] == [("…", False)]
    assert all(texts.width(" ".join("".join(part for part, _ in word) for word in line)) <= 80 for line in lines)


def test_pieces_are_shown_as_words_with_a_sign_before_what_goes_on_a_word():
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


def test_test_set_names_are_made_readable():
    assert [readable_name(name) for name in ("test_2016_flickr", "test_2017_mscoco", "test", "other")] == [
        "test 2016",
        "MSCOCO 2017",
        "test",
        "other",
    ]


def test_overlay_is_grey_without_evidence_and_coloured_where_the_map_is_high():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    nothing = overlay(image, np.zeros((4, 4), np.float32))
    assert nothing.shape == (PIXELS, PIXELS, 3)
    assert (nothing == nothing[..., :1]).all()
    cam = np.zeros((4, 4), np.float32)
    cam[0, 3] = 1  # top right
    spread = np.ptp(overlay(image, cam).astype(int), axis=-1)
    half = PIXELS // 2
    assert spread[:half, half:].max() > 80
    assert spread[half:, :half].max() == 0


def test_evidence_darkens_and_the_image_shows_through_all_of_it():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 255
    luminance = [
        overlay(image, np.full((2, 2), share, np.float32)).mean(axis=0) @ [0.2126, 0.7152, 0.0722]
        for share in np.linspace(0, 1, 11)
    ]
    for column in (0, PIXELS - 1):
        assert (np.diff([row[column] for row in luminance]) < 0).all()
    assert all(row[-1] > 1.5 * row[0] for row in luminance)


def test_maps_are_enlarged_bilinearly():
    enlarged = enlarge(np.array([[0, 1], [0, 1]], np.float32))
    places = (np.arange(PIXELS) + 0.5) / PIXELS
    expected = np.clip(2 * places - 0.5, 0, 1)  # from the centre of one cell, at a quarter, to the other's
    assert np.abs(enlarged - expected).max() < 1e-6


def test_blocks_of_the_confusion_matrix_are_the_ten_classes_of_cifar():
    assert sorted(VEHICLES + ANIMALS) == sorted(CIFAR_CLASSES)


def test_vehicles_stand_before_animals_and_each_has_its_frame(copy, draw):
    sheets = draw(copy("cls")).sheets
    for name in ("confusion_matrix", "confusion_counts"):
        (axes,) = [axes for axes in sheets[name].figure.axes if axes.axison]
        rows, columns = (
            [label.get_text() for label in side] for side in (axes.get_yticklabels(), axes.get_xticklabels())
        )
        assert rows == columns == [*VEHICLES, *ANIMALS]
        framed = {(patch.get_xy(), patch.get_width(), patch.get_height()) for patch in axes.patches}
        assert {((0, 0), 4, 4), ((4, 4), 6, 6)} <= framed
        assert {"vehicles", "animals"} <= {text for text, _ in texts_of(sheets[name])}


def test_the_floor_that_is_drawn_is_the_one_that_is_claimed():
    claims = tomllib.loads((REPOSITORY / "report" / "claims.toml").read_text(encoding="utf-8"))["claim"]
    assert [claim["minimum"] for claim in claims if claim["task"] == "mt"] == [FLOOR]
    (accuracy,) = [claim for claim in claims if claim["task"] == "cls"]
    assert (100 * accuracy["minimum"], accuracy["set"]) == (cls.FLOOR, "cifar10")  # the set it is drawn for


def cielab(colours):
    """L*, a*, b* of sRGB colours 0..1, D65."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    xyz /= [0.9505, 1.0, 1.089]
    root = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def test_attention_weights_darken_evenly_in_one_hue_from_white():
    lightness, a, b = cielab(BLUES(np.linspace(0, 1, 52))[:, :3]).T
    assert lightness[0] == pytest.approx(100, abs=0.1) and lightness[-1] < 30
    steps = -np.diff(lightness)
    assert steps.min() > 0.8 * steps.mean() and steps.max() < 1.2 * steps.mean()
    coloured = np.hypot(a, b) > 4
    assert np.ptp(np.degrees(np.arctan2(b, a))[coloured]) < 8
