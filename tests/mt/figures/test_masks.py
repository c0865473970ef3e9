"""Masks: the picture names queries and keys, and shows a leak."""

import numpy as np

from edits import edited
from layout import problems, written


def test_masks_name_what_reads_and_what_is_read(drawn):
    drawn = drawn("mt tame", "masks")
    words = written(drawn.sheets["masks_demo"])
    assert words.count("query") == 1 and words.count("key") == 2  # two maps share their rows
    titles = ["padding mask, hatched: <pad>", "causal mask", "both together"]
    assert [word for word in words if "mask" in word or "together" in word] == titles
    pieces = ["<s>", "Zwei", "Hunde", "laufen", ".", "<pad>", "<pad>", "<pad>"]
    assert [word for word in words if word in pieces] == pieces
    assert "outlined: Hunde reads <s> Zwei Hunde" in words
    alt = drawn.alt["masks_demo"]
    assert "Hunde reads <s> Zwei Hunde, not the later laufen . or any of 3 padding tokens" in alt
    words = written(drawn.sheets["masks_batch"])
    assert {"Two", "dogs", "run", "standing"} <= set(words)
    assert "Target 2: Hunde sees <s> Zwei Hunde; not the later laufen .; 3 × <pad> unseen." in words


def test_fine_masks_are_drawn_without_pieces(copy, draw):
    run = copy("mt tame")
    with edited(run / "explain.npz") as arrays:
        length, batch = 24, 6
        tokens = np.array([["<s>", *["\u2581Wort"] * (length - 3 - k), *["<pad>"] * (k + 2)] for k in range(batch)])
        real = tokens != "<pad>"
        causal = np.tril(np.ones((length, length), bool))
        arrays |= {"mask_source_tokens": tokens, "mask_target_tokens": tokens, "mask_source_padding": real}
        arrays |= {"mask_causal": causal, "mask_target_combined": causal[None] & real[:, None, :]}
    sheet = draw(run, "masks").sheets["masks_demo"]
    words = written(sheet)
    assert not problems(sheet)
    assert "Wort" not in words and "source 1" not in words and "outlined: Wort reads <s> Wort Wort" in words


def test_a_mask_that_differs_is_drawn_differently(copy, draw):
    run = copy("mt tame")

    def pixels():
        return [image.get_array() for image in draw(run, "masks").sheets["masks_demo"].figure.axes[0].images]

    before = pixels()
    with edited(run / "explain.npz") as arrays:
        arrays["mask_target_combined"][:, 0, 1] = True  # a leak
    assert [bool((a != b).any()) for a, b in zip(before, pixels(), strict=True)] == [False, False, True]
