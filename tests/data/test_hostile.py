"""Data files made to do harm, or damaged at random: the loaders refuse them in one line and run nothing."""

import contextlib
import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damage import edited, edits, one_line
from data_fakes import code_running_pickle, sha256
from onepage.data import fetch, images, ready, toy_images, toy_translation
from onepage.data.images import load_images
from onepage.data.translation import load_translation
from onepage.errors import UserError

fault = pytest.mark.fault


# --- what lies in data/ ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_sets(tmp_path_factory):
    """A data folder with both stand-ins, a few images and sentences."""
    data = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_images, "TRAIN", 10)
        patch.setattr(toy_images, "TEST", 10)
        patch.setattr(toy_translation, "SIZES", {"train": 3, "val": 2, "test": 2})
        fetch.ensure("cls", data, "generated")
        fetch.ensure("mt", data, "generated")
    return data


def trusted(folder: Path, name: str, content: bytes) -> None:
    """Put ``content`` in place of a file, and into the ready file: as if it had been verified."""
    path = next(folder.glob("ready*.json"))
    record = json.loads(path.read_text())
    sha = {file: entry["sha256"] for file, entry in record["files"].items()} | {name: sha256(content)}
    (folder / name).write_bytes(content)
    ready.write(path, record["set"], "test", sha, record["version"])


@fault("a changed byte in any data file (fuzzed)", "`... is corrupt (its digest is not the recorded one); ...`, unread")
@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_data_changed_byte_is_noticed(small_sets, at, change):
    for load, file in (
        (lambda: load_images(small_sets, "toy-images"), small_sets / "toy-images" / toy_images.FILE),
        (lambda: load_translation(small_sets, "toy-translation", "en", "de"), small_sets / "toy-translation/train.de"),
    ):
        good = file.read_bytes()
        bad = bytearray(good)
        bad[at % len(bad)] ^= change
        file.write_bytes(bad)
        try:
            with pytest.raises(UserError, match=r"is corrupt .*run: make data") as caught:
                load()
            one_line(caught.value)
        finally:
            file.write_bytes(good)
        load()


@fault("a generated image set damaged at any place (fuzzed)", "`... is not a generated image set; ...`")
@settings(max_examples=100)
@given(edits)
def test_data_damaged_image_file(small_sets, changes):
    folder = small_sets / "toy-images"
    good = (folder / toy_images.FILE).read_bytes()
    content = edited(good, [(at - 2048, new) for at, new in changes])  # the two ends, where a zip has its tables
    try:
        trusted(folder, toy_images.FILE, content)
        loaded = load_images(small_sets, "toy-images")
        assert loaded.train_images.dtype == np.uint8 and loaded.train_images.shape[1:] == (3, 32, 32)
        assert len(loaded.train_labels) == len(loaded.train_images) and len(loaded.test_labels) == len(
            loaded.test_images
        )
    except UserError as error:
        assert "not a generated image set" in one_line(error)
    finally:
        trusted(folder, toy_images.FILE, good)


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(
            "code",
            id="code",
            marks=fault("code in a generated image set", "`... is not a generated image set`, not run"),
        ),
        pytest.param(
            "bomb", id="bomb", marks=fault("a generated image set that swells", "`... is not a generated image set`")
        ),
        pytest.param(
            "shapes", id="shapes", marks=fault("image arrays that do not fit", "`... is not a generated image set`")
        ),
    ],
)
def test_data_image_file_made_to_do_harm(small_sets, tmp_path, monkeypatch, what):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    folder = small_sets / "toy-images"
    good = (folder / toy_images.FILE).read_bytes()
    with np.load(io.BytesIO(good)) as arrays:
        content = dict(arrays)
    if what == "code":
        content["class_names"] = np.array([Evil()] * 10, dtype=object)
    if what == "shapes":
        content["test_labels"] = content["test_labels"][:-1]
    if what == "bomb":
        monkeypatch.setattr(images, "MOST_UNPACKED", sum(array.nbytes for array in content.values()) - 1)
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    try:
        trusted(folder, toy_images.FILE, buffer.getvalue())
        with pytest.raises(UserError, match="not a generated image set"):
            load_images(small_sets, "toy-images")
    finally:
        trusted(folder, toy_images.FILE, good)
    assert not (tmp_path / "ran").exists()


names = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)


@fault("any name looked up in a pickle (fuzzed)", "`... has no place in a CIFAR-10 batch`, not looked up")
@given(st.sampled_from(["os", "builtins", "subprocess", "numpy", "numpy.core.multiarray", "posix"]) | names, names)
def test_data_unpickler_looks_nothing_up(module, name):
    known = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
    if (module, name) not in known:
        with pytest.raises(pickle.UnpicklingError, match="has no place"):
            images._BatchUnpickler(io.BytesIO()).find_class(module, name)


