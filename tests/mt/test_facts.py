"""The figures of translation that the page prints: the gap to the published score, and the table of test sets."""

import json
from pathlib import Path
from typing import Any

import pytest

from onepage.files import HOME
from onepage.mt import facts
from onepage.report import inputs
from synthetic_run import write_mt_run

PAGE = inputs.load_page(HOME / "report" / "page.toml")


@pytest.fixture
def metrics(tmp_path: Path) -> dict[str, Any]:
    """Those of a run from English to German."""
    run = write_mt_run(tmp_path / "seed0", layers=1, heads=1, hostile=False)
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    ("score", "interval", "said"),
    [
        (34.7, [33.1, 36.3], {"below": "6.3"}),
        (41.449, [41.03, 41.9], {"above": "0.4"}),
        (41.449, [41.02, 41.9], {"level": "41.0"}),
        (40.97, [39.5, 41.02], {"level": "41.0"}),
    ],
)
def test_the_published_gap_is_that_of_printed_scores(
    metrics: dict[str, Any], score: float, interval: list[float], said: dict[str, str]
) -> None:
    """Of 41.02, printed as 41.0; there is no gap if our interval contains it."""
    metrics["tests"]["test_2016_flickr"]["bleu_lc_norm_tok"] |= {"score": score, "interval": interval}
    found = facts.facts(metrics, PAGE)
    assert {name: found[name] for name in ("above", "below", "level") if name in found} == said
    metrics["tgt"] = "fr"
    assert not {"above", "below", "level"} & set(facts.facts(metrics, PAGE))


@pytest.mark.parametrize(("penalty", "cost"), [(0.9, "4.0"), (1.0, None), (0.996, None)])
def test_the_brevity_penalty_costs_bleu(metrics: dict[str, Any], penalty: float, cost: str | None) -> None:
    """36 BLEU of which a penalty of 0.9 has taken 4; a penalty near 1 is not reported."""
    metrics["tests"]["test_2016_flickr"]["bleu"] |= {"score": 36.0, "brevity_penalty": penalty}
    assert facts.facts(metrics, PAGE).get("brevity_cost") == cost


def test_every_test_set_has_its_scores(metrics: dict[str, Any]) -> None:
    test = metrics["tests"]["test_2016_flickr"]
    test["bleu"] |= {"score": 50.0, "interval": [48.5, 51.5]}
    shown = [f"{score:.1f}" for score in (test["bleu_greedy"], test["chrf2"]["score"], test["ter"]["score"])]
    test["bleu_lc_norm_tok"] = None  # as on generated data
    rows = facts.tables(metrics, PAGE)[0].rows
    assert rows[0] == ["test 2016", "120", "50.0", "48.5 to 51.5", *shown, "–"]
    assert [row[0] for row in rows] == ["test 2016", "test 2017", "MSCOCO 2017"]
