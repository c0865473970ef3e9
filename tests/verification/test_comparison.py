"""Comparison with a reference: exact if machine, software and settings are equal, otherwise within a band."""

import dataclasses
import json
import math
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import synthetic_data
import synthetic_run
from edits import edit
from onepage.errors import UserError
from onepage.files import read_json
from onepage.runs.seeds import comparable
from onepage.verification import comparison, verify
from onepage.verification.claims import Reference, Result, load_claims

CLAIMS_FILE = Path(__file__).resolve().parents[2] / "report" / "claims.toml"
CLAIMS = load_claims(CLAIMS_FILE)
Pair = tuple[Path, Path]  # run folder here, reference folder (with cls/ and mt/ inside)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("made")
    synthetic_run.write_cls_run(place / "cls")
    synthetic_run.write_mt_run(place / "mt")
    return place


@pytest.fixture
def pair(made: Path, tmp_path: Path) -> Pair:
    """The same two runs here and in a reference result."""
    for place in ("here", "reference"):
        shutil.copytree(made, tmp_path / place)
    for task in ("cls", "mt"):
        rows = [row for _, row in comparable(tmp_path / "reference" / task)[0]]
        (tmp_path / "reference" / task / "seeds.json").write_text(json.dumps(rows))
    return tmp_path / "here", tmp_path / "reference"


def compare(pair: Pair, task: str = "cls") -> dict[str, comparison.Row]:
    return {row.measure: row for row in comparison.compare(task, pair[0] / task, pair[1])}


def elsewhere(pair: Pair, task: str = "cls") -> None:
    """Let the run here come from another machine."""
    edit(pair[0] / task / "provenance.json", lambda p: p["host"].update(cpu="Another CPU"))


def test_same_run_is_same_to_the_last_digit(pair: Pair) -> None:
    for task in ("cls", "mt"):
        rows = compare(pair, task).values()
        assert {(row.state, row.verdict, row.band) for row in rows} == {("PASS", "same", "exact")}
    shown = {"mt test_2016_flickr BLEU", "mt test_2017_mscoco chrF2", "mt weights, SHA-256"}
    assert shown <= compare(pair, "mt").keys()


def test_smallest_difference_fails_on_the_same_machine(pair: Pair) -> None:
    edit(pair[0] / "cls/metrics.json", lambda m: m["test"].update(accuracy=math.nextafter(m["test"]["accuracy"], 1)))
    row = compare(pair)["cls test accuracy"]
    assert (row.state, row.verdict, row.band) == ("FAIL", "differs", "exact")
    assert compare(pair)["cls metrics.json but its commit, SHA-256"].state == "FAIL"
    assert compare(pair)["cls weights, SHA-256"].state == "PASS"


def test_another_commit_is_no_difference(pair: Pair) -> None:
    edit(pair[0] / "cls/metrics.json", lambda m: m.update(commit="0" * 40, dirty=True))
    assert {row.state for row in compare(pair).values()} == {"PASS"}


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("provenance.json", lambda p: p["host"].update(cpu="Another CPU")),
        ("provenance.json", lambda p: p["host"].update(cpu_id="model 2")),
        ("provenance.json", lambda p: p["evaluate"].update(program="other code")),
        ("provenance.json", lambda p: p["evaluate"].update(host=p["host"] | {"cpu": "Another CPU"})),
        ("metrics.json", lambda m: m["versions"].update(torch="2.14.0")),
        ("metrics.json", lambda m: m.update(threads=4)),
        ("metrics.json", lambda m: m.update(precision="bf16")),
        ("metrics.json", lambda m: m.update(program="other code")),
        ("metrics.json", lambda m: m.update(seed=1)),
    ],
)
def test_band_is_statistical_elsewhere(file: str, change: Callable[[Any], object], pair: Pair) -> None:
    edit(pair[0] / "cls" / file, change)
    rows = compare(pair)
    assert {row.verdict for row in rows.values()} == {"within"}
    assert all("binomial" in row.band for row in rows.values()) and "cls weights, SHA-256" not in rows


def test_unidentified_machine_is_not_held_to_the_bit(pair: Pair) -> None:
    for place in pair:
        edit(place / "cls/provenance.json", lambda p: p["host"].update(cpu_id=None))
    assert "exact" not in {row.band for row in compare(pair).values()}


def test_gpu_counts_only_where_it_trained(pair: Pair) -> None:
    edit(pair[0] / "cls/provenance.json", lambda p: p["host"].update(gpu="a card that stands idle"))
    assert {row.band for row in compare(pair).values()} == {"exact"}
    for place in pair:
        edit(place / "cls/metrics.json", lambda m: m.update(device="cuda"))
    assert "exact" not in {row.band for row in compare(pair).values()}


