"""The ready file: its published files, whatever else it says, and files that changed since."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damage import one_line
from data_fakes import sha256
from onepage import files
from onepage.data import load, ready, sources, toy_images
from onepage.data.images import load_images
from onepage.errors import UserError

fault = pytest.mark.fault


@fault("a ready file that lists other digests than the published", "`... does not list the published files; ...`")
def test_only_the_published_files_are_accepted(cifar):
    path = cifar / "cifar10/ready.json"
    evil = b"\x80\x02}."
    (path.parent / "test_batch").write_bytes(evil)
    ready.write(path, "cifar10", "me", {**sources.get("cifar10").digests, "test_batch": sha256(evil)})
    with pytest.raises(UserError, match="published files"):
        load_images(cifar, "cifar10")


@fault("a damaged ready file", "`... is damaged; ...`; the set counts as not there")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": {"a": 1}}', '{"set": "cifar10"}'])
def test_damaged_ready_file(cifar, content):
    (cifar / "cifar10/ready.json").write_text(content)
    with pytest.raises(UserError, match=r"ready\.json"):
        load_images(cifar, "cifar10")
    assert not ready.is_complete(cifar / "cifar10/ready.json")


@fault("a ready file edited by hand", "`... disagrees with its own digest; ...`")
def test_ready_file_edited_by_hand(cifar):
    value = files.read_json(cifar / "cifar10/ready.json")
    files.write_json(cifar / "cifar10/ready.json", {**value, "digest": "0" * 64})
    with pytest.raises(UserError, match="disagrees with its own digest"):
        load_images(cifar, "cifar10")


@fault("a changed byte in any data file (fuzzed)", "`... is corrupt (its digest is not the recorded one); ...`, unread")
@pytest.mark.parametrize(("name", "file"), [("toy-images", toy_images.FILE), ("toy-translation", "train.de")])
@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_changed_byte_is_noticed(generated, name, file, at, change):
    path = generated / name / file
    good = path.read_bytes()
    bad = bytearray(good)
    bad[at % len(bad)] ^= change
    path.write_bytes(bad)
    try:
        with pytest.raises(UserError, match=r"is corrupt .*run: make data") as caught:
            load(generated, name)
        one_line(caught.value)
    finally:
        path.write_bytes(good)
    load(generated, name)


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
def test_ready_file_that_says_anything(tmp_path, content):
    path = tmp_path / "ready.json"
    path.write_bytes(content)
    try:
        record = ready.read(path)
        assert all((tmp_path / name).resolve().is_relative_to(tmp_path.resolve()) for name in record.files)
    except UserError as error:
        one_line(error)
    assert not ready.is_complete(path)  # there is no other file


@fault("a ready file nested without end", "`... cannot be read (...`")
def test_nested_ready_file(tmp_path):
    (tmp_path / "ready.json").write_text("[" * 200_000)
    assert not ready.is_complete(tmp_path / "ready.json")
    with pytest.raises(UserError, match="cannot be read"):
        ready.read(tmp_path / "ready.json")


def test_digest_depends_on_names_and_content_only():
    assert ready.digest_of({"a": "1", "b": "2"}) == ready.digest_of({"b": "2", "a": "1"})
    assert len({ready.digest_of(x) for x in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "2"}, {})}) == 5
