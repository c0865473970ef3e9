"""The evaluation matches its definition: the logits are a known function of the pixels, and all images differ."""

import json
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from onepage.cls import augment, evaluate, scores
from onepage.cls import train as loop
from onepage.cls.gradcam import GradCAM
from onepage.data.images import ImageSet, split_indices
from small_training import CLS, narrow

TESTS, TRAINING = 60, 96


@pytest.fixture(scope="module")
def images() -> ImageSet:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (TRAINING + TESTS, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, TRAINING + TESTS)
    first, last = slice(TRAINING), slice(TRAINING, None)
    names = tuple("abcdefghij")
    return ImageSet("toy-images", True, "d" * 64, names, pixels[first], labels[first], pixels[last], labels[last])


def planted(images: ImageSet, size: int) -> Callable[..., Tensor]:
    """Logits from pixels alone: right for half of the test images, confidently, and for a quarter of the others."""
    random = np.random.default_rng(2).normal(size=(10, 3 * size * size)) / 900

    def predict(model: torch.nn.Module, pixels: Tensor, precision: str) -> Tensor:
        assert not model.training and precision == "fp32"
        logits = pixels.flatten(1).double().numpy() @ random.T
        for group, labels, right, hint in (
            (images.train_images, images.train_labels, 4, 2.0),
            (images.test_images, images.test_labels, 2, 6.0),
        ):
            known = augment.resize(torch.from_numpy(group.copy()), size)
            for k, image in enumerate(pixels):
                place = (known == image).flatten(1).all(1).nonzero().flatten().tolist()
                if place:
                    logits[k, (labels[place[0]] + (place[0] % right > 0)) % 10] += hint
        return torch.from_numpy(logits).float()

    return predict


