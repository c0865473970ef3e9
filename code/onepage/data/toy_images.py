"""Generated stand-in for CIFAR-10: ten classes of small textured images, 3x32x32.

The classes are textures: stripes, waves, zigzags, checks, bricks, nets (thin lines), dots, rings, rays and blobs.
Everything else is drawn at random for each image, independently of its class: phase or centre, orientation, period, two
colours and which of them is lighter, a shading across the image, noise, and a patch (7 to 12 pixels wide) with the
texture of another image. So the mean image of every class is the same grey, and a linear classifier on pixels stays
near chance. Most images are easy to recognise, also at half the size (periods are about 7 to 12 pixels); some are hard.

Pure NumPy from PCG64, all images of a class at once. The same NumPy on the same kind of processor gives the same bytes
(sine and tanh may differ in the last bit elsewhere); the data digest identifies the data of a run.
"""

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onepage import files

VERSION = 1  # raise it when the images change: sets on disk are then generated again
SEED = 0
TRAIN, TEST = 10_000, 2_000
DISK_BYTES = (TRAIN + TEST) * (3 * 32 * 32 + 8)
FILE = "images.npz"
SIZE = 32

Floats = NDArray[np.float32]


def write(folder: Path) -> dict[str, str]:
    """Generate the set and write it to ``folder``; returns {file name: SHA-256}."""
    arrays: dict[str, NDArray] = {}
    arrays["train_images"], arrays["train_labels"] = generate(TRAIN, SEED)
    arrays["test_images"], arrays["test_labels"] = generate(TEST, SEED + 1)
    content = _npz({**arrays, "class_names": np.array(CLASS_NAMES)})
    files.write_bytes(folder / FILE, content)
    return {FILE: hashlib.sha256(content).hexdigest()}


