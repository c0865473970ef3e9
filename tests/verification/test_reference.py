"""Reference results: written completely or not at all, and those in git support the claims."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import synthetic_page
import synthetic_run
from checkout import REPOSITORY
from claimed import unclaimed
from edits import edit
from onepage.commands.main import main
from onepage.data import fetch
from onepage.runs import stamps
from onepage.verification import comparison, pictures, reference
from onepage.verification.claims import Claim, load_claims
from reference_case import CLAIMS, CLAIMS_FILE, Case, resign, run, written

KEPT = sorted(path for path in (REPOSITORY / "report" / "reference").glob("[!.]*") if path.is_dir())


# --- those in git ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_reference_results_in_git_hold_every_claim(folder: Path) -> None:
    assert reference.problems(folder) == unclaimed(folder, CLAIMS) == []


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_claims_name_value_and_band_in_git(claim: Claim) -> None:
    assert claim.references
    earlier: list[Any] = []
    for named in claim.references:
        assert named.result in [path.name for path in KEPT]
        folder = REPOSITORY / "report/reference" / named.result / claim.task
        metrics, seeds = (json.loads((folder / name).read_text()) for name in ("metrics.json", "seeds.json"))
        assert (named.value, named.band) == comparison.claimed(claim, metrics, seeds)
        assert metrics["set"] == claim.set and not metrics["generated"]
        assert claim.minimum <= named.band[0]  # a claim holds on any machine, so it lies below the band
        # of two that a run could be compared with, only the first would count
        assert all(comparison.obstacle(metrics, other) for other in earlier)
        earlier.append(metrics)


# --- writing -----------------------------------------------------------------------------------------------------


def test_result_holds_page_runs_claims_and_manifest(case: Case) -> None:
    folder = written(case)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    runs = {"metrics.json", "history.jsonl", "run.json", "provenance.json", "seeds.json", "predictions.npz"}
    expected = {"report.md", "report.pdf", "claims.json", "manifest.json"}
    expected |= {"pictures/cls/one.png", "pictures/mt/one.png", "cls/ablation.json", "mt/ablation.json"}
    assert names == expected | {f"{task}/{name}" for task in ("cls", "mt") for name in runs}
    for task, source in (("cls", case[1]), ("mt", case[2])):
        for name in runs - {"seeds.json", "predictions.npz"}:
            assert (folder / task / name).read_bytes() == (source / name).read_bytes()
        with np.load(source / "predictions.npz") as whole, np.load(folder / task / "predictions.npz") as stored:
            left_out = {name for name in whole.files if name.endswith(("_images", "_source", "_reference"))}
            assert left_out and set(stored.files) == set(whole.files) - left_out
            assert all(np.array_equal(stored[name], whole[name]) for name in stored.files)
    assert (folder / "report.pdf").read_bytes() == (case[0] / "report/report.pdf").read_bytes()
    states = {row["id"]: row["state"] for row in json.loads((folder / "claims.json").read_text())}
    assert states == {"cls-accuracy": "PASS", "mt-bleu": "PASS"}
    assert reference.problems(folder) == unclaimed(folder, CLAIMS) == []
    assert [path.name for path in folder.parent.iterdir()] == ["two-cores"]  # nothing left beside it


def test_result_alone_is_verified(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without trained runs, data is fetched, claims are recomputed from kept predictions, and the page is checked."""
    folder, asked = written(case), []
    monkeypatch.setattr(fetch, "ensure", lambda name, *rest: asked.append((name, *rest)))
    alone = ["verify", "--ref", folder, "--out", tmp_path / "empty", "--claims", CLAIMS_FILE]
    done = CliRunner().invoke(main, list(map(str, alone)))
    assert done.exit_code == 0, done.output
    states = dict(re.findall(r"^(\S+)  .*  (PASS|FAIL|NOT CHECKED)  ", done.output, re.MULTILINE))
    names = {"cls-accuracy", "mt-bleu", "cls-recount", "mt-recount", "reference"}
    assert states == dict.fromkeys(names, "PASS")
    assert asked == [
        ("cifar10", Path("data"), "real", None, "en", "de"),
        ("multi30k", Path("data"), "real", None, "en", "de"),
    ]
    with np.load(folder / "cls/predictions.npz") as file:
        arrays = dict(file)
    arrays["logits"] = np.roll(arrays["logits"], 1, axis=1)
    np.savez_compressed(folder / "cls/predictions.npz", **arrays)
    assert "was edited" in CliRunner().invoke(main, list(map(str, alone))).output
    resign(folder)
    done = CliRunner().invoke(main, list(map(str, alone)))
    assert done.exit_code == 1 and "metrics.json says" in done.output


