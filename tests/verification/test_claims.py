"""Claims: the file and its format, and whether the claims hold on the runs that `make test` names."""

import os
import re
from pathlib import Path

import pytest

from onepage.errors import UserError
from onepage.verification import verify
from onepage.verification.claims import FAIL, NOT_CHECKED, PASS, Check, Claim, Result, at, load_claims, status

FILE = Path(__file__).resolve().parents[2] / "report" / "claims.toml"
CLAIMS = load_claims(FILE)


def test_claims_are_eighty_percent_and_fifteen_bleu() -> None:
    assert [(c.id, c.set, c.metric, c.minimum) for c in CLAIMS] == [
        ("cls-accuracy", "cifar10", "test.accuracy", 0.80),
        ("mt-bleu", "multi30k", "tests.test_2016_flickr.bleu.score", 15.0),
    ]


def test_value_below_its_bound_is_shown_below() -> None:
    assert CLAIMS[0].show(0.79999) == "79.999 %"
    assert CLAIMS[0].show(0.7996) == "79.96 %"
    assert CLAIMS[0].show(0.8) == "80.0 %"
    assert CLAIMS[0].show(0.90376) == "90.4 %"
    assert CLAIMS[1].show(14.9999) == "14.9999"
    assert CLAIMS[1].show(14.94) == "14.9"


def test_dotted_path_leads_through_lists() -> None:
    metrics = {"a": [{"b": 3}, 4]}
    assert [at(metrics, path) for path in ("a.0.b", "a.1")] == [3, 4]
    assert at({"a": list(range(12))}, "a.11") == 11 and at({"a": {"0": 5}}, "a.0") == 5
    assert [at(metrics, path) for path in ("a.2", "a.-1", "a.\N{SUPERSCRIPT TWO}", "a.0.c", "a.1.b")] == [None] * 5


@pytest.mark.fault("a malformed report/claims.toml", "one line that names the claim and the key")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"holds no \[\[claim\]\]"),
        ("[[claim]\n", "fix the claim"),
        ('[[claim]]\nid = "a"\n', "missing"),
        (FILE.read_text().replace("minimum = 0.80", 'minimum = "high"'), "must be a number"),
        (FILE.read_text().replace("minimum = 0.80", "minimum = 80"), "claim cls-accuracy: .* from 0 to 1, not 80"),
        (FILE.read_text().replace("minimum = 0.80", "minimun = 0.80"), "claim 'cls-accuracy': .* 'minimun'"),
        (FILE.read_text().replace('task = "cls"', 'task = "clt"'), "no task 'clt'"),
        (FILE.read_text().replace('"mt-bleu"', '"cls-accuracy"'), "share an id"),
        (FILE.read_text() + "surprise = 1\n", "surprise"),
        (FILE.read_text() + "references = {}\n", "claim 'toy-bleu': references must be a list of tables"),
    ],
)
def test_malformed_claims_file_is_one_error(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "claims.toml").write_text(text)
    with pytest.raises(UserError, match=says):
        load_claims(tmp_path / "claims.toml")


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('result = "../x", value = 0.9, band = [0.8, 1.0]', "must name a folder"),
        ('result = "x", value = true, band = [0.8, 1.0]', "must be a number"),
        ('result = "x", value = 0.9, band = [0.8]', "two numbers"),
        ('result = "x", value = 0.9, band = [0.95, 1.0]', "outside its band"),
        ('result = "x", value = 0.9', "band"),
        ('result = "x", value = 0.9, band = [0.8, 1.0], more = 1', "more"),
    ],
)
def test_malformed_reference_in_claims_is_one_error(table: str, says: str, tmp_path: Path) -> None:
    before, found, after = re.split(r"(?ms)^(references = \[$.*?^\])$", FILE.read_text(), maxsplit=1)
    assert found
    (tmp_path / "claims.toml").write_text(f"{before}references = [{{ {table} }}]{after}")
    with pytest.raises(UserError, match=says):
        load_claims(tmp_path / "claims.toml")


@pytest.mark.parametrize("value", [0.8, 1.0])
def test_a_reference_may_equal_a_bound_of_its_band(value: float, tmp_path: Path) -> None:
    before, _, after = re.split(r"(?ms)^(references = \[$.*?^\])$", FILE.read_text(), maxsplit=1)
    table = f'{{ result = "x", value = {value}, band = [0.8, 1.0] }}'
    (tmp_path / "claims.toml").write_text(f"{before}references = [{table}]{after}")
    (named,) = load_claims(tmp_path / "claims.toml")[0].references
    assert named.value == value


