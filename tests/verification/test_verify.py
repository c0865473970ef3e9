"""Verification recomputes claims, fails them for any edited number, and never passes them on generated data."""

import ast
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synthetic_data
import synthetic_run
from edits import edit, edit_arrays
from onepage import tasks
from onepage.errors import UserError
from onepage.verification import verify
from onepage.verification.claims import FAIL, Result, load_claims

CLAIMS_FILE = Path(__file__).resolve().parents[2] / "report" / "claims.toml"
CLAIMS = load_claims(CLAIMS_FILE)
REFERENCES = CLAIMS_FILE.parent / "reference"
OUTPUT = "test_2016_flickr_output"
PACKAGE = Path(tasks.__file__).parent
Case = tuple[Path, ...]  # cls run, mt run


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Two runs that pass, and loaders that return the labels and references of these runs."""
    cls_run = synthetic_run.write_cls_run(tmp_path / "runs/cls")
    mt_run = synthetic_run.write_mt_run(tmp_path / "runs/mt")
    synthetic_data.pretend(monkeypatch, cls_run, mt_run)
    return cls_run, mt_run


def _metrics(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text())


def _edit(run: Path, change: Callable[[Any], object]) -> None:
    edit(run / "metrics.json", change)


def _edit_predictions(run: Path, change: Callable[[dict[str, np.ndarray]], object]) -> None:
    edit_arrays(run / "predictions.npz", change)


def _check(case: Case, tmp_path: Path) -> list[Result]:
    return verify.check(CLAIMS, verify.gather(tmp_path, tmp_path / "data", case), REFERENCES)


def _states(results: list[Result]) -> list[str]:
    return [result.state for result in results]


def test_true_claims_pass(case: Case, tmp_path: Path) -> None:
    results = _check(case, tmp_path)
    assert _states(results) == ["PASS", "PASS"]
    assert results[0].measured == _metrics(case[0])["test"]["accuracy"]
    assert results[1].measured == pytest.approx(
        _metrics(case[1])["tests"]["test_2016_flickr"]["bleu"]["score"], abs=1e-9
    )
    assert verify.exit_code(results, strict=True) == 0


def test_score_below_its_bound_fails(case: Case, tmp_path: Path) -> None:
    claims = [dataclasses.replace(CLAIMS[0], minimum=0.99), dataclasses.replace(CLAIMS[1], minimum=99.0)]
    results = verify.check(claims, verify.gather(tmp_path, tmp_path, case), REFERENCES)
    assert _states(results) == ["FAIL", "FAIL"]
    assert "below 99.0 %" in results[0].reason and "below 99.0" in results[1].reason
    assert verify.exit_code(results) == 1


@pytest.mark.fault("metrics.json edited", "FAIL: scores are recomputed from the predictions")
def test_edited_metrics_fail(case: Case, tmp_path: Path) -> None:
    _edit(case[0], lambda m: m["test"].update(accuracy=m["test"]["accuracy"] + 1e-4))
    _edit(case[1], lambda m: m["tests"]["test_2016_flickr"]["bleu"].update(score=41.0))
    results = _check(case, tmp_path)
    assert _states(results) == ["FAIL", "FAIL"]
    assert all("metrics.json says" in result.reason for result in results)


def test_score_that_is_no_number_fails(case: Case, tmp_path: Path) -> None:
    _edit(case[0], lambda m: m["test"].update(accuracy=float("nan")))
    _edit(case[1], lambda m: m["tests"].pop("test_2016_flickr"))
    assert _states(_check(case, tmp_path)) == ["FAIL", "FAIL"]


@pytest.mark.fault("predictions edited", "FAIL")
def test_tampered_predictions_fail(case: Case, tmp_path: Path) -> None:
    _edit_predictions(case[0], lambda a: a.update(logits=-a["logits"]))
    _edit_predictions(case[1], lambda a: a.update({OUTPUT: a[OUTPUT][::-1]}))
    results = _check(case, tmp_path)
    assert _states(results) == ["FAIL", "FAIL"]
    assert all("the predictions give" in result.reason for result in results)


@pytest.mark.fault("predictions made on other labels or references", "FAIL")
def test_predictions_of_other_labels_or_references_fail(case: Case, tmp_path: Path) -> None:
    """Changed labels, or references replaced by the outputs, do not pass."""
    _edit_predictions(case[0], lambda a: a.update(labels=(a["labels"] + 1) % 10))
    _edit_predictions(case[1], lambda a: a.update(test_2016_flickr_reference=a[OUTPUT]))
    results = _check(case, tmp_path)
    assert _states(results) == ["FAIL", "FAIL"]
    assert "labels are not those of the test set" in results[0].reason
    assert "references are not those" in results[1].reason


@pytest.mark.parametrize("none", [False, True], ids=["one too few", "none"])
def test_too_few_predictions_fail(none: bool, case: Case, tmp_path: Path) -> None:
    for run, name in zip(case, ("logits", OUTPUT), strict=True):
        _edit_predictions(run, lambda a, name=name: a.pop(name) if none else a.update({name: a[name][:-1]}))
    results = _check(case, tmp_path)
    assert _states(results) == ["FAIL", "FAIL"] and all("not one" in result.reason for result in results)


@pytest.mark.fault("predictions missing or unreadable", "FAIL, saying which")
def test_missing_and_unreadable_predictions_fail(case: Case, tmp_path: Path) -> None:
    (case[0] / "predictions.npz").unlink()
    (case[1] / "predictions.npz").write_bytes(b"PK\x03\x04 not a zip file")
    results = _check(case, tmp_path)
    assert _states(results) == ["FAIL", "FAIL"]
    assert results[0].reason == "runs/cls/predictions.npz is missing; delete metrics.json there and run: make cls"
    assert "runs/mt/predictions.npz cannot be read" in results[1].reason


@pytest.mark.fault("predictions that would run code", "FAIL; nothing is run")
def test_pickled_predictions_are_not_loaded(case: Case, tmp_path: Path) -> None:
    _edit_predictions(case[0], lambda a: a.update(logits=np.array([{"a": 1}], dtype=object)))
    assert "cannot be read" in _check(case, tmp_path)[0].reason


@pytest.mark.fault("a run of other data than is on disk", "FAIL")
def test_run_of_other_bytes_fails(case: Case, tmp_path: Path) -> None:
    _edit(case[0], lambda m: m.update(data_digest="0" * 64))
    result = _check(case, tmp_path)[0]
    assert result.state == "FAIL" and "digests differ" in result.reason


def test_generated_data_never_passes(tmp_path: Path) -> None:
    case = (
        synthetic_run.write_cls_run(tmp_path / "cls", generated=True),
        synthetic_run.write_mt_run(tmp_path / "mt", generated=True),
    )
    results = _check(case, tmp_path)
    assert _states(results) == ["NOT CHECKED", "NOT CHECKED"]
    assert "generated data (toy-images)" in results[0].reason
    assert (verify.exit_code(results), verify.exit_code(results, strict=True)) == (0, 1)


def test_missing_run_and_other_languages_are_not_checked(case: Case, tmp_path: Path) -> None:
    _edit(case[1], lambda m: m.update(tgt="fr"))
    for runs in (case[1:], (tmp_path / "runs/cls/cifar10/quick/seed0", case[1])):  # not given, or not trained yet
        results = _check(runs, tmp_path)
        assert _states(results) == ["NOT CHECKED", "NOT CHECKED"]
        assert results[0].reason == "not run; run: make cls"
        assert results[1].reason == "trained on en-fr; the claim is about en-de"


def test_folder_must_be_a_run_of_its_task(case: Case, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run folder of this program"):
        _check((tmp_path / "nowhere",), tmp_path)
    with pytest.raises(UserError, match="are both of cls; give one run of each task"):
        _check((case[0], case[0]), tmp_path)


def test_without_the_data_nothing_passes(tmp_path: Path) -> None:
    """The real loaders read a folder without data."""
    case = (synthetic_run.write_cls_run(tmp_path / "cls"), synthetic_run.write_mt_run(tmp_path / "mt"))
    results = _check(case, tmp_path)
    assert _states(results) == ["NOT CHECKED", "NOT CHECKED"]
    assert all(result.reason.startswith("cannot recompute:") for result in results)


def test_metrics_of_another_program_fail(case: Case, tmp_path: Path) -> None:
    (case[0] / "metrics.json").write_text("{}")
    assert _check(case, tmp_path)[0].state == "FAIL"


def test_plain_table_has_a_line_per_claim(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify.print_table(_check(case[:1], tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "cls-accuracy" in lines[0] and ">= 80.0 %" in lines[0] and "PASS" in lines[0]
    assert "mt-bleu" in lines[1] and "NOT CHECKED" in lines[1] and "not run; run: make mt" in lines[1]


def test_table_on_a_terminal_prints_brackets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    verify.print_table([Result(CLAIMS[0], FAIL, 0.5, "because [bold] it is")])
    out = capsys.readouterr().out
    assert "[bold]" in out and "FAIL" in out and "50.0 %" in out and "measured" in out


@pytest.mark.parametrize("path", [*(f"{task}/recount.py" for task in tasks.TASKS), "verification/verify.py"])
def test_recount_imports_neither_evaluate_nor_scores(path: str) -> None:
    """The recount is independent of the code that computed the scores."""
    tree = ast.parse((PACKAGE / path).read_text(encoding="utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in found for alias in node.names}
    names |= {str(node.module) for node in found if isinstance(node, ast.ImportFrom)}
    assert not {part for name in names for part in name.split(".")} & {"evaluate", "scores"}
    if path.endswith("recount.py"):
        assert {name for name in names if name.startswith("onepage.")} <= {"onepage.data", "onepage.tasks"}
