"""Loading images: shapes, digests before anything is parsed, and one clear line for each kind of damage."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import edited, edits, one_line
from data_fakes import code_running_pickle, python2_batch, sha256, trusted
from onepage.data import images, ready, sources, toy_images
from onepage.data.images import load_images, split_indices
from onepage.errors import UserError

fault, param = pytest.mark.fault, pytest.param


def replace(folder: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
    """Replace a member but keep its time; with ``monkeypatch``, also publish its new digest."""
    stat = (folder / name).stat()
    (folder / name).write_bytes(content)
    os.utime(folder / name, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    if monkeypatch:
        table = {**sources.CIFAR10_MEMBERS, name: (len(content), sha256(content))}
        monkeypatch.setattr(sources, "CIFAR10_MEMBERS", table)
        ready.write(folder / "ready.json", "cifar10", "test", sources.get("cifar10").digests)


class Evil:
    """Creates the folder ``path`` when an unrestricted unpickler loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


# --- CIFAR-10 ------------------------------------------------------------------------------------------------------


def test_cifar_arrays(cifar):
    loaded = load_images(cifar, "cifar10")
    rng = np.random.default_rng(0)  # the same draws as the fixture, batch by batch
    expected = [(rng.integers(0, 256, (20, 3072), dtype=np.uint8), rng.integers(0, 10, 20)) for _ in range(6)]
    assert loaded.name == "cifar10" and not loaded.generated
    assert loaded.class_names == tuple(f"class{k}" for k in range(10))
    assert loaded.train_images.dtype == np.uint8 and loaded.train_labels.dtype == np.int64
    np.testing.assert_array_equal(loaded.train_images.reshape(100, 3072), np.concatenate([i for i, _ in expected[:5]]))
    np.testing.assert_array_equal(loaded.train_labels, np.concatenate([labels for _, labels in expected[:5]]))
    np.testing.assert_array_equal(loaded.test_images.reshape(20, 3072), expected[5][0])
    # Row k of the file is image k: 1,024 red values, then green, then blue, line by line.
    assert loaded.test_images[3, 1, 2, 5] == expected[5][0][3, 1024 + 2 * 32 + 5]
    assert loaded.digest == ready.digest_of(sources.get("cifar10").digests)


@fault(
    "a pickle that runs code, of the same size and time",
    "`... is corrupt (its digest is not the recorded one); ...`; not run",
)
def test_digest_is_checked_before_unpickling(cifar, tmp_path):
    """The ready file still trusts a file with the same size and time, but the loader must not."""
    marker, folder = tmp_path / "ran", cifar / "cifar10"
    evil = code_running_pickle(marker, (folder / "data_batch_1").stat().st_size)
    replace(folder, "data_batch_1", evil)
    assert ready.is_complete(folder / "ready.json")
    with pytest.raises(UserError, match=r"data_batch_1 is corrupt .*; delete that file and run: make data"):
        load_images(cifar, "cifar10")
    assert not marker.exists()
    pickle.loads(evil)  # without a check, the pickle runs its code
    assert marker.exists()


@fault("a pickle that runs code, published as CIFAR-10", "`... has no place in a CIFAR-10 batch`; not run")
def test_unpickler_knows_only_what_cifar_needs(cifar, tmp_path, monkeypatch):
    """Even with a valid digest, the unpickler looks up no name outside its list."""
    marker = tmp_path / "ran"
    replace(cifar / "cifar10", "data_batch_1", code_running_pickle(marker, 500), monkeypatch)
    with pytest.raises(UserError, match=r"builtins\.exec has no place"):
        load_images(cifar, "cifar10")
    assert not marker.exists()


names = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)


@fault("any name looked up in a pickle (fuzzed)", "`... has no place in a CIFAR-10 batch`, not looked up")
@given(st.sampled_from(["os", "builtins", "subprocess", "numpy", "numpy.core.multiarray", "posix"]) | names, names)
def test_unpickler_looks_nothing_up(module, name):
    known = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
    if (module, name) not in known:
        with pytest.raises(pickle.UnpicklingError, match="has no place"):
            images._BatchUnpickler(io.BytesIO()).find_class(module, name)


