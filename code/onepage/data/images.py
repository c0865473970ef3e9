"""Loading image sets: CIFAR-10's python batches, or the generated stand-in, as arrays.

Images are uint8 (N, 3, 32, 32), channels red, green, blue; labels int64 (N,). The CIFAR batches are pickles: their
bytes are hashed first, then read by an unpickler that allows only the three names that these files need.
"""

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onepage.data import ready, sources
from onepage.errors import UserError

TRAIN_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
MOST_UNPACKED = 1 << 30  # bytes; the generated set unpacks to far less
_SHAPES: dict[str, tuple[type, tuple[int, ...]]] = {  # of the generated set: dtype, and shape after the first axis
    "train_images": (np.uint8, (3, 32, 32)),
    "train_labels": (np.int64, ()),
    "test_images": (np.uint8, (3, 32, 32)),
    "test_labels": (np.int64, ()),
}


@dataclass(frozen=True)
class ImageSet:
    """An image set in memory; ``digest`` covers exactly the files that it was read from."""

    name: str
    generated: bool
    digest: str
    class_names: tuple[str, ...]
    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def load_images(data_dir: Path, name: str) -> ImageSet:
    """Load "cifar10" or "toy-images" from ``data_dir``.

    Raises UserError when the set is missing, incomplete or corrupt, naming the file and the remedy.
    """
    if name not in ("cifar10", "toy-images"):
        raise UserError(f"{name} is not an image set; choose cifar10 or toy-images")
    found, folder = sources.get(name), Path(data_dir) / name
    record = ready.read(folder / found.ready, found.digests)
    return _load_generated(folder, record) if found.generator else _load_cifar10(folder, record)


def split_indices(n: int, validation_size: int, split_seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split range(n) at random into training and validation indices: int64, sorted, disjoint, together all indices.

    Drawn from the raw 64-bit stream of PCG64, which NumPy keeps the same in every version.
    Raises UserError unless 0 < validation_size < n.
    """
    if not 0 < validation_size < n:
        raise UserError(f"validation_size {validation_size} is not between 1 and {n - 1} (training images: {n})")
    order = np.argsort(np.random.PCG64(split_seed).random_raw(n), kind="stable").astype(np.int64)
    return np.sort(order[validation_size:]), np.sort(order[:validation_size])


def _load_cifar10(folder: Path, record: ready.Ready) -> ImageSet:
    batches = {batch: _unpickle(folder, batch, record.files[batch]) for batch in (*TRAIN_BATCHES, "test_batch")}
    names = _unpickle(folder, "batches.meta", record.files["batches.meta"]).get("label_names")
    if not isinstance(names, list) or len(names) != 10:
        raise UserError(f"{folder / 'batches.meta'} does not name ten classes; {ready.REMEDY}")
    parts = {batch: _batch(folder / batch, value) for batch, value in batches.items()}
    test_images, test_labels = parts.pop("test_batch")
    return ImageSet(
        name=record.name,
        generated=False,
        digest=record.digest,
        class_names=tuple(str(name) for name in names),
        train_images=np.concatenate([images for images, _ in parts.values()]),
        train_labels=np.concatenate([labels for _, labels in parts.values()]),
        test_images=test_images,
        test_labels=test_labels,
    )


def _batch(path: Path, value: dict[str, Any]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and labels of one batch, their shapes checked."""
    images, labels = value.get("data"), value.get("labels")
    if (
        not isinstance(images, np.ndarray)
        or images.dtype != np.uint8
        or not isinstance(labels, list)
        or images.shape != (len(labels), 3 * 32 * 32)
        or not all(type(label) is int and 0 <= label < 10 for label in labels)
    ):
        raise UserError(f"{path} is not a CIFAR-10 batch; {ready.REMEDY}")
    return np.ascontiguousarray(images).reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def _load_generated(folder: Path, record: ready.Ready) -> ImageSet:
    name = next(iter(record.files), "")
    content = ready.read_verified(folder, name, record.files.get(name, ""))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:  # read_verified checks the file, not its unpacked size
            if sum(member.file_size for member in members.infolist()) > MOST_UNPACKED:
                raise ValueError("unpacks to far more than it should")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            loaded = {key: arrays[key] for key in ("class_names", *_SHAPES)}
        classes = [str(label) for label in loaded["class_names"]]
        for key, (dtype, shape) in _SHAPES.items():
            if loaded[key].dtype != dtype or loaded[key].shape[1:] != shape:
                raise ValueError(f"{key} is {loaded[key].dtype} {loaded[key].shape}")
        for part in ("train", "test"):
            labels = loaded[f"{part}_labels"]
            if len(labels) != len(loaded[f"{part}_images"]) or not np.isin(labels, range(len(classes))).all():
                raise ValueError(f"{part}_labels do not fit")
    except Exception as error:  # damaged zip and npy files raise many kinds
        raise UserError(f"{folder / name} is not a generated image set; {ready.REMEDY}") from error
    arrays_only = {key: loaded[key] for key in _SHAPES}
    return ImageSet(name=record.name, generated=True, digest=record.digest, class_names=tuple(classes), **arrays_only)


class _BatchUnpickler(pickle.Unpickler):
    """Unpickles dicts, lists, numbers, text and uint8 arrays; any other name in the file is refused."""

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
            ("numpy", "ndarray"): np.ndarray,
            # The files pass 0 and 1 where NumPy now wants booleans.
            ("numpy", "dtype"): lambda code, align=0, copy=1: np.dtype(code, align=bool(align), copy=bool(copy)),
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR-10 batch")
        return known[module, name]


def _unpickle(folder: Path, name: str, sha256: str) -> dict[str, Any]:
    """One CIFAR-10 pickle (written by Python 2, hence latin1) as a dict; digest first."""
    content = ready.read_verified(folder, name, sha256)
    try:
        value = _BatchUnpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # unpickling damaged bytes can raise nearly anything
        raise UserError(f"{folder / name} cannot be read ({str(error)!r:.100}); {ready.REMEDY}") from error
    if not isinstance(value, dict):
        raise UserError(f"{folder / name} is not a CIFAR-10 file; {ready.REMEDY}")
    return value
