"""Scores equal values that are published or worked out by hand."""

import numpy as np
import pytest

from onepage.cls import scores


def test_wilson_interval_is_the_published_one_within_bounds():
    # Newcombe 1998, table I, method 3: 81 of 263
    assert scores.wilson_interval(81, 263) == pytest.approx([0.2553, 0.3662], abs=5e-5)
    for correct in (0, 10):
        low, high = scores.wilson_interval(correct, 10)
        assert 0 <= low < high <= 1
    assert scores.wilson_interval(0, 0) == [0.0, 1.0]  # nothing is known


def test_calibration_error_by_hand():
    # ten predictions at confidence 0.8, six of them right: one bin, a gap of 0.2
    probabilities = np.tile([0.8, 0.2], (10, 1))
    labels = np.array([0] * 6 + [1] * 4)
    assert scores.calibration(probabilities, labels)["ece"] == pytest.approx(0.2)


def test_negative_log_likelihood_of_a_coin():
    assert scores.negative_log_likelihood(np.full((4, 2), 0.5), np.array([0, 1, 1, 0])) == pytest.approx(np.log(2))


def test_confusion_recall_and_precision():
    labels, predicted = np.array([0, 0, 0, 1, 2]), np.array([0, 1, 1, 1, 0])
    confusion = scores.confusion_matrix(labels, predicted, 3)
    assert confusion.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]
    rows = scores.per_class(confusion, ("a", "b", "c"))
    assert [row["recall"] for row in rows] == pytest.approx([1 / 3, 1, 0])
    assert [row["precision"] for row in rows] == pytest.approx([1 / 2, 1 / 3, 0])
    top = scores.top_confusions(confusion, ("a", "b", "c"))
    assert (top[0]["true"], top[0]["predicted"], top[0]["count"]) == ("a", "b", 2)
    assert len(top) == 2 and top[0]["share"] == pytest.approx(2 / 3)


def test_most_frequent_confusions_come_first_then_by_class():
    confusion = np.array([[5, 2, 0, 1], [2, 4, 1, 0], [0, 0, 0, 0], [3, 1, 1, 1]])
    top = scores.top_confusions(confusion, ("a", "b", "c", "d"))
    found = [(row["true"] + row["predicted"], row["count"], row["share"]) for row in top]
    assert found == [
        ("da", 3, 1 / 2), ("ab", 2, 1 / 4), ("ba", 2, 2 / 7), ("ad", 1, 1 / 8), ("bc", 1, 1 / 7), ("db", 1, 1 / 6),
        ("dc", 1, 1 / 6),
    ]  # fmt: skip
    assert len(scores.top_confusions(np.ones((4, 4), int), ("a", "b", "c", "d"))) == 10  # of twelve
    (only,) = scores.top_confusions(np.array([[0, 1], [0, 0]]), ("a", "b"))
    assert only["share"] == 1  # of a single image


def test_classes_without_an_image_or_a_prediction_score_zero():
    rows = scores.per_class(np.array([[1, 1], [0, 0]]), ("a", "b"))
    assert rows == [
        {"name": "a", "n": 2, "recall": 0.5, "precision": 1.0},
        {"name": "b", "n": 0, "recall": 0.0, "precision": 0.0},
    ]


def test_summary_of_three_images_by_hand():
    """Probabilities 3/4 and 1/4: two images right, one wrong."""
    logits, labels = np.log(np.array([[3.0, 1.0], [3.0, 1.0], [1.0, 3.0]])), np.array([0, 1, 1])
    found = scores.summary(logits, labels, ("a", "b"))
    assert (found["n"], found["correct"], found["accuracy"]) == (3, 2, 2 / 3)
    assert found["confusion"] == [[1, 0], [1, 1]] and found["accuracy_interval"] == scores.wilson_interval(2, 3)
    assert found["nll"] == pytest.approx(-np.log(3 / 4 * 1 / 4 * 3 / 4) / 3)
    assert found["brier"] == pytest.approx((2 / 16 + 18 / 16 + 2 / 16) / 3)
    assert found["ece"] == pytest.approx(3 / 4 - 2 / 3)  # one bin


def test_an_impossible_class_costs_much_and_not_infinitely_much():
    sure = np.array([[1.0, 0.0]])
    assert scores.negative_log_likelihood(sure, np.array([1])) == pytest.approx(300 * np.log(10))