@pytest.mark.fault(
    "a reference result of an earlier version verified alone",
    "`... was written by an earlier version, without predictions; ...`",
)
def test_result_without_predictions_needs_runs(case: Case) -> None:
    folder = written(case)
    (folder / "mt/predictions.npz").unlink()
    resign(folder)
    assert reference.problems(folder) == []
    done = CliRunner().invoke(main, ["verify", "--ref", str(folder), "--claims", str(CLAIMS_FILE)])
    assert done.exit_code == 1 and "without predictions" in done.output


def test_writing_again_gives_the_same_bytes(case: Case) -> None:
    folder = written(case)
    first = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "stray.txt").write_text("old")
    (folder.parent / ".two-cores.killed.tmp" / "two-cores").mkdir(parents=True)  # left by a killed write
    assert written(case) == folder
    assert [path.name for path in folder.parent.iterdir()] == ["two-cores"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == first


def test_a_result_is_not_compared_with_the_one_it_replaces(case: Case) -> None:
    for name, compared in (*((named.result, False) for named in CLAIMS[0].references), ("two-cores", True)):
        reasons = [row["reason"] for row in json.loads((written(case, name) / "claims.json").read_text())]
        assert [reason.startswith("recomputed from ") for reason in reasons] == [not compared] * 2


def test_its_markdown_stands_alone(case: Case) -> None:
    text = (written(case) / "report.md").read_text()
    assert text.startswith("# A page\n\nA reference result, written by `make reference NAME=two-cores` and not edited.")
    assert "../" not in text
    alt = "one, of a &#91;bracket&#93; and &#124; more"
    assert f'<img src="pictures/cls/one.png" alt="{alt}" width="270">' in text
    assert "[link](https://example.org)" in text
    links = [link for link, *_ in pictures.PICTURE.findall(text)]
    assert links == ["pictures/cls/one.png", "pictures/mt/one.png"]


def test_kept_picture_is_small_and_keeps_its_provenance(case: Case) -> None:
    folder = written(case)
    for task in ("cls", "mt"):
        source, kept = case[0] / f"figures/{task}/one.png", folder / f"pictures/{task}/one.png"
        with Image.open(source) as large, Image.open(kept) as small:
            assert small.width == pytest.approx(large.width * 20 / 300, abs=1)
            assert small.text == large.text and small.mode == "P"  # type: ignore[attr-defined]
    shutil.copyfile(folder / "pictures/cls/one.png", folder / "pictures/mt/one.png")
    resign(folder)
    assert reference.problems(folder) == ["pictures/mt/one.png does not show mt/metrics.json"]


def test_seeds_of_the_recipe_alone_are_listed(case: Case) -> None:
    seed1 = synthetic_run.write_cls_run(case[1].parent / "seed1", seed=1)
    seed2 = synthetic_run.write_cls_run(case[1].parent / "seed2", seed=2)
    edit(seed2 / "metrics.json", lambda m: m["recipe"].update(batch_size=9))
    rows = json.loads((written(case) / "cls/seeds.json").read_text())
    assert [row["seed"] for row in rows] == [0, 1]
    accuracy = json.loads((seed1 / "metrics.json").read_text())["test"]["accuracy"]
    assert rows[1]["measures"]["test accuracy"] == accuracy


def test_printed_table_is_what_claims_must_hold(case: Case, tmp_path: Path) -> None:
    result = run("reference", case, "two-cores")
    line = next(line for line in result.output.splitlines() if line.startswith("  cls-accuracy: { "))
    text = re.sub(r"^references = \[.*?^\]\n", "", CLAIMS_FILE.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = text.replace("minimum = 0.80\n", f"minimum = 0.80\nreferences = [\n{line.partition(': ')[2]}\n]\n", 1)
    (tmp_path / "claims.toml").write_text(text)
    folder = case[0] / "report/reference/two-cores"
    assert unclaimed(folder, load_claims(tmp_path / "claims.toml")) == []
    (tmp_path / "claims.toml").write_text(text.replace("band = [0.8", "band = [0.7"))
    (problem,) = unclaimed(folder, load_claims(tmp_path / "claims.toml"))
    assert "cls-accuracy has another reference than this" in problem


def page_of_other_runs(case: Case) -> None:
    other = synthetic_run.write_cls_run(case[0] / "runs/cls/cifar10/quick/seed1", seed=1)
    synthetic_page.page(case[0], other, case[2])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda case: edit(case[1] / "metrics.json", lambda m: m["test"].update(accuracy=0.99)), "cls-accuracy"),
        (lambda case: (case[0] / "report/report.pdf").unlink(), "report.pdf: is missing|page failed"),
        (lambda case: (case[0] / "figures/cls/one.png").unlink(), "cls-figures failed"),
        (page_of_other_runs, "is not the page of these runs; run: make report"),
        (lambda case: (case[1] / "history.jsonl").unlink(), r"history\.jsonl is missing; run: make cls"),
        (lambda case: stamps.ablation_of(case[2]).unlink(), r"ablation\.json is missing; run: make ablate"),
        (
            lambda case: edit(stamps.ablation_of(case[2]), lambda a: a.update(program="0")),
            r"ablation\.json and .* are from different versions of the training code; run: make ablate",
        ),
        (lambda case: (case[1] / "history.jsonl").write_text("{}\n" * 1_100_000), "more than 3,000,000"),
    ],
)
def test_nothing_is_written_that_does_not_verify(spoil: Callable[[Case], object], says: str, case: Case) -> None:
    folder = written(case)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    spoil(case)
    result = run("reference", case, "two-cores")
    assert result.exit_code == 1 and re.search(says, result.output), result.output
    assert {path: path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()} == before


