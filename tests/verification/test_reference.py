"""Reference results: written completely or not at all, edits are detected, and those in git support the claims."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import synthetic_data
import synthetic_page
import synthetic_run
from claimed import unclaimed
from edits import edit, touch
from onepage.commands.main import main
from onepage.data import fetch
from onepage.errors import UserError
from onepage.runs import stamps
from onepage.verification import comparison, pictures, reference
from onepage.verification.claims import Claim, load_claims

REPOSITORY = Path(__file__).resolve().parents[2]
CLAIMS_FILE = REPOSITORY / "report" / "claims.toml"
CLAIMS = load_claims(CLAIMS_FILE)
KEPT = sorted(path for path in (REPOSITORY / "report" / "reference").glob("[!.]*") if path.is_dir())
Case = tuple[Path, Path, Path]  # out, cls run, mt run


@pytest.fixture
def case(page: Case, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Runs and a page that the test may change, and data that matches the runs."""
    prepare(page, monkeypatch)
    return page


@pytest.fixture(scope="module")
def kept(written_page: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference result of such runs; tests copy it."""
    made, *runs = written_page
    out = Path(shutil.copytree(made, tmp_path_factory.mktemp("kept") / "out"))
    case = (out, *(out / run.relative_to(made) for run in runs))
    with pytest.MonkeyPatch.context() as patch:
        prepare(case, patch)
        return written(case)


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    """A reference result that the test may change."""
    return Path(shutil.copytree(kept, tmp_path / kept.name))


def prepare(page: Case, patch: pytest.MonkeyPatch) -> None:
    """Data that match the runs, ablations, and small pictures."""
    synthetic_data.pretend(patch, *page[1:])
    synthetic_page.ablations(*page[1:])
    patch.setattr(pictures, "DPI", 20)


def run(command: str, case: Case, *more: str) -> Result:
    places = [*case[1:], "--out", case[0], "--claims", CLAIMS_FILE]
    first = more if command == "reference" else ()  # its name
    return CliRunner().invoke(main, [command, *first, *map(str, places), *(more if not first else ())])


def written(case: Case, name: str = "two-cores") -> Path:
    result = run("reference", case, name)
    assert result.exit_code == 0, result.output
    return case[0] / "report/reference" / name


def resign(folder: Path) -> None:
    """Update the manifest to match the files, as a careful forger would."""
    files = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in reference._files(folder)}
    edit(folder / "manifest.json", lambda m: m.update(files=files))


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
    assert "cls  NOT CHECKED  not compared: other recipe (batch_size 128 -> 9)" in result.output
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
