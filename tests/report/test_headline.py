"""The headline: cut and not rounded, with its floor, and with mean, deviation and n of several seeds."""

import statistics

import pytest

from onepage.runs.words import NBSP
from page_cases import Case, accuracies, change_run, values_of


@pytest.mark.parametrize(
    ("accuracy", "value", "verdict"),
    [
        (0.8995, "89.95", "9.95 points above the floor of 80 %"),  # and not 90.0
        (0.79996, "79.99", "0.01 points below the floor of 80 %"),  # and not 80.00 beside FAIL
        (0.8, "80.00", "0.00 points above the floor of 80 %"),
    ],
)
def test_the_headline_is_cut_and_not_rounded(accuracy: float, value: str, verdict: str, fresh: Case) -> None:
    change_run(fresh, "cls", lambda metrics: metrics["test"].update(accuracy=accuracy))
    headline = values_of(fresh)["sections"][0]["headline"]
    assert headline["value"] == value
    assert headline["verdict"].replace(NBSP, " ") == verdict


def test_generated_data_only_names_the_real_floor(generated: Case) -> None:
    verdicts = [section["headline"]["verdict"] for section in values_of(generated)["sections"]]
    assert verdicts == [f"floor 80{NBSP}%, on CIFAR-10", "floor 15 BLEU, on Multi30k"]


def test_beside_the_headline_stand_mean_deviation_and_n(three: Case) -> None:
    values = accuracies(three)
    assert len(values) == 3
    cls, mt = (section["headline"] for section in values_of(three)["sections"])
    mean, sd = (f"{part(values):.2f}" for part in (statistics.fmean, statistics.stdev))
    assert cls["seeds"] == f"mean {mean} ± {sd} (sd, n = 3 seeds)"
    assert cls["value"] == f"{values[0]:.2f}" and mt["seeds"] == ""