def test_bad_name_is_refused(case: Case) -> None:
    for name in ["../x", "", ".hidden", "a b", "a/b", "-x" * 40]:
        result = CliRunner().invoke(main, ["reference", "--out", str(case[0]), "--", name, *map(str, case[1:])])
        assert result.exit_code == 1 and "is not a folder name" in result.output and result.output.count("\n") == 1
    assert not (case[0] / "report/reference").exists()


def test_picture_of_the_page_is_kept(case: Case) -> None:
    assert "page.png is left out" in run("reference", case, "two-cores").output
    Image.new("RGB", (2, 2)).save(case[0] / "report/page.png")
    folder = written(case)
    assert (folder / "page.png").read_bytes() == (case[0] / "report/page.png").read_bytes()
    assert "\n\n![The page](page.png)\n" in (folder / "report.md").read_text()


@pytest.mark.fault("writing a reference result fails at the last step", "the old one is back")
def test_failed_move_brings_the_old_one_back(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(case)
    rename = Path.rename

    def fails(path: Path, target: Path) -> Path:
        if target == folder and path.name == folder.name:
            raise OSError("no space")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fails)
    result = run("reference", case, "two-cores")
    assert result.exit_code == 1 and "cannot be written (no space)" in result.output
    assert reference.problems(folder) == []
    assert [path.name for path in folder.parent.iterdir()] == ["two-cores"]
