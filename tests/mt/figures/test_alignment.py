"""The attention picture of one sentence: mean weights, readable labels, no overlaps, one line for each failure."""

import numpy as np
import pytest
from PIL import Image

from layout import problems
from layout import written as words_of
from onepage.mt.figures import alignment
from onepage.mt.translate import Translator
from onepage.runs.provenance import parse
from onepage.verification import provenance
from translate_cases import LINES, said, translate

LONG = "a man in a blue shirt is standing on ladder with Hunde im Gras " * 5


def test_it_is_drawn_beside_the_translation(translating, tmp_path):
    for name in ("one.png", "two.PDF"):
        result = translate(translating, "--text", LINES[70], "--attention", str(tmp_path / name))
        assert result.exit_code == 0 and said(result) == [f"onepage: attention in {tmp_path / name}"]
        assert result.stdout == translate(translating, "--text", LINES[70]).stdout
        (fields,) = provenance.read(tmp_path / name)
        assert fields["run"] == "mt/multi30k-en-de/quick/seed0" and not provenance.mismatches(
            tmp_path / name, [fields], translating.parents[4]
        )
    with Image.open(tmp_path / "one.png") as image:
        assert "Cross-attention, English to German" in image.text["Description"]
        assert image.text["Description"].count(" to ") >= 10


def test_weights_are_the_mean_of_all_heads(translating):
    translator = Translator(translating)
    (answer,) = translator.answers([LINES[70].encode()])
    weights, written, read = translator.alignment(answer)
    assert weights.shape == (len(written), len(read)) == (len(answer.target), len(answer.source))
    assert weights.sum(1) == pytest.approx(np.ones(len(written)), abs=1e-4)
    assert "".join(read).replace("▁", " ").strip() == f"{LINES[70]}</s>"


@pytest.mark.parametrize(
    ("pieces", "generated"), [(1, False), (3, False), (20, True), (alignment.MOST, False), (200, True)]
)
def test_no_text_is_cut_or_over_another(translating, tmp_path, monkeypatch, pieces, generated):
    drawn = []
    monkeypatch.setattr(alignment.Book, "write", lambda book, path, sheet, alt: drawn.append(sheet))
    make = alignment.Book.sheet
    monkeypatch.setattr(
        alignment.Book, "sheet", lambda book, *size: setattr(book, "generated", generated) or make(book, *size)
    )
    written = [f"▁{'Donaudampfschiffahrtsgesellschaft'[: 3 + k % 30]}" for k in range(pieces)]
    read = [f"▁{'unimaginatively'[: 2 + k % 13]}" for k in range(pieces + 5)]
    weights = np.full((pieces, pieces + 5), 1 / (pieces + 5))
    alignment.draw(translating, tmp_path / "a.png", weights, written, read, "English to German")
    (sheet,) = drawn
    words = words_of(sheet)
    assert len(words) >= 2 * min(pieces, alignment.MOST) + 3 and not problems(sheet)
    assert (f"first {alignment.MOST} of {pieces} down" in " ".join(words)) == (pieces + 5 > alignment.MOST)


@pytest.mark.fault("--attention of several sentences, none, or into no picture", "`--attention...`; exit status 2")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--attention draws one sentence"),
        (["--text", "a", "--text", "b"], "--attention draws one sentence"),
        (["--text", "a\nb"], "--attention draws one sentence"),
        (["--text", " "], "--attention draws one sentence"),
        (["--text", "a", "--attention", "picture.jpeg"], "a file that ends in .png or .pdf, not 'picture.jpeg'"),
    ],
)
def test_undrawable_is_refused_before_anything_is_loaded(translating, tmp_path, arguments, says):
    result = translate(translating, "--attention", str(tmp_path / "a.png"), *arguments)
    assert result.exit_code == 2 and says in " ".join(result.stderr.split()) and not list(tmp_path.iterdir())


@pytest.mark.fault("--attention where no file can be, of a line refused", "one line; the translation stands")
def test_failed_picture_leaves_the_translation(translating, tmp_path):
    (tmp_path / "file").touch()
    result = translate(translating, "--text", "a man", "--attention", str(tmp_path / "file/a.png"))
    assert result.exit_code == 1 and result.stdout.strip() and "cannot write" in said(result)[0]
    result = translate(translating, "--text", "日本", "--attention", str(tmp_path / "a.png"))
    assert result.exit_code == 1 and not (tmp_path / "a.png").exists() and len(said(result)) == 1


@pytest.mark.slow
@pytest.mark.fault("a sentence for --attention with emoji and controls, a long one, one of a letter", "a picture")
@pytest.mark.parametrize("text", ["a 🙂\0\x1b[31m \u2028 $x$ \\write18{x} <b> % _", LONG, "a"])
def test_any_sentence_can_be_drawn(translating, tmp_path, text):
    if "\0" in text:  # no program argument can contain it
        text = text.replace("\0", "\x01")
    result = translate(translating, "--text", text, "--attention", str(tmp_path / "a.png"))
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.width < 4000 and parse(image.text["Source"])
