"""The picture of an answer: Grad-CAM of the predicted class over the given picture, without overlaps."""

import numpy as np
import pytest
import torch
from PIL import Image

from classify_cases import classify, photo, said, saved, table
from layout import problems, written
from onepage.cls import augment
from onepage.cls.figures import classified
from onepage.cls.gradcam import GradCAM
from onepage.verification import provenance


def test_it_is_drawn_beside_the_answer(classifying, tmp_path):
    path = saved(photo(300, 200), tmp_path / "a photo.png")
    for name in ("one.png", "two.PDF"):
        result = classify(classifying, path, "--gradcam", tmp_path / name)
        assert result.exit_code == 0 and said(result) == [f"onepage: Grad-CAM in {tmp_path / name}"]
        assert result.stdout == classify(classifying, path).stdout
        (fields,) = provenance.read(tmp_path / name)
        assert fields["run"] == "cls/cifar10/quick/seed0"
        assert not provenance.mismatches(tmp_path / name, [fields], classifying.parents[4])
    with Image.open(tmp_path / "one.png") as image:
        best = table(classify(classifying, path, "--top", 1))[0][1]
        assert f"over the picture a photo.png, classified as {best} with " in image.text["Description"]


def test_maps_are_those_of_the_predicted_class(classifier, tmp_path):
    answer = classifier.classify(saved(photo(60, 60), tmp_path / "a.png"))
    maps = classifier.explain(answer)
    model, images = classifier.model, augment.normalise(answer.pixels)
    found = []
    for target in range(10):
        with GradCAM(model, [model.layer3, model.layer4]) as cam:
            found.append([values[0].numpy() for values in cam(images, torch.tensor([target]))])
    best = answer.ranked[0]
    assert [values.shape for values in maps.values()] == [(4, 4), (2, 2)]
    assert all(np.array_equal(a, b) for a, b in zip(maps.values(), found[best], strict=True))
    assert any(not np.array_equal(maps["layer3"], other[0]) for other in found)


SHORT, LONG = "a.png", "a very long name, with 🙂 and $x$ \\write18{x} \x1b[31m <b> % _" * 4


@pytest.mark.parametrize(
    ("side", "name", "generated"), [(1, SHORT, False), (32, LONG, True), (900, LONG, False), (900, SHORT, True)]
)
def test_no_text_is_cut_or_over_another(classifying, tmp_path, monkeypatch, side, name, generated):
    drawn = []
    monkeypatch.setattr(classified.Book, "write", lambda book, path, sheet, alt: drawn.append(sheet))
    make = classified.Book.sheet
    monkeypatch.setattr(
        classified.Book, "sheet", lambda book, *size: setattr(book, "generated", generated) or make(book, *size)
    )
    names = ["a class with a name as long as a sentence"] * 3 + [f"class {k}" for k in range(7)]
    maps = {"layer3": np.random.default_rng(0).random((8, 8), np.float32), "layer4": np.zeros((4, 4), np.float32)}
    shares = np.array([0.9991, *[0.0001] * 9])
    classified.draw(classifying, tmp_path / "a.png", name, photo(side, side), 32, shares, names, maps)
    (sheet,) = drawn
    words = written(sheet)
    assert any("no evidence" in word for word in words) and len(words) >= 16 and not problems(sheet)


@pytest.mark.fault("--gradcam of several images, or into no picture", "`--gradcam...`; exit status 2")
def test_undrawable_is_refused_before_anything_is_loaded(classifying, tmp_path):
    several = classify(classifying, "a", "b", "--gradcam", tmp_path / "a.png")
    other = classify(classifying, "a", "--gradcam", tmp_path / "picture.jpeg")
    for result, says in ((several, "--gradcam draws one picture"), (other, "ends in .png or .pdf, not 'picture.jpeg'")):
        assert result.exit_code == 2 and says in " ".join(result.stderr.split()) and not list(tmp_path.iterdir())


@pytest.mark.fault("--gradcam where no file can be, of an image refused", "one line; the answer stands")
def test_failed_picture_leaves_the_answer(classifying, tmp_path):
    path = saved(photo(30, 30), tmp_path / "a.png")
    result = classify(classifying, path, "--gradcam", path / "b.png")
    assert result.exit_code == 1 and table(result) and "cannot write" in said(result)[0]
    result = classify(classifying, tmp_path / "none", "--gradcam", tmp_path / "b.png")
    assert result.exit_code == 1 and len(said(result)) == 1 and not (tmp_path / "b.png").exists()
