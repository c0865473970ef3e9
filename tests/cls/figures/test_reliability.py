"""The reliability diagram: the bins of metrics.json."""

import pytest

from drawing import metrics_of


def test_the_diagram_shows_the_bins_there_are(copy, draw):
    run = copy("cls")
    axes = draw(run, "reliability").sheets["reliability_cls"].figure.axes
    metrics = metrics_of(run)
    for number, part in ((0, metrics["test"]), (2, metrics["test"]["calibrated"])):
        full = [row for row in part["reliability"] if row["n"]]
        (points,) = [line for line in axes[number].lines if line.get_marker() in ("o", "s")]
        assert points.get_xdata() == pytest.approx([100 * row["confidence"] for row in full])
        assert points.get_ydata() == pytest.approx([100 * row["accuracy"] for row in full])
        heights = [bar.get_height() for bar in axes[number + 1].patches]
        assert heights == pytest.approx([100 * row["n"] / 2000 for row in part["reliability"]])