@fault(
    "a pickle that runs code, with the right digest",
    "`... cannot be read (...`, `... has no place in a CIFAR-10 batch`",
)
@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_pickle_is_not_run(tmp_path, protocol):
    ran = tmp_path / "ran"
    for content in (pickle.dumps({"data": Evil(ran)}, protocol), code_running_pickle(ran, 0)):
        (tmp_path / "batch").write_bytes(content)
        with pytest.raises(UserError, match="has no place") as caught:
            images._unpickle(tmp_path, "batch", sha256(content))
        one_line(caught.value)
        assert not ran.exists()


@fault("a batch with other labels, counts or kinds", "`... is not a CIFAR-10 batch; ...`")
@pytest.mark.parametrize("what", ["label", "count", "list", "cut"])
def test_batch_that_is_no_batch(cifar, monkeypatch, what):
    pixels = np.zeros((20, 3072), np.uint8)
    content = {
        "label": python2_batch(pixels, [9] * 19 + [10]),
        "count": python2_batch(pixels, [1] * 19),
        "list": b"\x80\x02].",
        "cut": python2_batch(pixels, [1] * 20)[:-40],
    }[what]
    replace(cifar / "cifar10", "test_batch", content, monkeypatch)
    with pytest.raises(UserError, match=r"test_batch .*make data"):
        load_images(cifar, "cifar10")


GOOD = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 9]}


@pytest.mark.parametrize(
    "change",
    [
        {"data": None}, {"data": [[0] * 3072] * 2}, {"data": np.zeros((2, 3072), np.int8)}, {"labels": None},
        {"data": np.zeros((2, 3071), np.uint8)}, {"data": np.zeros((2, 3, 1024), np.uint8)}, {"labels": (0, 9)},
        {"labels": [0]}, {"labels": [0, 10]}, {"labels": [-1, 9]}, {"labels": [True, 9]}, {"labels": [0.0, 9]},
    ],
    ids=str,
)  # fmt: skip
def test_one_thing_wrong_makes_it_no_batch(change):
    pixels, labels = images._batch(Path("batch"), GOOD)
    assert pixels.shape == (2, 3, 32, 32) and labels.dtype == np.int64 and labels.tolist() == [0, 9]
    with pytest.raises(UserError, match="batch is not a CIFAR-10 batch"):
        images._batch(Path("batch"), GOOD | change)


@pytest.mark.parametrize("names", [{"label_names": ("a",) * 10}, {"label_names": ["a"] * 9}, {}, []])
def test_classes_are_ten_in_a_list(cifar, monkeypatch, names):
    replace(cifar / "cifar10", "batches.meta", pickle.dumps(names, 2), monkeypatch)
    with pytest.raises(UserError, match=r"batches\.meta (does not name ten classes|is not a CIFAR-10 file); delete"):
        load_images(cifar, "cifar10")


def test_a_set_of_another_name_is_refused(tmp_path):
    with pytest.raises(UserError, match="mnist is not an image set"):
        load_images(tmp_path, "mnist")


# --- the generated set ---------------------------------------------------------------------------------------------


def test_generated_arrays(generated, monkeypatch):
    with np.load(generated / "toy-images" / toy_images.FILE) as arrays:
        content = dict(arrays)
    with zipfile.ZipFile(generated / "toy-images" / toy_images.FILE) as members:
        monkeypatch.setattr(images, "MOST_UNPACKED", sum(member.file_size for member in members.infolist()))
    loaded = load_images(generated, "toy-images")
    assert (loaded.name, loaded.generated, len(loaded.class_names)) == ("toy-images", True, 10)
    assert loaded.train_images.shape == loaded.test_images.shape == (10, 3, 32, 32)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(loaded, name), content[name])
    assert loaded.digest == ready.read(generated / "toy-images/ready.json").digest


