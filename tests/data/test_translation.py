"""Loading sentences: every line keeps its place, and each kind of damage gets one clear line."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import one_line
from data_fakes import LINES, trusted
from onepage.data import ready
from onepage.data.translation import load_translation, split_lines
from onepage.errors import UserError

fault, param = pytest.mark.fault, pytest.param


def load_toy(data):
    return load_translation(data, "toy-translation", "en", "de")


def test_multi30k_lines(multi30k):
    loaded = load_translation(multi30k, "multi30k", "en", "de")
    assert {split: len(pair[0]) for split, pair in loaded.splits.items()} == LINES
    assert list(loaded.splits) == ["train", "val", *loaded.tests]
    assert loaded.tests == ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco")
    assert loaded.headline == "test_2016_flickr" and (loaded.src, loaded.tgt) == ("en", "de")
    # Separators inside a line do not split it.
    assert loaded.splits["val"][1][2] == "val de 2: ein\u2028Satz \x85 für uns."
    assert list(loaded.tok_references) == list(loaded.tests)
    assert loaded.tok_references["test_2017_mscoco"][0] == "test_2017_mscoco de 0: ein\u2028satz \x85 für uns."
    covered = ready.read(multi30k / "multi30k/ready-en-de.json").files
    assert len(covered) == 5 * 2 + 3 and not any(".fr" in name for name in covered)


def test_pair_must_have_been_fetched(multi30k):
    with pytest.raises(UserError, match=r"ready-de-en\.json.*make data"):
        load_translation(multi30k, "multi30k", "de", "en")
    for src, tgt in (("en", "en"), ("en", "cs"), ("", "de")):
        with pytest.raises(UserError, match=r"SRC|TGT"):
            load_translation(multi30k, "multi30k", src, tgt)


def test_corrupt_text_file(multi30k):
    """Size and time stay the same, but the bytes differ."""
    path = multi30k / "multi30k/val.de"
    stat = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(UserError, match=r"val\.de is corrupt .*make data"):
        load_translation(multi30k, "multi30k", "en", "de")


@fault(
    "unequal line counts, invalid UTF-8, an empty file",
    "`... has ... and ... lines; ...`, `... is not UTF-8 at byte ...`",
)
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"one\ntwo\n", "train has 3 and 2 lines"), (b"\xff\xfe\n" * 3, "not UTF-8 at byte 0"), (b"", "3 and 0 lines")],
)
def test_text_that_does_not_fit(generated, content, message):
    with (
        trusted(generated / "toy-translation", "train.de", content),
        pytest.raises(UserError, match=message),
    ):
        load_toy(generated)


@fault(
    "any bytes as a text file (fuzzed)", "`... is not UTF-8 at byte ...`, `... has ... and ... lines`, or every line"
)
@settings(max_examples=100)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_as_text(generated, content):
    with trusted(generated / "toy-translation", "train.de", content):
        try:
            source, target = load_toy(generated).splits["train"]
        except UserError as error:
            message = one_line(error)
            assert "is not UTF-8 at byte" in message or "train has 3 and" in message
            return
    assert len(source) == len(target) == 3
    expected = content.decode().removesuffix("\n").split("\n")
    assert [line.rstrip("\r") for line in target] == [line.rstrip("\r") for line in expected]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        param(
            *(b"eins\n\n\n", ["eins", "", ""]),
            id="empty-lines",
            marks=fault("empty lines", "kept: the pairs stay aligned"),
        ),
        param(
            *(b"eins\r\nzwei\r\ndrei\r\n", ["eins", "zwei", "drei"]),
            id="crlf",
            marks=fault("lines ended by CR LF", "the CR is dropped"),
        ),
        param(
            *(b"eins\n" + b"wort " * 200_000 + b"\ndrei", ["eins", "wort " * 200_000, "drei"]),
            id="1-MB-line",
            marks=fault("a line of 1 MB", "kept as it is"),
        ),
        param(
            *("\ufeffeins\n\u2028zwei\x85\x0c\n\0".encode(), ["\ufeffeins", "\u2028zwei\x85\x0c", "\0"]),
            id="separators",
            marks=fault("other line separators, a byte order mark, NUL", "kept: lines end at LF alone"),
        ),
    ],
)
def test_odd_lines_keep_their_place(generated, content, lines):
    with trusted(generated / "toy-translation", "train.de", content):
        source, target = load_toy(generated).splits["train"]
    assert target == lines and len(source) == 3


def test_lines_are_cut_at_newline_only():
    assert split_lines("a\r\nb\u2028c\x0bd\x1ce\x85f\n") == ["a", "b\u2028c\x0bd\x1ce\x85f"]
    assert split_lines("a\n\nb") == ["a", "", "b"]
    assert split_lines("a\rb\r\r\n") == ["a\rb\r"]
    assert split_lines("") == [] and split_lines("\n") == [""]
