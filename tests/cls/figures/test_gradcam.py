"""Grad-CAM pictures: colour means evidence, the image stays visible, classes and confidences are named."""

import numpy as np
import pytest

from drawing import alt_of
from edits import edited
from layout import problems
from onepage.cls import draw as cls
from onepage.cls.figures import gradcam
from onepage.cls.figures.gradcam import PIXELS, enlarge, overlay
from onepage.figures.sheet import Book
from onepage.figures.style import onepage_style
from printed import text_of
from synthetic_run import CIFAR_CLASSES, write_cls_run

DRAW_CAMS = gradcam.draw_all  # the fixture ``draw`` leaves them out


def test_no_text_meets_another_or_the_edge(copy, draw):
    run = copy("cls")
    # a mistake, a correct answer, and a map without evidence are among the first four
    explain = {key: values if key == "layers" else values[:4] for key, values in np.load(run / "explain.npz").items()}
    for names in (CIFAR_CLASSES, ("automobile " * 9,) * 10):
        book = Book(run, run / "figures")
        book.metrics["class_names"] = list(names)
        with onepage_style():
            DRAW_CAMS(book, explain)
        assert set(draw.sheets) == {f"gradcam_{k}" for k in range(4)}
        for name, sheet in draw.sheets.items():
            assert not problems(sheet), name


def test_overlay_is_coloured_only_where_there_is_evidence():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    nothing = overlay(image, enlarge(np.zeros((4, 4), np.float32)))
    assert nothing.shape == (PIXELS, PIXELS, 3)
    assert (nothing == nothing[..., :1]).all()
    cam = np.zeros((4, 4), np.float32)
    cam[0, 3] = 1  # top right
    spread = np.ptp(overlay(image, enlarge(cam)).astype(int), axis=-1)
    half = PIXELS // 2
    assert spread[:half, half:].max() > 80
    assert spread[half:, :half].max() == 0


def test_mistakes_stand_in_the_columns_of_their_grid(made, drawn):
    """Image, evidence for the prediction and for the truth, in whole cells, align with the first four of the grid."""
    explain, drawn = dict(np.load(made / "cls" / "explain.npz")), drawn("cls", "_grids", "gradcam")
    sheet, grid = drawn.sheets["gradcam_mistakes"], drawn.sheets["miscls_grid"]
    shown = [image for axes in sheet.figure.axes for image in axes.images][:12]
    left = [round(image.get_extent()[0], 3) for image in shown]
    below = [image for axes in grid.figure.axes for image in axes.images][:4]
    assert left == [round(image.get_extent()[0], 3) for image in below] * 3
    assert all(np.array_equal(a.get_array(), b.get_array()) for a, b in zip(shown[:4], below, strict=True))
    cam = explain["explored_cam_layer3_true"][0] / np.float32(255)
    heat = gradcam.in_cells(cam)
    assert len(np.unique(heat[:, 0])) <= 8 and (heat[:24, :24] == cam[0, 0]).all()
    assert not problems(sheet)
    assert drawn.alt["gradcam_mistakes"].startswith("The 4 most confident mistakes with Grad-CAM of layer3 (8×8 cells)")


def test_the_image_shows_through_all_evidence():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 255
    luminance = [
        overlay(image, enlarge(np.full((2, 2), share, np.float32))).mean(axis=0) @ [0.2126, 0.7152, 0.0722]
        for share in np.linspace(0, 1, 11)
    ]
    for column in (0, PIXELS - 1):
        assert (np.diff([row[column] for row in luminance]) < 0).all()
    assert all(row[-1] > 1.5 * row[0] for row in luminance)


def test_maps_are_enlarged_bilinearly():
    enlarged = enlarge(np.array([[0, 1], [0, 1]], np.float32))
    places = (np.arange(PIXELS) + 0.5) / PIXELS
    expected = np.clip(2 * places - 0.5, 0, 1)  # from the centre of one cell, at a quarter, to the next centre
    assert np.abs(enlarged - expected).max() < 1e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_classes_confidence_sizes_and_upsampling_are_said(tmp_path):
    run = write_cls_run(tmp_path / "run")
    with edited(run / "explain.npz") as arrays:
        arrays["cam_layer3_predicted"][0] = 0  # no evidence for the class
        arrays["cam_layer4_predicted"][0] = 1  # equal evidence everywhere
        arrays["labels"][0], arrays["predicted"][0], arrays["predicted"][1] = 3, 5, arrays["labels"][1]
        arrays["probabilities"][0] = [0.01, 0.01, 0.01, 0.02, 0.05, 0.7, 0.08, 0.06, 0.05, 0.01]
    cls.draw(run, tmp_path / "figures")
    wrong, right = (text_of(tmp_path / "figures" / f"gradcam_{k}.pdf") for k in (0, 1))
    for text in (wrong, right):
        assert all(part in text for part in ("layer3, 8×8", "layer4, 4×4", "bilinear upsampling", "line at half"))
        assert "each scaled to its maximum" in text
    assert "predicted: dog 70 %" in wrong and "true: cat 2 %" in wrong
    assert wrong.count("%") == 2  # each confidence appears once
    assert wrong.count("no evidence") == 1
    assert "right: " in right and "true: " not in right and right.count("%") == 1
    alt = alt_of(tmp_path / "figures")
    assert "predicted dog with 70 % (wrong, the true class cat got 2 %)" in alt["gradcam_0"]
    assert "layer3 (8×8) for dog: none" in alt["gradcam_0"] and "bilinearly enlarged" in alt["gradcam_0"]
