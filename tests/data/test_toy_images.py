"""The generated images: always the same, too hard for a linear classifier, but learnable."""

import numpy as np
import pytest

from onepage.data import toy_images


@pytest.fixture(scope="module")
def sets():
    """6,000 training and 1,500 test images, drawn like those of the set itself."""
    return (*toy_images.generate(6_000, toy_images.SEED), *toy_images.generate(1_500, toy_images.SEED + 1))


def least_squares(features, labels, test_features, penalty):
    """Predictions of a linear classifier: ridge regression on one-hot targets."""
    features, test_features = (np.pad(f, ((0, 0), (0, 1)), constant_values=1) for f in (features, test_features))
    targets = np.eye(10, dtype=features.dtype)[labels] * 2 - 1
    gram = features.T @ features
    gram[np.diag_indices_from(gram)] += penalty
    return (test_features @ np.linalg.solve(gram, features.T @ targets)).argmax(axis=1)


def texture(images):
    """Statistics of texture that do not depend on position, orientation, colour or which colour is light.

    The windowed power spectrum provides the energy by radius, and the absolute values of its angular harmonics, which
    do not change if the image is rotated. The brightness provides skewness and kurtosis.
    """
    grey = images.astype(np.float32).mean(axis=1)
    grey -= grey.mean(axis=(1, 2), keepdims=True)
    deviation = grey.std(axis=(1, 2))
    skewness = np.abs((grey**3).mean(axis=(1, 2))) / deviation**3
    kurtosis = (grey**4).mean(axis=(1, 2)) / deviation**4
    window = np.hanning(32).astype(np.float32)
    power = np.abs(np.fft.fftshift(np.fft.fft2(grey * np.outer(window, window), s=(64, 64)), axes=(1, 2))) ** 2
    power /= power.sum(axis=(1, 2), keepdims=True)
    radii = np.array([2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24])[:, None]
    angles = np.arange(32) * np.pi / 32
    rows, columns = (np.rint(32 + radii * turn(angles)).astype(int) for turn in (np.sin, np.cos))
    circles = power[:, rows, columns]
    harmonics = np.abs(np.fft.rfft(circles, axis=2))[:, :, :7].reshape(len(images), -1)
    around = np.abs(np.fft.rfft(circles.sum(axis=1)))[:, 1:9]
    logs = [np.log(part + 1e-6) for part in (harmonics / 32, around, skewness[:, None] + 0.01, kurtosis[:, None])]
    return np.concatenate(logs, axis=1)


def gaussians(features, labels, test_features, shrinkage=0.2):
    """Predictions of one Gaussian per class, with covariance shrunk towards the identity."""
    middle, scale = features.mean(axis=0), features.std(axis=0)
    features, test_features = (features - middle) / scale, (test_features - middle) / scale
    scores = []
    for label in range(10):
        members = features[labels == label]
        covariance = (1 - shrinkage) * np.cov(members.T) + shrinkage * np.eye(features.shape[1])
        factor = np.linalg.cholesky(covariance)
        distance = np.linalg.solve(factor, (test_features - members.mean(axis=0)).T)
        scores.append(-0.5 * (distance**2).sum(axis=0) - np.log(np.diag(factor)).sum())
    return np.argmax(scores, axis=0)


def test_same_seed_same_bytes():
    first, second, other = (toy_images.generate(100, seed) for seed in (3, 3, 4))
    assert first[0].dtype == np.uint8 and first[0].shape == (100, 3, 32, 32) and first[1].dtype == np.int64
    assert first[0].tobytes() == second[0].tobytes() and first[1].tobytes() == second[1].tobytes()
    assert first[0].tobytes() != other[0].tobytes()


def test_two_writes_give_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(toy_images, "TRAIN", 30)
    monkeypatch.setattr(toy_images, "TEST", 20)
    first = toy_images.write(tmp_path / "a")
    monkeypatch.setattr("time.localtime", lambda *a: (2040, 1, 1, 0, 0, 0, 0, 1, 0))
    monkeypatch.setattr("time.time", lambda: 2.2e9)
    assert toy_images.write(tmp_path / "b") == first


def test_images_are_balanced_and_distinct():
    images, labels = toy_images.generate(600, toy_images.SEED)
    test_images, test_labels = toy_images.generate(150, toy_images.SEED + 1)
    assert np.bincount(labels).tolist() == [60] * 10 and np.bincount(test_labels).tolist() == [15] * 10
    assert len({image.tobytes() for image in np.concatenate([images, test_images])}) == 750
    # A typical image has clear contrast.
    assert np.median(images.astype(np.float32).std(axis=(2, 3))) > 20


@pytest.mark.slow
def test_images_are_out_of_reach_of_a_linear_classifier(sets):
    images, labels, test_images, test_labels = sets
    # No class is brighter or more colourful than another: all mean images are the same grey.
    means = np.array([images[labels == label].mean(axis=0) for label in range(10)])
    assert np.abs(means - means.mean(axis=0)).mean() < 4
    pixels, test_pixels = ((i.reshape(len(i), -1).astype(np.float32) / 255 - 0.5) for i in (images, test_images))
    accuracy = (least_squares(pixels, labels, test_pixels, penalty=1000.0) == test_labels).mean()
    assert 0.05 < accuracy < 0.35


@pytest.mark.slow
def test_images_are_learnable_from_texture(sets):
    images, labels, test_images, test_labels = sets
    predicted = gaussians(texture(images), labels, texture(test_images))
    assert (predicted == test_labels).mean() > 0.8
    for label, name in enumerate(toy_images.CLASS_NAMES):
        assert (predicted == test_labels)[test_labels == label].mean() > 0.6, name


def test_patch_keeps_most_of_each_pattern():
    rng = np.random.default_rng(0)
    pattern = np.arange(200, dtype=np.float32)[:, None, None] * np.ones((1, 32, 32), np.float32)
    patched = toy_images._patch(rng, pattern)
    kept = (patched == pattern).mean(axis=(1, 2))
    assert kept.min() >= 1 - (12 / 32) ** 2 and (kept < 1).mean() > 0.9
