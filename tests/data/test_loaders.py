"""The loaders: shapes, digests before anything is parsed, and one clear line for each kind of damage."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_fakes import LINES, code_running_pickle, fill, python2_batch, sha256
from onepage import files
from onepage.data import fetch, images, ready, sources, toy_images, toy_translation
from onepage.data.images import load_images, split_indices
from onepage.data.translation import load_translation, split_lines
from onepage.errors import UserError


@pytest.fixture
def cifar(tmp_path, cifar_archive):
    """A data folder with the small CIFAR-10."""
    mirror = fill(tmp_path / "mirror", {sources.CIFAR10_ARCHIVE: cifar_archive})
    fetch.ensure("cls", tmp_path / "data", "real", str(mirror))
    return tmp_path / "data"


@pytest.fixture
def multi30k(tmp_path, multi30k_files):
    """A data folder with the small Multi30k, en-de."""
    fetch.ensure("mt", tmp_path / "data", "real", str(fill(tmp_path / "mirror", multi30k_files)))
    return tmp_path / "data"


def replace(folder: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """Replace a member, keeping its size and time; with ``monkeypatch`` also publish its new digest."""
    stat = (folder / name).stat()
    (folder / name).write_bytes(content)
    os.utime(folder / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    if monkeypatch:
        table = {**sources.CIFAR10_MEMBERS, name: (len(content), sha256(content))}
        monkeypatch.setattr(sources, "CIFAR10_MEMBERS", table)
        ready.write(folder / "ready.json", "cifar10", "test", sources.cifar10().digests)


def test_data_cifar_arrays(cifar):
    loaded = load_images(cifar, "cifar10")
    rng = np.random.default_rng(0)  # the draws of the fixture, batch by batch
    expected = [(rng.integers(0, 256, (20, 3072), dtype=np.uint8), rng.integers(0, 10, 20)) for _ in range(6)]
    assert loaded.name == "cifar10" and not loaded.generated
    assert loaded.class_names == tuple(f"class{k}" for k in range(10))
    assert loaded.train_images.dtype == np.uint8 and loaded.train_labels.dtype == np.int64
    np.testing.assert_array_equal(loaded.train_images.reshape(100, 3072), np.concatenate([i for i, _ in expected[:5]]))
    np.testing.assert_array_equal(loaded.train_labels, np.concatenate([labels for _, labels in expected[:5]]))
    np.testing.assert_array_equal(loaded.test_images.reshape(20, 3072), expected[5][0])
    # Row k of the file is image k: 1,024 red values, then green, then blue, line by line.
    assert loaded.test_images[3, 1, 2, 5] == expected[5][0][3, 1024 + 2 * 32 + 5]
    assert loaded.digest == ready.digest_of(sources.cifar10().digests)


@pytest.mark.fault(
    "a pickle that runs code, of the same size and time",
    "`... is corrupt (its digest is not the recorded one); ...`; not run",
)
def test_data_digest_is_checked_before_unpickling(cifar, tmp_path):
    """Same size, same time, so the ready file still trusts it: the loader must not."""
    marker = tmp_path / "ran"
    folder = cifar / "cifar10"
    evil = code_running_pickle(marker, (folder / "data_batch_1").stat().st_size)
    replace(folder, "data_batch_1", evil)
    assert ready.is_complete(folder / "ready.json")
    with pytest.raises(UserError, match=r"data_batch_1 is corrupt .*; delete that file and run: make data"):
        load_images(cifar, "cifar10")
    assert not marker.exists()
    pickle.loads(evil)  # the pickle does what it says, where nobody checks
    assert marker.exists()


@pytest.mark.fault("a pickle that runs code, published as CIFAR-10", "`... has no place in a CIFAR-10 batch`; not run")
def test_data_unpickler_knows_only_what_cifar_needs(cifar, tmp_path, monkeypatch):
    """Even with a digest that agrees, no name outside the list is looked up."""
    marker = tmp_path / "ran"
    replace(cifar / "cifar10", "data_batch_1", code_running_pickle(marker, 500), monkeypatch)
    with pytest.raises(UserError, match=r"builtins\.exec has no place"):
        load_images(cifar, "cifar10")
    assert not marker.exists()


@pytest.mark.fault("a batch with other labels, counts or kinds", "`... is not a CIFAR-10 batch; ...`")
@pytest.mark.parametrize("what", ["label", "count", "list", "cut"])
def test_data_batch_that_is_no_batch(cifar, monkeypatch, what):
    pixels = np.zeros((20, 3072), np.uint8)
    content = {
        "label": python2_batch(pixels, [10] * 20),
        "count": python2_batch(pixels, [1] * 19),
        "list": b"\x80\x02].",
        "cut": python2_batch(pixels, [1] * 20)[:-40],
    }[what]
    replace(cifar / "cifar10", "test_batch", content, monkeypatch)
    with pytest.raises(UserError, match=r"test_batch .*make data"):
        load_images(cifar, "cifar10")


@pytest.mark.fault(
    "a ready file that lists other digests than the published", "`... does not list the published files; ...`"
)
def test_data_ready_file_must_list_the_published_files(cifar):
    path = cifar / "cifar10/ready.json"
    evil = b"\x80\x02}."
    (path.parent / "test_batch").write_bytes(evil)
    ready.write(path, "cifar10", "me", {**sources.cifar10().digests, "test_batch": sha256(evil)})
    with pytest.raises(UserError, match="published files"):
        load_images(cifar, "cifar10")


@pytest.mark.fault("a damaged ready file", "`... is damaged; ...`; the set counts as not there")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"files": {"a": 1}}', '{"set": "cifar10"}'])
def test_data_damaged_ready_file(cifar, content):
    (cifar / "cifar10/ready.json").write_text(content)
    with pytest.raises(UserError, match=r"ready\.json"):
        load_images(cifar, "cifar10")
    assert not ready.is_complete(cifar / "cifar10/ready.json")


@pytest.mark.fault("a ready file edited by hand", "`... disagrees with its own digest; ...`")
def test_data_ready_file_edited_by_hand(cifar):
    value = files.read_json(cifar / "cifar10/ready.json")
    value["digest"] = "0" * 64
    files.write_json(cifar / "cifar10/ready.json", value)
    with pytest.raises(UserError, match="disagrees with its own digest"):
        load_images(cifar, "cifar10")


@pytest.mark.fault("a set or file that is missing", "`... is missing or incomplete (no ...); run: make data`")
def test_data_missing_sets_and_files(tmp_path, cifar):
    with pytest.raises(UserError, match="run: make data"):
        load_images(tmp_path / "nowhere", "cifar10")
    with pytest.raises(UserError, match="run: make data"):
        load_translation(tmp_path / "nowhere", "multi30k", "en", "de")
    (cifar / "cifar10/data_batch_5").unlink()
    with pytest.raises(UserError, match=r"data_batch_5 is missing; run: make data"):
        load_images(cifar, "cifar10")
    for load, arguments in ((load_images, ("mnist",)), (load_translation, ("wmt", "en", "de"))):
        with pytest.raises(UserError, match="choose"):
            load(cifar, *arguments)


def test_data_multi30k_lines(multi30k):
    loaded = load_translation(multi30k, "multi30k", "en", "de")
    assert {split: len(pair[0]) for split, pair in loaded.splits.items()} == LINES
    assert list(loaded.splits) == ["train", "val", *loaded.tests]
    assert loaded.tests == ("test_2016_flickr", "test_2017_flickr", "test_2017_mscoco")
    assert loaded.headline == "test_2016_flickr" and (loaded.src, loaded.tgt) == ("en", "de")
    # Separators inside a line do not cut it.
    assert loaded.splits["val"][1][2] == "val de 2: ein\u2028Satz \x85 für uns."
    assert list(loaded.tok_references) == list(loaded.tests)
    assert loaded.tok_references["test_2017_mscoco"][0] == "test_2017_mscoco de 0: ein\u2028satz \x85 für uns."
    covered = ready.read(multi30k / "multi30k/ready-en-de.json").files
    assert len(covered) == 5 * 2 + 3 and not any(".fr" in name for name in covered)


def test_data_multi30k_needs_the_pair_to_be_fetched(multi30k):
    with pytest.raises(UserError, match=r"ready-de-en\.json.*make data"):
        load_translation(multi30k, "multi30k", "de", "en")
    for src, tgt in (("en", "en"), ("en", "cs"), ("", "de")):
        with pytest.raises(UserError, match=r"SRC|TGT"):
            load_translation(multi30k, "multi30k", src, tgt)


def test_data_corrupt_text_file(multi30k):
    replace(multi30k / "multi30k", "val.de", (multi30k / "multi30k/val.de").read_bytes()[::-1])
    with pytest.raises(UserError, match=r"val\.de is corrupt .*make data"):
        load_translation(multi30k, "multi30k", "en", "de")


@pytest.mark.fault(
    "unequal line counts, invalid UTF-8, an empty file",
    "`... has ... and ... lines; ...`, `... is not UTF-8 at byte ...`",
)
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"one\ntwo\n", "train has 20 and 2 lines"), (b"\xff\xfe\n" * 20, "not UTF-8 at byte 0"), (b"", "20 and 0 lines")],
)
def test_data_text_that_does_not_fit(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(toy_translation, "SIZES", {"train": 20, "val": 5, "test": 5})
    fetch.ensure("mt", tmp_path, "generated")
    folder = tmp_path / "toy-translation"
    record = ready.read(folder / "ready-en-de.json")
    (folder / "train.de").write_bytes(content)
    ready.write(folder / "ready-en-de.json", record.name, "test", {**record.files, "train.de": sha256(content)}, 1)
    with pytest.raises(UserError, match=message):
        load_translation(tmp_path, "toy-translation", "en", "de")


def test_data_lines_are_cut_at_newline_only():
    assert split_lines("a\r\nb\u2028c\x0bd\x1ce\x85f\n") == ["a", "b\u2028c\x0bd\x1ce\x85f"]
    assert split_lines("a\n\nb") == ["a", "", "b"]
    assert split_lines("a\rb\r\r\n") == ["a\rb\r"]
    assert split_lines("") == [] and split_lines("\n") == [""]


def test_data_generated_sets_load(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_images, "TRAIN", 50)
    monkeypatch.setattr(toy_images, "TEST", 20)
    monkeypatch.setattr(toy_translation, "SIZES", {"train": 20, "val": 5, "test": 7})
    fetch.ensure("cls", tmp_path, "generated")
    fetch.ensure("mt", tmp_path, "generated")
    loaded = load_images(tmp_path, "toy-images")
    assert loaded.generated and loaded.class_names == toy_images.CLASS_NAMES
    assert loaded.train_images.shape == (50, 3, 32, 32) and loaded.test_images.shape == (20, 3, 32, 32)
    assert loaded.train_labels.dtype == np.int64 and np.bincount(loaded.train_labels).tolist() == [5] * 10
    pairs = load_translation(tmp_path, "toy-translation", "fr", "en")  # one direction, whatever is asked for
    assert (pairs.src, pairs.tgt, pairs.headline, pairs.tests) == ("en", "de", "test", ("test",))
    assert {split: len(lines) for split, (lines, _) in pairs.splits.items()} == toy_translation.SIZES
    assert pairs.generated and pairs.tok_references == {}


def test_data_generated_images_that_are_not(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_images, "TRAIN", 10)
    monkeypatch.setattr(toy_images, "TEST", 10)
    fetch.ensure("cls", tmp_path, "generated")
    folder = tmp_path / "toy-images"
    for content in (b"not an archive", pickle.dumps({"train_images": 1})):
        (folder / toy_images.FILE).write_bytes(content)
        with pytest.raises(UserError, match="corrupt"):
            load_images(tmp_path, "toy-images")
        ready.write(folder / "ready.json", "toy-images", "test", {toy_images.FILE: sha256(content)}, 1)
        with pytest.raises(UserError, match="not a generated image set"):
            load_images(tmp_path, "toy-images")


def test_data_split_indices():
    train, val = split_indices(50_000, 5_000, 0)
    assert len(train) == 45_000 and len(val) == 5_000 and train.dtype == val.dtype == np.int64
    np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(50_000))
    assert (np.diff(train) > 0).all() and (np.diff(val) > 0).all()
    again, other = split_indices(50_000, 5_000, 0)[1], split_indices(50_000, 5_000, 1)[1]
    assert (again == val).all() and not (other == val).all()
    assert abs(val.mean() - 25_000) < 1_000  # drawn from everywhere, not from one end
    # Recorded once: a split that changed would put validation images of old runs into training.
    assert split_indices(20, 5, 0)[1].tolist() == [2, 3, 11, 13, 15]
    for size in (0, 20, -1):
        with pytest.raises(UserError, match="val_size"):
            split_indices(20, size, 0)


def test_data_digest_depends_on_names_and_content_only():
    assert ready.digest_of({"a": "1", "b": "2"}) == ready.digest_of({"b": "2", "a": "1"})
    assert len({ready.digest_of(x) for x in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "2"}, {})}) == 5


def test_data_published_tables_are_whole():
    """Every file of every pair has its size and digest, and every download its addresses."""
    assert len(sources.CIFAR10_MEMBERS) == 7 and set(images.TRAIN_BATCHES) < set(sources.CIFAR10_MEMBERS)
    plans = [sources.cifar10()]
    plans += [sources.multi30k(a, b) for a in sources.LANGUAGES for b in sources.LANGUAGES if a != b]
    for plan in plans:
        assert all(len(member.sha256) == 64 and member.size > 100 for member in plan.members)
        for item in plan.downloads:
            assert len(item.urls) >= 3 and all(url.startswith("https://") for url in item.urls)
            assert len({url.split("/")[2] for url in item.urls}) == len(item.urls)
    assert plans[0].downloads[0].urls[-1].startswith("https://www.cs.toronto.edu/")  # slow: last
    assert len(plans[1].downloads) == 13 and plans[1].downloads[-1].kind == "plain"


@pytest.mark.skipif(
    not Path(os.environ.get("DATA_MIRROR") or "/nonexistent").is_dir(), reason="DATA_MIRROR names no folder"
)
def test_data_real_sets_from_the_mirror(tmp_path):
    mirror = os.environ["DATA_MIRROR"]
    try:
        assert fetch.ensure("cls", tmp_path, "real", mirror) == "cifar10"
        loaded = load_images(tmp_path, "cifar10")
        assert loaded.train_images.shape == (50_000, 3, 32, 32) and loaded.test_images.shape == (10_000, 3, 32, 32)
        assert np.bincount(loaded.train_labels).tolist() == [5_000] * 10
        assert np.bincount(loaded.test_labels).tolist() == [1_000] * 10
        assert loaded.class_names[3] == "cat"
        for src, tgt in (("en", "de"), ("de", "fr"), ("fr", "en")):
            assert fetch.ensure("mt", tmp_path, "real", mirror, src, tgt) == "multi30k"
            pairs = load_translation(tmp_path, "multi30k", src, tgt)
            assert [len(lines) for lines, _ in pairs.splits.values()] == [29_000, 1_014, 1_000, 1_000, 461]
            assert [len(lines) for lines in pairs.tok_references.values()] == [1_000, 1_000, 461]
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)  # 190 MB that pytest would keep