def test_missing_claims_file_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is missing; restore it"):
        load_claims(tmp_path / "claims.toml")


def recorded(value: object, **changes: object) -> dict:
    """metrics.json of a run that the claim about BLEU covers."""
    scores = {"test_2016_flickr": {"bleu": {"score": value}}}
    return {"set": "multi30k", "generated": False, "src": "en", "tgt": "de", "tests": scores} | changes


@pytest.mark.parametrize(
    ("metrics", "state", "measured", "reason"),
    [
        (None, NOT_CHECKED, None, "not run; run: make mt"),
        (recorded(15.0), PASS, 15.0, "recorded, not recomputed"),
        (recorded(15), PASS, 15.0, "recorded, not recomputed"),
        (recorded(14.9999), FAIL, 14.9999, "below 15.0; recorded, not recomputed"),
        (recorded(float("nan")), FAIL, None, "below 15.0; recorded, not recomputed"),
        (recorded(True), FAIL, None, "metrics.json has no number at tests.test_2016_flickr.bleu.score"),
        (recorded(10**400), FAIL, None, "metrics.json has no number at tests.test_2016_flickr.bleu.score"),
        (recorded(40.0, tests=[]), FAIL, None, "metrics.json has no number at tests.test_2016_flickr.bleu.score"),
        (recorded(40.0, set="x"), NOT_CHECKED, None, "trained on another set (x); the claim is about multi30k"),
        (
            recorded(40.0, generated=True), NOT_CHECKED, None,
            "trained on generated data (multi30k); the claim is about multi30k",
        ),
        (recorded(40.0, tgt="fr"), NOT_CHECKED, None, "trained on en-fr; the claim is about en-de"),
    ],
)  # fmt: skip
def test_state_of_a_claim_from_what_is_recorded(metrics, state: str, measured: float | None, reason: str) -> None:
    result = status(CLAIMS[1], metrics)
    assert (result.claim, result.state, result.reason) == (CLAIMS[1], state, reason)
    assert result.measured == measured or (result.measured != result.measured and state == FAIL)


def test_a_floor_of_a_generated_set_speaks_of_generated_data_alone() -> None:
    (floor, _), metrics = load_claims(FILE, "stand_in"), {"set": "toy-images", "test": {"accuracy": 0.8}}
    assert status(floor, metrics | {"generated": True}).state == PASS
    assert status(floor, metrics | {"generated": False}).state == NOT_CHECKED


def test_cells_show_bound_and_value() -> None:
    result = Result(CLAIMS[0], PASS, 0.91, "why")
    assert result.cells() == ("cls-accuracy", CLAIMS[0].text, ">= 80.0 %", "91.0 %", PASS, "why")
    assert Result(CLAIMS[0], FAIL, None, "why").cells()[3] == "-"
    assert Check("a", "b", FAIL, "c").cells() == ("a", "b", "", "", FAIL, "c")


# --- on this machine's trained runs ----------------------------------------------------------------------------------


def hold(claim: Claim, stand_in: bool = False) -> Result:
    """Check the claim on the runs in CLAIMED_RUNS; skip if there are none, or if they use another set."""
    out, data, runs = (os.environ.get(f"CLAIMED_{name}") for name in ("OUT", "DATA", "RUNS"))
    if not (out and data and runs):
        pytest.skip("no trained runs named; make test names them")
    evidence = verify.gather(Path(out), Path(data), [Path(run) for run in runs.split()])
    if stand_in and claim not in verify.stand_ins(FILE, evidence):
        pytest.skip(f"not trained on {claim.set}")
    (result,) = verify.check([claim], evidence, FILE.parent / "reference")
    return result


@pytest.mark.claims
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_claim_holds(claim: Claim) -> None:
    result = hold(claim)
    if result.state == NOT_CHECKED and os.environ.get("STRICT") != "1":
        pytest.skip(f"NOT CHECKED: {result.reason}")
    assert result.state == PASS, f"{result.state}: {result.reason}"


@pytest.mark.claims
@pytest.mark.parametrize("claim", load_claims(FILE, "stand_in"), ids=lambda claim: claim.id)
def test_floor_of_a_generated_set_holds(claim: Claim) -> None:
    """This holds for a run that was trained on that set; without one, the test is skipped."""
    result = hold(claim, stand_in=True)
    assert result.state == PASS, f"{result.state}: {result.reason}"
