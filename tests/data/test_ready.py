"""The ready file: only the published files are accepted, any content is safe, and changed files are noticed."""

import contextlib
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from damage import one_line
from data_fakes import sha256
from onepage import files
from onepage.data import load, of_plan, ready, sources, toy_images
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


def test_other_data_than_planned_get_one_line(cifar):
    plan = {"data_dir": str(cifar), "set": "cifar10", "data_digest": load_images(cifar, "cifar10").digest}
    assert len(of_plan(plan).test_labels) == 20
    with pytest.raises(UserError, match=r"is not the data of the plan .*or run: make data"):
        of_plan(plan | {"data_digest": "another"})
    with pytest.raises(UserError, match=r"is not the data of the training run .*; move it away"):
        of_plan(plan | {"data_digest": "another"}, "the training run", "move it away")


texts = st.text(max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts


@st.composite
def ready_files(draw):
    """Bytes of a ready file with one field replaced by anything; its digest matches its names and digests."""
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
    assert not ready.is_complete(path)  # the folder has no other file


@fault("a ready file nested without end", "`... cannot be read (...`")
def test_nested_ready_file(tmp_path):
    (tmp_path / "ready.json").write_text("[" * 200_000)
    assert not ready.is_complete(tmp_path / "ready.json")
    with pytest.raises(UserError, match="cannot be read"):
        ready.read(tmp_path / "ready.json")


def test_digest_depends_on_names_and_content_only():
    assert ready.digest_of({"a": "1", "b": "2"}) == ready.digest_of({"b": "2", "a": "1"})
    assert len({ready.digest_of(x) for x in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "2"}, {})}) == 5


def made(folder, **more):
    """Write a set of two files and its ready file."""
    content = {"a": b"one", "b": b"two"}
    for name, text in content.items():
        (folder / name).write_bytes(text)
    digests = {name: sha256(text) for name, text in content.items()}
    ready.write(folder / "ready.json", "toy", "nowhere", digests, **more)
    return folder / "ready.json", digests


def test_what_is_written_is_read(tmp_path):
    path, digests = made(tmp_path, version=3)
    found = ready.read(path)
    assert (found.name, found.generated, found.source, found.version) == ("toy", True, "nowhere", 3)
    assert found.files == digests and found.digest == ready.digest_of(digests)
    assert found.stats["a"] == (3, (tmp_path / "a").stat().st_mtime_ns)
    assert (ready.read(made(tmp_path)[0]).version, ready.read(path).generated) == (None, False)


def test_a_file_whose_time_changed_is_hashed_once(tmp_path, monkeypatch):
    path, digests = made(tmp_path)
    os.utime(tmp_path / "a", ns=(5, 5))
    assert ready.is_complete(path) and ready.read(path).stats["a"] == (3, 5)
    monkeypatch.setattr(files, "sha256_file", None)  # must not be called again
    assert ready.is_complete(path) and ready.damaged(tmp_path, digests, ready.read(path).stats) == []


def test_a_set_is_complete_only_as_it_was_published(tmp_path):
    path, digests = made(tmp_path, version=3)
    assert ready.is_complete(path, version=3) and ready.is_complete(path, digests, 3)
    assert not ready.is_complete(path) and not ready.is_complete(path, version=4)
    assert not ready.is_complete(path, digests | {"c": "0" * 64}, 3)
    (tmp_path / "b").write_bytes(b"owt")
    assert not ready.is_complete(path, version=3) and ready.damaged(tmp_path, digests) == ["b"]
    (tmp_path / "a").unlink()
    assert ready.damaged(tmp_path, digests) == ["a", "b"]
    with pytest.raises(UserError, match=r"a is missing; run: make data"):
        ready.read_verified(tmp_path, "a", digests["a"])


def test_only_names_below_the_folder_are_taken(tmp_path):
    for name in ("../a", "a/../../b", "/a", "-a", ""):
        path = tmp_path / "ready.json"
        entry = {"sha256": "0" * 64, "size": 1, "mtime_ns": 1}
        digest = ready.digest_of({"good": "0" * 64, name: "0" * 64})
        both = {"good": entry, name: entry}
        told = {"set": "toy", "generated": False, "source": "x", "files": both, "digest": digest}
        files.write_json(path, told)
        with pytest.raises(UserError, match="is damaged"):
            ready.read(path)
        files.write_json(path, told | {"files": {}, "digest": ready.digest_of({})})
        with pytest.raises(UserError, match="is damaged"):
            ready.read(path)