@fault("image arrays that do not fit", "`... is not a generated image set`")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("train_images", lambda a: a.astype(np.int16)), ("test_images", lambda a: a[:, :, :31]),
        ("train_images", lambda a: a[:, :1]), ("train_labels", lambda a: a.astype(np.int32)),
        ("test_labels", lambda a: a[:, None]), ("train_labels", lambda a: a[:-1]), ("test_labels", lambda a: a[1:]),
        ("train_labels", lambda a: np.array([10, *a[1:]])), ("test_labels", lambda a: np.array([*a[:-1], -1])),
        ("class_names", lambda a: a[:1]),
    ],
)  # fmt: skip
def test_one_array_that_does_not_fit(generated, name, change):
    with np.load(generated / "toy-images" / toy_images.FILE) as arrays:
        content = dict(arrays)
    buffer = io.BytesIO()
    np.savez(buffer, **content | {name: change(content[name])})
    with (
        trusted(generated / "toy-images", toy_images.FILE, buffer.getvalue()),
        pytest.raises(UserError, match="not a generated image set"),
    ):
        load_images(generated, "toy-images")


@fault("a generated image set damaged at any place (fuzzed)", "`... is not a generated image set; ...`")
@settings(max_examples=100)
@given(edits)
def test_damaged_image_file(generated, changes):
    folder = generated / "toy-images"
    good = (folder / toy_images.FILE).read_bytes()
    content = edited(good, [(at - 2048, new) for at, new in changes])  # both ends, where a zip has its tables
    with trusted(folder, toy_images.FILE, content):
        try:
            loaded = load_images(generated, "toy-images")
        except UserError as error:
            assert "not a generated image set" in one_line(error)
            return
    assert loaded.train_images.dtype == np.uint8 and loaded.train_images.shape[1:] == (3, 32, 32)
    assert len(loaded.train_labels) == len(loaded.train_images) and len(loaded.test_labels) == len(loaded.test_images)


@pytest.mark.parametrize(
    "what",
    [
        param(
            "code",
            id="code",
            marks=fault("code in a generated image set", "`... is not a generated image set`, not run"),
        ),
        param(
            "bomb", id="bomb", marks=fault("a generated image set that swells", "`... is not a generated image set`")
        ),
    ],
)
def test_image_file_made_to_do_harm(generated, tmp_path, monkeypatch, what):
    folder = generated / "toy-images"
    with np.load(folder / toy_images.FILE) as arrays:
        content = dict(arrays)
    if what == "code":
        content["class_names"] = np.array([Evil(tmp_path / "ran")] * 10, dtype=object)
    if what == "bomb":
        monkeypatch.setattr(images, "MOST_UNPACKED", sum(array.nbytes for array in content.values()) - 1)
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    for evil in (buffer.getvalue(), b"not an archive", pickle.dumps({"train_images": 1})):
        with (
            trusted(folder, toy_images.FILE, evil),
            pytest.raises(UserError, match="not a generated image set"),
        ):
            load_images(generated, "toy-images")
    assert not (tmp_path / "ran").exists()


# --- the validation split ------------------------------------------------------------------------------------------


def test_split_indices():
    train, val = split_indices(50_000, 5_000, 0)
    assert len(train) == 45_000 and len(val) == 5_000 and train.dtype == val.dtype == np.int64
    np.testing.assert_array_equal(np.sort(np.concatenate([train, val])), np.arange(50_000))
    assert (np.diff(train) > 0).all() and (np.diff(val) > 0).all()
    again, other = split_indices(50_000, 5_000, 0)[1], split_indices(50_000, 5_000, 1)[1]
    assert (again == val).all() and not (other == val).all()
    assert abs(val.mean() - 25_000) < 1_000  # drawn from the whole range, not from one end
    # A recorded split: if it changed, new runs would train on validation images of old runs.
    assert split_indices(20, 5, 0)[1].tolist() == [2, 3, 11, 13, 15]
    assert [len(part) for part in split_indices(2, 1, 0)] == [1, 1]
    for size in (0, 20, -1):
        with pytest.raises(UserError, match=r"validation_size -?\d+ is not between 1 and 19 \(training images: 20\)"):
            split_indices(20, size, 0)
