"""Checks of reference results: edits of their files, runs compared with them, and runs against their own page."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import synthetic_data
import synthetic_run
from claimed import unclaimed
from edits import edit, touch
from onepage.errors import UserError
from onepage.verification import reference
from onepage.verification.claims import load_claims
from reference_case import CLAIMS, CLAIMS_FILE, Case, resign, run, written

# --- edits are detected ------------------------------------------------------------------------------------------


@pytest.mark.fault("a reference result that was touched", "named")
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda f: (f / "report.md").write_text("edited"), "report.md was edited"),
        (lambda f: (f / "cls/run.json").unlink(), "cls/run.json is missing"),
        (lambda f: (f / "notes.txt").write_text("x"), "notes.txt is not in its manifest"),
        (lambda f: (f / "manifest.json").write_text("[]"), "not a reference result of this program"),
        (lambda f: edit(f / "manifest.json", lambda m: m.update(form=99)), "it has format 99"),
        (lambda f: edit(f / "manifest.json", lambda m: m["tasks"].pop("mt")), "mt is not in its manifest"),
        (lambda f: edit(f / "manifest.json", lambda m: m["tasks"].clear()), "it holds no run"),
    ],
)
def test_touched_result_is_found(spoil: Callable[[Path], object], says: str, case: Case, folder: Path) -> None:
    spoil(folder)
    assert says in " ".join(reference.problems(folder))
    result = run("verify", case, "--ref", str(folder))
    assert result.exit_code == 1 and "restore it with git" in result.output


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("cls/metrics.json", lambda m: m["test"].update(accuracy=0.95), "report.pdf does not show cls/metrics.json"),
        ("mt/run.json", lambda m: m.update(seed=5), "mt/run.json and mt/metrics.json differ in seed"),
        ("mt/seeds.json", lambda rows: rows.clear(), "mt/seeds.json does not hold mt/metrics.json"),
        ("cls/provenance.json", lambda p: p["host"].update(cpu_id="x"), "another fingerprint of the cls run"),
        ("claims.json", lambda rows: rows[0].update(state="FAIL"), "cls-accuracy is not PASS"),
        ("claims.json", lambda rows: rows[1].update(measured=99.0), "differ in mt-bleu"),
        ("claims.json", lambda rows: rows.pop(), "mt-bleu is not PASS"),
        ("claims.json", lambda rows: rows[0].update(minimum=0.5), "older form of cls-accuracy"),
        ("report.md", "[x](nowhere.png)", "report.md points to nowhere.png, which is not there"),
        ("report.pdf", None, "report.pdf is not part of it"),
        ("cls/history.jsonl", "{", "not a reference result of this program"),
    ],
)
def test_contradiction_is_found_with_a_fitting_manifest(file: str, change: Any, says: str, folder: Path) -> None:
    if callable(change):
        edit(folder / file, change)
    elif change is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(change)
    resign(folder)
    assert says in " ".join([*reference.problems(folder), *unclaimed(folder, CLAIMS)])


def test_raised_floor_is_held_against_results(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "claims.toml").write_text(CLAIMS_FILE.read_text().replace("minimum = 0.80", "minimum = 0.99"))
    problems = unclaimed(folder, load_claims(tmp_path / "claims.toml"))
    assert len(problems) == 1 and problems[0].startswith("cls-accuracy is below what is claimed: 8")


# --- make verify REF= --------------------------------------------------------------------------------------------


def test_verify_prints_a_row_for_each_score(case: Case) -> None:
    folder = written(case)
    result = run("verify", case, "--ref", str(folder))
    assert result.exit_code == 0, result.output
    accuracy = json.loads((case[1] / "metrics.json").read_text())["test"]["accuracy"]
    assert f"cls test accuracy  {accuracy!r}  {accuracy!r}  exact  PASS  same" in result.output
    assert "mt test_2017_flickr chrF2" in result.output


def test_verify_fails_a_run_below_the_reference(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(case)
    worse = synthetic_run.write_cls_run(case[0] / "runs/cls/cifar10/quick/seed3", seed=3, error_rate=0.18)
    synthetic_data.pretend(monkeypatch, worse, case[2])
    result = run("verify", (case[0], worse, case[2]), "--ref", str(folder))
    assert result.exit_code == 1
    assert re.search(r"cls test accuracy  8\d\.\d %  8\d\.\d %  .* \(binomial\)  FAIL  below", result.output)
    assert re.search(r"cls-accuracy  .*  PASS", result.output)  # the claim itself holds


def test_verify_says_what_is_not_compared(case: Case) -> None:
    folder = written(case)
    edit(case[1] / "metrics.json", lambda m: m["recipe"].update(batch_size=9))
    arguments = ["--ref", str(folder), "--runs-only"]
    result = run("verify", case, *arguments)
    assert "cls  NOT CHECKED  not compared: other recipe (batch_size 256 -> 9)" in result.output
    assert result.exit_code == 0 and run("verify", case, *arguments, "--strict").exit_code == 1


def test_folder_that_is_no_reference_is_one_error(case: Case) -> None:
    result = run("verify", case, "--ref", str(case[0]))
    assert result.exit_code == 1 and result.output.count("\n") == 1 and "holds no reference result" in result.output
    with pytest.raises(UserError, match="see report/reference"):
        reference.load(case[0])


# --- make verify -------------------------------------------------------------------------------------------------


def test_verify_fails_pictures_of_other_runs(case: Case) -> None:
    assert "cls-figures" in run("verify", case).output and run("verify", case).exit_code == 0
    touch(case[1] / "metrics.json")
    result = run("verify", case)
    assert result.exit_code == 1 and "cls/cifar10/quick/seed0 has other numbers now" in result.output
    assert run("verify", case, "--runs-only").exit_code == 0


def test_verify_recounts_every_test_set(case: Case) -> None:
    edit(case[2] / "metrics.json", lambda m: m["tests"]["test_2017_mscoco"]["bleu"].update(score=55.0))
    result = run("verify", case, "--runs-only")
    assert result.exit_code == 1 and re.search(r"mt-recount  .*  FAIL  metrics.json says 55.0", result.output)
    assert re.search(r"mt-bleu  .*  PASS", result.output)
    # accuracy, n, correct, interval; 10 x 10 counts; recall and precision of 10; three of calibration, before and after
    assert re.search(r"cls-recount  .*  PASS  131 recomputed", result.output)
