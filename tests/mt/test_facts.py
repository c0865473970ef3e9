"""The table of all directions of translation: every valid run on the disk, and no other."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onepage.mt import facts
from onepage.report import inputs, render
from page_cases import markdown_of, plain_text, write_case
from synthetic_run import write_mt_run

PAGE = inputs.load_page(render.ROOT / "report" / "page.toml")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runs/mt with one run, from English to German."""
    runs = tmp_path_factory.mktemp("directions") / "runs" / "mt"
    write_mt_run(runs / "multi30k-en-de/quick/seed0", layers=1, heads=1, hostile=False)
    return runs


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "mt"))


def add(runs: Path, place: str, change: Callable[[dict[str, Any]], None] = lambda metrics: None) -> dict[str, Any]:
    """Add a run that matches its folder name unless ``change`` alters it; return its metrics."""
    folder, profile, seed = place.split("/")
    source, target = folder.split("-")[-2:]
    metrics = read(runs)
    metrics |= {"src": source, "tgt": target, "profile": profile, "seed": int(seed.removeprefix("seed"))}
    for number, test in enumerate(metrics["tests"].values()):
        test["bleu"] |= {"score": 50.0 + number, "interval": [48.5 + number, 51.5 + number]}
    change(metrics)
    (runs / place).mkdir(parents=True)
    (runs / place / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return metrics


def read(runs: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((runs / "multi30k-en-de/quick/seed0/metrics.json").read_text(encoding="utf-8"))
    return metrics


def table(runs: Path) -> list[list[str]]:
    return facts._directions(runs / "multi30k-en-de/quick/seed0", read(runs), PAGE)


@pytest.mark.parametrize(
    ("score", "said"), [(34.7, {"below": "6.3"}), (41.449, {"above": "0.4"}), (41.02, {}), (40.97, {})]
)
def test_the_published_gap_is_that_of_printed_scores(runs: Path, score: float, said: dict[str, str]) -> None:
    """Of 41.02, printed as 41.0."""
    metrics = read(runs)
    metrics["tests"]["test_2016_flickr"]["bleu_lc_norm_tok"]["score"] = score
    found = facts.facts(metrics, PAGE)
    assert {name: found[name] for name in ("above", "below") if name in found} == said
    metrics["tgt"] = "fr"
    assert not {"above", "below"} & set(facts.facts(metrics, PAGE))


def test_one_direction_needs_no_table(runs: Path) -> None:
    assert table(runs) == []
    add(runs, "multi30k-en-de/quick/seed1")
    assert table(runs) == []  # seeds have a separate table


def test_every_finished_run_has_its_scores(runs: Path) -> None:
    other = add(runs, "multi30k-de-en/quick/seed0")
    add(runs, "multi30k-en-fr/quick/seed2")
    add(runs, "multi30k-en-fr/quick/seed1")
    add(runs, "multi30k-en-de/quick/seed3")
    add(runs, "multi30k-fr-en/full/seed0")
    rows = table(runs)
    assert [tuple(row[:2]) for row in rows[::3]] == [
        ("English → German", "0"),
        ("English → German", "3"),
        ("German → English", "0"),
        ("English → French", "1"),
        ("English → French", "2"),
    ]
    test = other["tests"]["test_2016_flickr"]
    shown = [f"{test[key]['score']:.1f}" for key in ("chrf2", "ter", "bleu_lc_norm_tok")]
    assert rows[6] == ["German → English", "0", "test 2016", "120", "50.0", "48.5 to 51.5", *shown]


@pytest.mark.parametrize(
    "change",
    [
        lambda metrics: metrics.update(generated=True),
        lambda metrics: metrics.update(tgt="fr"),  # a copy of another direction's run
        lambda metrics: metrics.update(set="other"),
        lambda metrics: metrics.update(seed=7),
        lambda metrics: metrics["tests"]["test_2017_flickr"].pop("bleu"),
        lambda metrics: metrics.update(tests=3),
    ],
    ids=["generated", "of another direction", "of another set", "of another seed", "without a score", "not of ours"],
)
def test_runs_in_wrong_folders_are_passed_over(change: Callable[[dict[str, Any]], None], runs: Path) -> None:
    add(runs, "multi30k-de-en/quick/seed0", change)
    add(runs, "multi30k-en-fr/quick/seed0")
    assert [row[0] for row in table(runs)[::3]] == ["English → German", "English → French"]


def test_a_damaged_file_is_passed_over(runs: Path) -> None:
    add(runs, "multi30k-en-fr/quick/seed0")
    (runs / "multi30k-de-en/quick/seed0").mkdir(parents=True)
    (runs / "multi30k-de-en/quick/seed0/metrics.json").write_text("{")
    assert [row[0] for row in table(runs)[::3]] == ["English → German", "English → French"]


def test_generated_sentences_have_no_other_direction(runs: Path) -> None:
    add(runs, "multi30k-en-fr/quick/seed0")
    run = runs / "multi30k-en-de/quick/seed0"
    assert facts._directions(run, read(runs) | {"generated": True}, PAGE) == []


def test_the_markdown_has_the_table(tmp_path: Path) -> None:
    fresh = write_case(tmp_path)
    assert "Every direction of translation" not in markdown_of(fresh)
    metrics = json.loads((fresh[2] / "metrics.json").read_text(encoding="utf-8")) | {"src": "de", "tgt": "en"}
    place = fresh[2].parents[2] / "multi30k-de-en/quick/seed0"
    place.mkdir(parents=True)
    (place / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    source = markdown_of(fresh)
    assert "<summary>Every direction of translation</summary>" in source
    assert source.count("| German → English |") == len(metrics["tests"])
    assert "German → English" in plain_text(source)
