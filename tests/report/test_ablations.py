"""What make ablate found, on the page: said where it was measured of the page's data, and else that it was not."""

import json
from typing import Any

import pytest

from onepage.runs.words import NBSP
from page_cases import Case, insights, markdown_of, plain_text, values_of


def write(case: Case, task: str, change: Any = lambda found: None) -> None:
    """ablation.json beside the page's run of ``task``, of its data."""
    run = case[1] if task == "cls" else case[2]
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    found = {key: metrics[key] for key in ("task", "set", "generated", "data_digest")}
    found |= {"seed": 0, "commit": "0123456789abcdef", "dirty": False}
    scores = {"cls": {"whole": 0.8125, "no-shortcuts": 0.7561}}.get(
        task, {"whole": 31.24, "no-causal-mask": 0.31, "one-head": 29.88}
    )
    found["variants"] = [
        {"name": name, "score": score, "interval": [score * 0.9, score * 1.1], "n": 1014, "loss": 1.234}
        | {"parameters": 1_234_567, "updates": 900, "epochs": 2.0}
        for name, score in scores.items()
    ]
    change(found)
    path = run.parents[1] / "ablation" / "ablation.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")


def test_what_was_measured_is_said(fresh: Case) -> None:
    assert "make ablate" in insights(fresh)["Not measured:"]
    write(fresh, "mt")
    found = insights(fresh)
    assert "Not measured:" not in found and "Shortcuts." not in found
    assert all(score in found["Mask and heads."] for score in ("31.2", "0.3", "29.9", "900"))
    write(fresh, "cls")
    assert all(score in insights(fresh)["Shortcuts."].replace(NBSP, " ") for score in ("81.2 %", "75.6 %", "2 epochs"))


def test_the_markdown_has_every_variant(fresh: Case) -> None:
    assert "What parts give" not in plain_text(markdown_of(fresh))
    write(fresh, "cls")
    write(fresh, "mt")
    text = plain_text(markdown_of(fresh)).replace(NBSP, " ")
    for part in ("without the causal mask in training", "28.1 to 34.4", "1,234,567", "900 updates", "0123456789"):
        assert part in text, part


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.update(data_digest="of other data"),
        lambda found: found.update(task="cls"),
        lambda found: found["variants"].pop(),
        lambda found: found["variants"][0].update(score="<b>"),
        lambda found: found.update(variants=None),
    ],
)
def test_unreadable_or_other_findings_are_not_said(change: Any, fresh: Case) -> None:
    write(fresh, "mt", change)
    assert "Not measured:" in insights(fresh) and "Mask and heads." not in insights(fresh)
    assert values_of(fresh)["ablations"] == []
