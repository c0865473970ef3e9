"""Test-time augmentation averages the image and its mirror image."""

import torch

from onepage.cls import scores, tta


def test_score_is_of_the_mean_over_both_views():
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8, generator=generator)
    weights = torch.randn(10, 3 * 8 * 8, generator=generator)
    seen = []

    def predict(view):
        seen.append(view)
        return view.float().flatten(1) @ weights.T

    logits = predict(images)
    # the labels are the classes of the mean over the views, from a plain loop: all predictions must be right
    mirrored = torch.stack([row.flip(-1) for row in images.flatten(0, 2)]).view_as(images)
    means = torch.stack([logits, predict(mirrored)]).mean(0)
    labels = means.argmax(1).numpy()
    assert (logits.argmax(1).numpy() != labels).any()
    seen.clear()
    found = tta.score(predict, images, logits, labels)
    assert found["accuracy"] == 1 and found["accuracy_interval"] == scores.wilson_interval(200, 200)
    assert len(seen) == 1 and torch.equal(seen[0], mirrored)  # the unchanged image is not predicted again
    assert "mirror" in found["method"]
