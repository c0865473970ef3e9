"""Views of test images: each shift moves all pixels, and each score averages its views."""

import numpy as np
import pytest
import torch

from onepage.cls import scores, tta


@pytest.mark.parametrize(("down", "right"), [(1, 1), (-1, -1), (2, 0), (0, -1), (0, 0)])
def test_shift_moves_every_pixel_and_reflects_the_rim(down, right):
    images = torch.randint(0, 256, (2, 3, 6, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    moved = tta.shift(images, down, right)
    assert moved.dtype == torch.uint8 and moved.shape == images.shape

    def source(place, size):  # reflection at the border pixel, which is not repeated
        return -place if place < 0 else 2 * (size - 1) - place if place >= size else place

    for y in range(6):
        for x in range(7):
            assert torch.equal(moved[:, :, y, x], images[:, :, source(y - down, 6), source(x - right, 7)])


def test_both_scores_are_means_over_their_views():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8, generator=generator)
    weights = torch.randn(10, 3 * 8 * 8, generator=generator)
    seen = []

    def predict(view):
        seen.append(view)
        return view.float().flatten(1) @ weights.T

    logits = predict(images)
    # the labels are the classes of the mean over the views, from a plain loop: all predictions must be right
    mirrored = [images, torch.flip(images, [3])]
    moved = [tta.shift(view, step, step) for view in mirrored for step in (1, -1)]
    for name, views in (("tta", mirrored), ("tta_shifts", mirrored + moved)):
        labels = torch.stack([predict(view) for view in views]).mean(0).argmax(1).numpy()
        seen.clear()
        found = tta.score(predict, images, logits, labels)
        assert found[name]["accuracy"] == 1 and found["tta"] != found["tta_shifts"]
        assert found[name]["accuracy_interval"] == scores.wilson_interval(200, 200)
        assert len(seen) == 5  # the unchanged image is not predicted again
    assert "mirror" in found["tta"]["method"] and "six views" in found["tta_shifts"]["method"]


def test_moved_views_help_a_corner_classifier():
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    images[:, :, 1, 1] = 255  # one pixel away from the corner that decides

    def predict(view):
        lit = view[:, 0, 0, 0].float()
        return torch.stack([torch.full_like(lit, 30.0), lit], dim=1)

    found = tta.score(predict, images, predict(images), np.ones(4, dtype=np.int64))
    assert (found["tta"]["accuracy"], found["tta_shifts"]["accuracy"]) == (0.0, 1.0)