@pytest.mark.parametrize(("step", "verdict", "state"), [(-1, "below", "FAIL"), (1, "above", "PASS")])
def test_score_outside_the_band_is_below_or_above(step: int, verdict: str, state: str, pair: Pair) -> None:
    elsewhere(pair)
    low, high = read_json(pair[1] / "cls/metrics.json")["test"]["accuracy_interval"]
    edge = low if step < 0 else high
    for value, expected in ((edge, ("within", "PASS")), (edge + step * 1e-9, (verdict, state))):
        edit(pair[0] / "cls/metrics.json", lambda m, value=value: m["test"].update(accuracy=value))
        row = compare(pair)["cls test accuracy"]
        assert (row.verdict, row.state) == expected, value


def test_bleu_is_held_to_its_bootstrap_interval(pair: Pair) -> None:
    elsewhere(pair, "mt")
    bleu = read_json(pair[1] / "mt/metrics.json")["tests"]["test_2016_flickr"]["bleu"]
    row = compare(pair, "mt")["mt test_2016_flickr BLEU"]
    assert row.band == f"{bleu['interval'][0]:.1f} to {bleu['interval'][1]:.1f} (bootstrap)" and row.verdict == "within"
    edit(pair[0] / "mt/metrics.json", lambda m: m["tests"]["test_2016_flickr"]["bleu"].update(score=float("nan")))
    assert compare(pair, "mt")["mt test_2016_flickr BLEU"].state == "FAIL"
    edit(pair[0] / "mt/metrics.json", lambda m: m["tests"]["test_2016_flickr"]["bleu"].update(score="high"))
    assert compare(pair, "mt")["mt test_2016_flickr BLEU"].verdict == "missing"
    edit(pair[0] / "mt/metrics.json", lambda m: m["tests"].pop("test_2017_mscoco"))
    assert compare(pair, "mt")["mt test_2017_mscoco BLEU"].verdict == "missing"


def test_three_seeds_give_a_prediction_interval() -> None:
    measure = comparison.Measure(0.9, (0.8, 1.0), True)
    values = [0.90, 0.91, 0.92]
    rows = [{"measures": {"x": value}} for value in values]
    low, high, basis = comparison.band("x", measure, rows)
    half = 4.3027 * statistics.stdev(values) * math.sqrt(4 / 3)
    assert (low, high) == (pytest.approx(0.91 - half, abs=1e-5), pytest.approx(0.91 + half, abs=1e-5))
    assert basis == "3 seeds"
    assert comparison.band("x", measure, rows[:2]) == (0.8, 1.0, "binomial")
    assert comparison.band("x", measure, rows * 10)[2] == "30 seeds"


def student(quantile: float, freedom: int) -> float:
    """The probability that Student's t is below a quantile, by Simpson's rule over the density from 0."""
    scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(freedom * math.pi)
    steps = [scale * (1 + (quantile * i / 400) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(401)]
    return 0.5 + quantile / 1200 * (steps[0] + 4 * sum(steps[1::2]) + 2 * sum(steps[2:-1:2]) + steps[-1])


@pytest.mark.parametrize("seeds", [3, 4, 5, 6, 7, 8, 9, 10, 11, 40])
def test_the_band_of_seeds_holds_95_percent(seeds: int) -> None:
    """Half its width is t s sqrt(1 + 1 / n). Beyond eleven seeds, t has ten degrees of freedom: a little too wide."""
    values = [math.sin(number) for number in range(seeds)]
    rows = [{"measures": {"x": value}} for value in values]
    low, high, _ = comparison.band("x", comparison.Measure(0.0, (0.0, 0.0), True), rows)
    assert (low + high) / 2 == pytest.approx(statistics.fmean(values))
    quantile = (high - low) / 2 / statistics.stdev(values) / math.sqrt(1 + 1 / seeds)
    assert student(quantile, min(10, seeds - 1)) == pytest.approx(0.975, abs=2e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(set="toy-images"), "other set (cifar10 there, toy-images here)"),
        (lambda m: m.update(data_digest="0" * 64), "other data"),
        (lambda m: m["recipe"].update(batch_size=9), "other recipe (batch_size 256 -> 9)"),
    ],
)
def test_other_data_or_recipe_is_not_compared(change: Callable[[Any], object], says: str, pair: Pair) -> None:
    edit(pair[0] / "cls/metrics.json", change)
    (row,) = compare(pair).values()
    assert row.state == "NOT CHECKED" and says in row.verdict


def test_other_threads_are_compared_missing_runs_are_not(pair: Pair) -> None:
    edit(pair[0] / "cls/metrics.json", lambda m: (m.update(threads=4), m["recipe"].update(threads=4)))
    assert {row.verdict for row in compare(pair).values()} == {"within"}
    (row,) = comparison.compare("mt", None, pair[1])
    assert (row.state, row.verdict) == ("NOT CHECKED", "not compared: not run; run: make mt")
    shutil.rmtree(pair[1] / "mt")
    (row,) = comparison.compare("mt", pair[0] / "mt", pair[1])
    assert (row.state, row.verdict) == ("NOT CHECKED", "not compared: reference holds no run of mt")