@fault(
    "a pickle that runs code, with the right digest",
    "`... cannot be read (...`, `... has no place in a CIFAR-10 batch`",
)
@pytest.mark.parametrize("protocol", range(6))
def test_data_code_in_a_pickle_is_not_run(tmp_path, protocol):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    for content in (pickle.dumps({"data": Evil()}, protocol), code_running_pickle(tmp_path / "ran", 0)):
        (tmp_path / "batch").write_bytes(content)
        with pytest.raises(UserError, match="has no place") as caught:
            images._unpickle(tmp_path, "batch", sha256(content))
        one_line(caught.value)
        assert not (tmp_path / "ran").exists()


texts = st.text(max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts


@st.composite
def ready_files(draw):
    """Bytes of a ready file with one thing in it replaced by anything; its digest over names and digests agrees."""
    one = {"sha256": "0" * 64, "size": 5, "mtime_ns": 5}
    value = {"set": "toy", "generated": True, "source": "nowhere", "version": 1, "files": {}}
    field = draw(st.sampled_from([*value, *one, "name", "entry", "none"]))
    anything = draw(scalars | st.lists(scalars, max_size=2) | st.just(float("inf")))
    name = draw(st.sampled_from(["../a", "/etc/passwd", "a\0", "\ud800", "a" * 300, ""]) | texts)
    if field in one:
        one[field] = anything
    value["files"] = {name if field == "name" else "train.en": anything if field == "entry" else one}
    with contextlib.suppress(AttributeError, TypeError, UnicodeEncodeError):
        value["digest"] = ready.digest_of({file: entry["sha256"] for file, entry in value["files"].items()})
    if field in value:
        value[field] = anything
    return json.dumps(value).encode()


@fault("a ready file that says anything (fuzzed)", "`... is damaged; ...`, `... cannot be read (...`; fetched again")
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ready_files() | st.binary(max_size=60))
def test_data_ready_file_that_says_anything(tmp_path, content):
    path = tmp_path / "ready.json"
    path.write_bytes(content)
    try:
        record = ready.read(path)
        assert all((tmp_path / name).resolve().is_relative_to(tmp_path.resolve()) for name in record.files)
    except UserError as error:
        one_line(error)
    assert not ready.is_complete(path)  # there is no other file


@fault("a ready file nested without end", "`... cannot be read (...`")
def test_data_nested_ready_file(tmp_path):
    (tmp_path / "ready.json").write_text("[" * 200_000)
    assert not ready.is_complete(tmp_path / "ready.json")
    with pytest.raises(UserError, match="cannot be read"):
        ready.read(tmp_path / "ready.json")


# --- sentences -------------------------------------------------------------------------------------------------------


@fault(
    "any bytes as a text file (fuzzed)", "`... is not UTF-8 at byte ...`, `... has ... and ... lines`, or every line"
)
@settings(max_examples=100)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_data_any_bytes_as_text(small_sets, content):
    folder = small_sets / "toy-translation"
    good = (folder / "train.de").read_bytes()
    try:
        trusted(folder, "train.de", content)
        source, target = load_translation(small_sets, "toy-translation", "en", "de").splits["train"]
        assert len(source) == len(target) == 3
        assert [line.rstrip("\r") for line in target] == [
            line.rstrip("\r") for line in content.decode().removesuffix("\n").split("\n")
        ]
    except UserError as error:
        message = one_line(error)
        assert "is not UTF-8 at byte" in message or "train has 3 and" in message
    finally:
        trusted(folder, "train.de", good)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(
            b"eins\n\n\n",
            ["eins", "", ""],
            id="empty-lines",
            marks=fault("empty lines", "kept: the pairs stay aligned"),
        ),
        pytest.param(
            b"eins\r\nzwei\r\ndrei\r\n",
            ["eins", "zwei", "drei"],
            id="crlf",
            marks=fault("lines ended by CR LF", "the CR is dropped"),
        ),
        pytest.param(
            b"eins\n" + b"wort " * 200_000 + b"\ndrei",
            ["eins", "wort " * 200_000, "drei"],
            id="1-MB-line",
            marks=fault("a line of 1 MB", "kept as it is"),
        ),
        pytest.param(
            "\ufeffeins\n\u2028zwei\x85\x0c\n\0".encode(),
            ["\ufeffeins", "\u2028zwei\x85\x0c", "\0"],
            id="separators",
            marks=fault("other line separators, a byte order mark, NUL", "kept: lines end at LF alone"),
        ),
    ],
)
def test_data_odd_lines_keep_their_place(small_sets, content, lines):
    folder = small_sets / "toy-translation"
    good = (folder / "train.de").read_bytes()
    try:
        trusted(folder, "train.de", content)
        source, target = load_translation(small_sets, "toy-translation", "en", "de").splits["train"]
        assert target == lines and len(source) == 3
    finally:
        trusted(folder, "train.de", good)
