"""The classifier for people: it treats a picture of any size as evaluation treats a test image."""

import numpy as np
import pytest
import torch

from classify_cases import TEMPERATURE, classify, photo, said, saved, table
from onepage.cls import augment, scores
from onepage.cls.train import predict
from onepage.training import checkpoint
from small_training import Narrow
from synthetic_run import CIFAR_CLASSES


def test_a_test_image_gets_what_evaluation_gives_it(classifying, tmp_path):
    images = [photo(32, 32, seed) for seed in range(5)]
    paths = [saved(image, tmp_path / f"{k}.png") for k, image in enumerate(images)]
    result = classify(classifying, *paths, "--top", 10)
    assert result.exit_code == 0 and not said(result)
    weights, _ = checkpoint.load_model(classifying / "model.pt")
    model = Narrow()
    model.load_state_dict(weights)
    tensor = torch.from_numpy(np.stack([np.asarray(image).transpose(2, 0, 1) for image in images]))
    logits = predict(model, augment.resize(tensor, 16), "fp32").numpy()
    expected = scores.softmax(logits.astype(np.float64) / TEMPERATURE)
    assert len({int(row.argmax()) for row in expected}) > 1  # otherwise a model that ignores the image would pass
    rows = table(result)
    for k, path in enumerate(paths):
        own = rows[10 * k : 10 * k + 10]
        assert {name for name, _, _ in own} == {str(path)}
        assert {label: share for _, label, share in own} == pytest.approx(
            dict(zip(CIFAR_CLASSES, expected[k], strict=True)), abs=1e-4
        )
        assert [share for *_, share in own] == sorted((share for *_, share in own), reverse=True)


@pytest.mark.parametrize("size", [(1, 1), (1000, 20)])
def test_any_size_gets_an_answer(classifier, tmp_path, size):
    answer = classifier.classify(saved(photo(*size), tmp_path / "a.png"))
    assert answer.pixels.shape == (1, 3, 16, 16) and answer.pixels.dtype == torch.uint8
    assert answer.probabilities.sum() == pytest.approx(1) and answer.picture.size == (min(size),) * 2