@pytest.mark.parametrize(
    ("batch_norm", "processes", "says"),
    [
        ("synchronised", None, ""),  # of one process, where both are the same
        ("local", 4, "other number of processes (1 there, 4 here)"),  # statistics of quarters of a batch
        ("synchronised", 4, "other number of processes (1 there, 4 here)"),  # the reference has local statistics
    ],
)
def test_local_batch_norm_is_another_experiment(batch_norm: str, processes: int | None, says: str, pair: Pair) -> None:
    metrics = read_json(pair[0] / "cls/metrics.json")
    mine = metrics | {"recipe": metrics["recipe"] | {"batch_norm": batch_norm}}
    mine |= {"processes": processes} if processes else {}
    assert comparison.obstacle(mine, metrics) == says
    whole = mine | {"processes": 8}
    assert (comparison.obstacle(mine, whole) == "") == (batch_norm == "synchronised")
    provenance = {"host": {"cpu_id": "x"}, "evaluate": {"program": "p"}}
    prints = [comparison.fingerprint(run | {"program": "t"}, provenance) for run in (mine, whole)]
    assert None not in prints and prints[0] != prints[1]


def test_metrics_that_lack_a_score_are_one_error(pair: Pair) -> None:
    edit(pair[0] / "cls/metrics.json", lambda m: m["test"].pop("tta"))
    with pytest.raises(UserError, match="lacks what is compared"):
        compare(pair)


# --- claims that name a reference ----------------------------------------------------------------------------------


def check(pair: Pair, monkeypatch: pytest.MonkeyPatch, after: tuple[Reference, ...] = (), **change: Any) -> Result:
    """Check the accuracy claim with a reference on the run here, which the claim names after those of ``after``."""
    synthetic_data.pretend(monkeypatch, pair[0] / "cls", pair[0] / "mt")
    value, band = comparison.claimed(CLAIMS[0], read_json(pair[1] / "cls/metrics.json"), [])
    said = {"result": "reference", "value": value, "band": band} | change
    claim = dataclasses.replace(CLAIMS[0], references=(*after, Reference(**said)))
    evidence = verify.gather(pair[0], pair[0] / "data", [pair[0] / "cls", pair[0] / "mt"])
    return verify.check([claim], evidence, pair[1].parent)[0]


def test_claim_holds_exactly_on_its_reference_machine(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    result = check(pair, monkeypatch)
    assert result.state == "PASS"
    assert result.reason.startswith("exactly equal to reference reference (86.")
    result = check(pair, monkeypatch, value=0.86, band=[0.85, 0.9])
    assert result.state == "FAIL" and "machine, software and settings are the same" in result.reason


def test_claim_holds_within_its_band_elsewhere(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere(pair)
    assert check(pair, monkeypatch).reason.startswith("within the band 8")
    result = check(pair, monkeypatch, value=0.99, band=[0.98, 0.995])
    assert result.state == "FAIL" and result.reason.startswith("below the band 98.0 % to 99.5 %")
    result = check(pair, monkeypatch, value=0.81, band=[0.80, 0.82])
    assert result.state == "PASS" and result.reason.startswith("above the band")


def test_claim_is_not_held_to_another_recipe(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(pair[0] / "cls/metrics.json", lambda m: m["recipe"].update(batch_size=9))
    result = check(pair, monkeypatch, value=0.99, band=[0.98, 0.995])
    assert result.state == "PASS"
    assert "not compared with reference" in result.reason and "batch_size 256 -> 9" in result.reason


def test_claim_is_compared_with_the_reference_of_its_recipe(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    other = pair[1].with_name("other")
    shutil.copytree(pair[1], other)
    edit(other / "cls/metrics.json", lambda m: m["recipe"].update(batch_size=9))
    first = Reference("other", 0.99, [0.98, 0.995])
    assert check(pair, monkeypatch, (first,)).reason.startswith("exactly equal to reference reference (86.")
    edit(pair[0] / "cls/metrics.json", lambda m: m["recipe"].update(batch_size=8))
    said = check(pair, monkeypatch, (first,)).reason
    assert said.startswith("not compared with reference other (99.0 %): other recipe (batch_size 9 -> 8); nor with ")


def test_metrics_without_a_recipe_fail_their_claim(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(pair[0] / "cls/metrics.json", lambda m: m.pop("recipe"))
    result = check(pair, monkeypatch)
    assert result.state == "FAIL" and "is not from this program (KeyError: 'recipe')" in result.reason


def test_missing_reference_is_one_error(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"claim cls-accuracy names \S+, which is missing; restore it with git"):
        check(pair, monkeypatch, result="nowhere")
