"""The page states the findings of make ablate if they belong to its data; otherwise it says "not measured"."""

import json
from typing import Any

import pytest

from onepage.runs.words import NBSP
from page_cases import Case, insights, markdown_of, plain_text, values_of


def write(case: Case, task: str, change: Any = lambda found: None) -> None:
    """Write ablation.json for the page's run of ``task``, with the same data."""
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
    assert "make ablate" in insights(fresh, most=99)["Not measured:"]
    write(fresh, "mt")
    found = insights(fresh)
    assert "Not measured:" not in found and "Shortcuts speed up learning." not in found
    text = found["The causal mask is essential."]
    assert next(iter(found)) == "The causal mask is essential."  # the strongest finding first
    assert all(score in text for score in ("31.2", "0.3", "1.23 nats"))
    assert "Several heads help." not in insights(fresh, most=99)  # 29.88 is within the interval of 31.24
    write(fresh, "mt", lambda found: found["variants"][2].update(score=20.0, interval=[18.0, 22.0]))
    assert "20.0" in insights(fresh, most=99)["Several heads help."]
    write(fresh, "mt", lambda found: found["variants"][2].update(score=40.0, interval=[38.0, 42.0]))
    assert "Several heads help." not in insights(fresh, most=99)  # one head is better
    write(fresh, "cls", lambda found: found["variants"][1].update(score=0.55, interval=[0.5, 0.6]))
    text = insights(fresh)["Shortcuts speed up learning."].replace(NBSP, " ")
    assert all(score in text for score in ("81.2 %", "55.0 %", "2 epochs"))


def test_the_markdown_has_every_variant(fresh: Case) -> None:
    assert "Ablation:" not in plain_text(markdown_of(fresh))
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
    found = insights(fresh, most=99)
    assert "Not measured:" in found and "The causal mask is essential." not in found
    assert not [table for table in values_of(fresh)["tables"] if "Ablation" in table.title]