def generate(n: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """``n`` images, uint8 (n, 3, 32, 32), in random order, and their labels, int64 (n,), as many of each class."""
    rng = np.random.Generator(np.random.PCG64(seed))
    labels = rng.permutation(np.arange(n, dtype=np.int64) % len(CLASS_NAMES))
    pattern = np.empty((n, SIZE, SIZE), np.float32)
    for label, draw in enumerate(_PATTERNS.values()):
        members = np.flatnonzero(labels == label)
        pattern[members] = draw(rng, len(members))
    return _colour(rng, _patch(rng, pattern)), labels


def _patch(rng: np.random.Generator, pattern: Floats) -> Floats:
    """In each pattern, replace one square by the same square of another, drawn from all classes."""
    n = len(pattern)
    side = rng.integers(7, 13, n)
    top, left = (rng.random((2, n)) * (SIZE - side + 1)).astype(np.int64)
    across = np.arange(SIZE)
    rows = (across >= top[:, None]) & (across < (top + side)[:, None])
    columns = (across >= left[:, None]) & (across < (left + side)[:, None])
    return np.where(rows[:, :, None] & columns[:, None, :], pattern[rng.permutation(n)], pattern)


def _uniform(rng: np.random.Generator, n: int, low: float, high: float) -> Floats:
    """(n, 1, 1) numbers: one for each image."""
    return rng.uniform(low, high, (n, 1, 1)).astype(np.float32)


def _grid(rng: np.random.Generator, n: int, margin: float = 0.0) -> tuple[Floats, Floats]:
    """Coordinates (n, 32, 32) in pixels, turned at random about a random point of the image.

    ``margin``: how far from the edges that point stays.
    """
    angle = _uniform(rng, n, 0, 2 * np.pi)
    across = np.arange(SIZE, dtype=np.float32)
    x = across[None, None, :] - _uniform(rng, n, margin, SIZE - margin)
    y = across[None, :, None] - _uniform(rng, n, margin, SIZE - margin)
    return np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x


def _edge(value: Floats, softness: float = 0.35) -> Floats:
    """A smooth step from -1 to 1 where ``value`` changes its sign: an antialiased border."""
    return np.tanh(value / np.float32(softness))


def _frequency(rng: np.random.Generator, n: int, low: float = 7.0, high: float = 12.0) -> Floats:
    """Radians per pixel, for periods between ``low`` and ``high`` pixels."""
    return np.float32(2 * np.pi) / _uniform(rng, n, low, high)


def _triangle(phase: Floats) -> Floats:
    """A triangle wave of period 2 pi between -1 and 1."""
    return np.abs((phase / np.float32(np.pi)) % 2 - 1) * 2 - 1


def _stripes(rng: np.random.Generator, n: int) -> Floats:
    u, _ = _grid(rng, n)
    return _edge(np.sin(_frequency(rng, n) * u))


def _bent(rng: np.random.Generator, n: int, wave: Callable[[Floats], Floats], low: float, high: float) -> Floats:
    """Stripes bent by a ``wave`` along them, whose period is between ``low`` and ``high`` pixels."""
    u, v = _grid(rng, n)
    bend = _uniform(rng, n, 3.0, 4.5) * wave(_frequency(rng, n, low, high) * v)
    return _edge(np.sin(_frequency(rng, n) * (u + bend)))


def _checks(rng: np.random.Generator, n: int) -> Floats:
    u, v = _grid(rng, n)
    f = _frequency(rng, n, 9, 14)
    return _edge(np.sin(f * u) * np.sin(f * v), 0.2)


def _bricks(rng: np.random.Generator, n: int) -> Floats:
    u, v = _grid(rng, n)
    height = _uniform(rng, n, 6, 8)
    row = np.floor(v / height)
    along = (u / (2 * height) + row / 2) % 1  # every other row is shifted by half a brick
    joint = np.minimum(np.minimum(along, 1 - along) * 2 * height, np.abs(v - (row + 0.5) * height) * -1 + height / 2)
    return _edge(joint - np.float32(1.0), 0.5)


def _nets(rng: np.random.Generator, n: int) -> Floats:
    u, v = _grid(rng, n)
    f = _frequency(rng, n, 8, 12)
    return _edge(np.maximum(np.cos(f * u), np.cos(f * v)) - np.float32(0.75), 0.15)


def _dots(rng: np.random.Generator, n: int) -> Floats:
    u, v = _grid(rng, n)
    f = _frequency(rng, n, 8, 12)
    return _edge(np.cos(f * u) + np.cos(f * v) - np.float32(0.75))


def _rings(rng: np.random.Generator, n: int) -> Floats:
    u, v = _grid(rng, n, margin=8)
    return _edge(np.sin(_frequency(rng, n) * np.hypot(u, v) + _uniform(rng, n, 0, 2 * np.pi)))


def _rays(rng: np.random.Generator, n: int) -> Floats:
    u, v = _grid(rng, n, margin=8)
    count = rng.integers(5, 9, (n, 1, 1)).astype(np.float32)
    return _edge(np.sin(count * np.arctan2(v, u)))


def _blobs(rng: np.random.Generator, n: int) -> Floats:
    """Isotropic noise: white noise, low-passed in the Fourier domain, cut at zero."""
    frequency = np.fft.fftfreq(SIZE)
    radius = np.hypot(frequency[:, None], frequency[None, : SIZE // 2 + 1])
    passed = np.exp(-((radius / 0.09) ** 2))
    spectrum = np.fft.rfft2(rng.standard_normal((n, SIZE, SIZE), dtype=np.float32))
    noise = np.fft.irfft2(spectrum * passed, s=(SIZE, SIZE)).astype(np.float32)
    return _edge(noise / noise.std(axis=(1, 2), keepdims=True), 0.3)


_PATTERNS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "stripes": _stripes,
    "waves": lambda rng, n: _bent(rng, n, np.sin, 20, 26),
    "zigzags": lambda rng, n: _bent(rng, n, _triangle, 11, 15),
    "checks": _checks,
    "bricks": _bricks,
    "nets": _nets,
    "dots": _dots,
    "rings": _rings,
    "rays": _rays,
    "blobs": _blobs,
}
CLASS_NAMES = tuple(_PATTERNS)


def _colour(rng: np.random.Generator, pattern: Floats) -> NDArray[np.uint8]:
    """Colour (n, 32, 32) patterns in [-1, 1]: two colours, either of which is lighter, shading and noise."""
    n = len(pattern)
    middle = rng.uniform(0.35, 0.65, (n, 3)).astype(np.float32)
    # The colours differ in brightness by `contrast` and in hue by `tint`; the sign decides which is light.
    sign = np.where(rng.random((n, 1)) < 0.5, np.float32(-1), np.float32(1))
    contrast = rng.uniform(0.07, 0.25, (n, 1)).astype(np.float32)
    tint = rng.uniform(-0.08, 0.08, (n, 3)).astype(np.float32)
    half = sign * contrast + tint - tint.mean(axis=1, keepdims=True)
    shade_x, shade_y = _uniform(rng, n, -0.15, 0.15), _uniform(rng, n, -0.15, 0.15)
    across = np.linspace(-1, 1, SIZE, dtype=np.float32)
    shade = shade_x * across[None, None, :] + shade_y * across[None, :, None]
    images = rng.standard_normal((n, 3, SIZE, SIZE), dtype=np.float32)
    images *= rng.uniform(0.03, 0.12, (n, 1, 1, 1)).astype(np.float32)
    images += half[:, :, None, None] * pattern[:, None] + shade[:, None] + middle[:, :, None, None]
    return np.clip(np.rint(images * np.float32(255)), 0, 255).astype(np.uint8)


def _npz(arrays: dict[str, NDArray]) -> bytes:
    """The arrays as an .npz without times, so that the same arrays give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), member.getvalue())
    return buffer.getvalue()