def test_calibration_error_of_one_image_and_of_none():
    assert scores.calibration(np.array([[0.8, 0.2]]), np.array([0]))["ece"] == pytest.approx(0.2)
    assert scores.expected_calibration_error([{"n": 0, "confidence": None, "accuracy": None}]) == 0


def test_temperature_is_looked_for_between_a_twentieth_and_twenty():
    logits = np.eye(3) + 1.0  # all right: confidence helps; all wrong: it hurts
    assert scores.fit_temperature(logits, np.arange(3)) == pytest.approx(0.05, rel=1e-3)
    assert scores.fit_temperature(logits, np.array([1, 2, 0])) == pytest.approx(20, rel=1e-3)
    # three of four are right: the odds are 3 to 1 for a logit difference of 2 / T
    pairs = np.tile([2.0, 0.0], (4, 1))
    assert scores.fit_temperature(pairs, np.array([0, 0, 0, 1])) == pytest.approx(2 / np.log(3), rel=1e-3)


def test_softmax_survives_large_logits():
    probabilities = scores.softmax(np.array([[1000.0, 0.0], [0.0, 0.0]], dtype=np.float32))
    assert probabilities.tolist() == [[1.0, 0.0], [0.5, 0.5]]


def test_brier_score_by_hand():
    probabilities = np.array([[0.8, 0.2], [0.4, 0.6]])
    assert scores.brier_score(probabilities, np.array([0, 0])) == pytest.approx((0.08 + 0.72) / 2)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_temperature_of_the_logits_is_found_again(temperature):
    generator = np.random.default_rng(1)
    honest = generator.normal(0, 2, (20_000, 10))
    labels = (scores.softmax(honest).cumsum(axis=1) > generator.random((20_000, 1))).argmax(axis=1)
    assert scores.fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.05)
    after = scores.calibrated(honest * temperature, labels, temperature)
    before = scores.calibrated(honest * temperature, labels, 1.0)
    assert after["ece"] < 0.02 and after["nll"] <= before["nll"] and after["temperature"] == temperature


def test_bins_hold_every_image_once():
    # two classes: confidences 0.5 (bin 7, on its lower edge), 0.59 and 0.6 (bins 8 and 9), and 1 (the last)
    first = np.array([0.5, 0.59, 0.6, 0.41, 1.0, 1.0])
    bins = scores.reliability(np.stack([first, 1 - first], axis=1), np.array([0, 0, 1, 0, 0, 1]))
    assert [row["n"] for row in bins] == [0, 0, 0, 0, 0, 0, 0, 1, 2, 1, 0, 0, 0, 0, 2]
    assert bins[0] == {"n": 0, "confidence": None, "accuracy": None, "accuracy_interval": None}
    assert (bins[8]["confidence"], bins[8]["accuracy"]) == (pytest.approx(0.59), 0.5)
    assert (bins[14]["confidence"], bins[14]["accuracy"]) == (1.0, 0.5)
    assert bins[14]["accuracy_interval"] == scores.wilson_interval(1, 2)


def test_calibration_error_is_that_of_a_plain_loop():
    generator = np.random.default_rng(3)
    probabilities = scores.softmax(generator.normal(0, 2, (997, 10)))
    labels = generator.integers(0, 10, 997)
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    gap = 0.0
    for low in np.arange(15) / 15:
        inside = [k for k in range(997) if low <= confidence[k] < low + 1 / 15]
        gap += abs(sum(hit[inside]) - sum(confidence[inside])) / 997
    found = scores.calibration(probabilities, labels)
    assert found["ece"] == pytest.approx(gap, rel=1e-9)
    assert sum(row["n"] for row in found["reliability"]) == 997


def test_temperature_changes_the_bins_and_no_accuracy():
    generator = np.random.default_rng(4)
    logits, labels = generator.normal(0, 2, (500, 10)), generator.integers(0, 10, 500)
    before, after = scores.calibration(scores.softmax(logits), labels), scores.calibrated(logits, labels, 0.5)
    right = [sum(row["n"] * (row["accuracy"] or 0) for row in part["reliability"]) for part in (before, after)]
    assert right[0] == pytest.approx(right[1]) and before["reliability"] != after["reliability"]
