"""Numbers in words."""

from typing import Any

import pytest

from onepage.runs.words import NBSP, duration, signed, training


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"optimiser": "sgd", "learning_rate": 0.2}, "SGD, rate 0.2"),
        ({"optimiser": "adamw", "learning_rate": 4e-3, "muon_learning_rate": 0.02}, "AdamW, rate 0.004"),
        ({"optimiser": "muon", "learning_rate": 4e-3, "muon_learning_rate": 0.02}, "Muon, rate 0.02"),
        ({"optimiser": "muon", "muon_learning_rate": 0.02, "adamw_learning_rate": 4e-3}, "Muon, rate 0.02"),
    ],
)
def test_training_names_the_optimisers_own_rate(recipe: dict[str, Any], said: str) -> None:
    assert training(recipe, 1536, "tokens") == f"{said}, 1,536 tokens a batch"


def test_signed_and_duration_read_well() -> None:
    assert [signed(x) for x in (1.25, -0.3, 0.01, -0.01)] == ["+1.2", "−0.3", "±0.0", "±0.0"]
    assert [duration(x) for x in (45, 412.5, 7500)] == [
        f"45{NBSP}s", f"6{NBSP}min 52{NBSP}s", f"2{NBSP}h 05{NBSP}min",
    ]  # fmt: skip