@pytest.fixture(scope="module")
def evaluated(images: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    run = tmp_path_factory.mktemp("run")
    block = {"task": "cls", "set": "toy-images", "generated": True, "profile": "own", "seed": 0, "device": "cpu"}
    block |= {"precision": "fp32", "threads": 1, "data_digest": images.digest}
    size = CLS.stages[-1].image_size
    predict = planted(images, size)
    with narrow(), pytest.MonkeyPatch.context() as patch:
        loop.train(CLS, images, run, block)
        patch.setattr(evaluate, "predict", predict)
        metrics = evaluate.evaluate(images, run, {}, say=lambda line: None)
        model, *_ = evaluate.load(run, 10)
    pixels = augment.resize(torch.from_numpy(images.test_images.copy()), size)
    _, held_out = split_indices(TRAINING, CLS.validation_size, CLS.split_seed)
    val = augment.resize(torch.from_numpy(images.train_images[held_out]), size)
    return SimpleNamespace(
        run=run,
        metrics=metrics,
        model=model,
        pixels=pixels,
        logits=predict(model, pixels, "fp32").numpy(),
        val_logits=predict(model, val, "fp32").numpy(),
        val_labels=images.train_labels[held_out],
        predictions=dict(np.load(run / "predictions.npz")),
        explain=dict(np.load(run / "explain.npz")),
    )


def test_scores_are_those_of_the_single_images(evaluated: SimpleNamespace, images: ImageSet) -> None:
    test, logits, labels = evaluated.metrics["test"], evaluated.logits, images.test_labels
    assert (evaluated.predictions["logits"] == logits).all() and (evaluated.predictions["labels"] == labels).all()
    right = logits.argmax(1) == labels
    assert test["n"] == TESTS and test["correct"] == right.sum() and 0.2 < test["accuracy"] == right.mean() < 0.8
    for k, row in enumerate(test["per_class"]):
        assert row["recall"] == pytest.approx(right[labels == k].mean())
    assert test["tta"]["accuracy"] != test["accuracy"]  # the planted logits know only the unchanged images
    assert json.loads((evaluated.run / "metrics.json").read_text()) == evaluated.metrics


def test_the_temperature_is_fitted_on_validation_images(evaluated: SimpleNamespace, images: ImageSet) -> None:
    found = evaluated.metrics["test"]["calibrated"]
    assert found["temperature"] == scores.fit_temperature(evaluated.val_logits, evaluated.val_labels)
    on_test = scores.fit_temperature(evaluated.logits, images.test_labels)
    assert abs(found["temperature"] / on_test - 1) > 0.1
    assert found == scores.calibrated(evaluated.logits, images.test_labels, found["temperature"])
    validation = (evaluated.val_logits.argmax(1) == evaluated.val_labels).mean()
    assert evaluated.metrics["val"]["accuracy"] == validation != evaluated.metrics["test"]["accuracy"]


def test_grids_hold_the_surest_right_and_wrong(evaluated: SimpleNamespace, images: ImageSet) -> None:
    kept, labels = evaluated.predictions, images.test_labels
    sure = torch.from_numpy(evaluated.logits).double().softmax(1).max(1).values.numpy()
    right = evaluated.logits.argmax(1) == labels
    wrong = sorted(np.flatnonzero(~right), key=lambda k: -sure[k])[: evaluate.GRID]
    assert kept["wrong_index"].tolist() == wrong
    shown = kept["correct_index"]
    assert right[shown].all()
    classes = set(labels[right])
    first = shown[: len(classes)]
    assert set(labels[first]) == classes
    assert all(sure[k] == sure[right & (labels == labels[k])].max() for k in first)
    for kind in ("correct", "wrong"):
        pictures = images.test_images[kept[f"{kind}_index"]].transpose(0, 2, 3, 1)
        assert (kept[f"{kind}_images"] == pictures).all()


def test_grad_cam_explains_wrong_and_right_in_turn(evaluated: SimpleNamespace, images: ImageSet) -> None:
    explain, predicted = evaluated.explain, evaluated.logits.argmax(1)
    index = explain["index"]
    assert len(index) == evaluate.EXPLAINED
    assert (predicted[index] == images.test_labels[index]).tolist() == [False, True] * (evaluate.EXPLAINED // 2)
    assert (explain["labels"] == images.test_labels[index]).all() and (explain["predicted"] == predicted[index]).all()
    assert (explain["images"] == images.test_images[index].transpose(0, 2, 3, 1)).all()
    softmax = torch.from_numpy(evaluated.logits[index]).double().softmax(1).numpy()
    assert explain["probabilities"] == pytest.approx(softmax, abs=1e-6)
    network = evaluated.model
    pixels = augment.normalise(evaluated.pixels[index])
    with GradCAM(network, [network.layer3, network.layer4]) as cam:
        for kind, classes in (("true", explain["labels"]), ("predicted", explain["predicted"])):
            for layer, maps in zip(("layer3", "layer4"), cam(pixels, classes.tolist()), strict=True):
                assert explain[f"cam_{layer}_{kind}"] == pytest.approx(np.asarray(maps), abs=1e-5)


def test_explored_images_are_mistakes_then_right_ones(
    evaluated: SimpleNamespace, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain, labels, predicted = evaluated.explain, images.test_labels, evaluated.logits.argmax(1)
    sure = torch.from_numpy(evaluated.logits).double().softmax(1).max(1).values.numpy()
    order = sorted(range(TESTS), key=lambda k: -sure[k])
    wrong = [k for k in order if predicted[k] != labels[k]]
    right = [k for c in range(10) for k in order if predicted[k] == labels[k] == c]
    index = explain["explored_index"]
    assert index.tolist() == [*wrong, *right] and len(wrong) > 5 and len(right) > 5
    assert (explain["explored_images"] == images.test_images[index].transpose(0, 2, 3, 1)).all()
    assert explain["explored_mapped"].tolist() == list(range(len(index)))  # fewer than the limit
    # with lower limits, fewer images are kept, and they are explained in several batches
    for name, few in (("MISTAKES", 5), ("MAPPED", 3), ("RIGHT", 1), ("BATCH", 2)):
        monkeypatch.setattr(evaluate, name, few)
    surest = np.array([k for k in order if k in right])
    kept = evaluate.explored(evaluated.model, images, evaluated.pixels, predicted, np.array(wrong), surest)
    first = [next(k for k in right if labels[k] == c) for c in sorted({int(labels[k]) for k in right})]
    assert kept["explored_index"].tolist() == [*wrong[:5], *first]
    assert kept["explored_mapped"].tolist() == [0, 1, 2, *range(5, 5 + len(first))]
    places = [index.tolist().index(k) for k in kept["explored_index"][kept["explored_mapped"]]]
    maps = {f"explored_cam_{layer}_{of}" for layer in ("layer3", "layer4") for of in ("predicted", "true")}
    assert {name for name in explain if "explored_cam" in name} == maps
    for name in maps:
        assert explain[name].dtype == kept[name].dtype == np.uint8 and explain[name].max() == 255
        assert np.abs(kept[name].astype(int) - explain[name][places]).max() <= 1


def test_spread_takes_one_of_each_class_first():
    labels = np.array([0, 0, 0, 0, 1, 2])
    assert evaluate.spread(np.array([0, 1, 2, 3, 4, 5]), labels, 4).tolist() == [0, 4, 5, 1]


def test_interleave_ends_with_the_rest_of_the_longer():
    assert evaluate.interleave(np.array([1, 2, 3]), np.array([9])).tolist() == [1, 9, 2, 3]
