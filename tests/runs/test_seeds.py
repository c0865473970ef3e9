"""Several seeds: mean and standard deviation match a calculation by hand, and only one experiment's seeds count."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import synthetic_run
from edits import edit
from onepage.commands.main import main
from onepage.errors import UserError
from onepage.files import read_json, sha256_file
from onepage.runs import seeds
from onepage.verification import verify


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "quick"
    for seed, share in ((0, 0.10), (1, 0.13), (2, 0.12)):
        synthetic_run.write_cls_run(folder / f"seed{seed}", seed=seed, error_rate=share)
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "quick"))


def seeds_command(run: Path) -> list[str]:
    result = CliRunner().invoke(main, ["seeds", str(run)])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_mean_and_sample_deviation_by_hand() -> None:
    rows = [{"measures": {"a": 1.0, "b": 2.0}}, {"measures": {"a": 2.0}}, {"measures": {"a": 6.0}}]
    # mean (1 + 2 + 6) / 3; squared deviations 4 + 1 + 9 = 14, divided by n - 1 = 2
    assert seeds.summary(rows) == {"a": {"mean": 3.0, "sd": 7**0.5, "n": 3}, "b": {"mean": 2.0, "sd": None, "n": 1}}
    assert seeds.summary([]) == {}


def test_file_holds_scores_and_curve_of_each_seed(runs: Path) -> None:
    said = seeds_command(runs / "seed1")
    content = read_json(runs / "seeds.json")
    assert list(content) == ["seeds", "rows", "summary"]
    assert content["seeds"] == [0, 1, 2]
    accuracies = []
    for seed, row in enumerate(content["rows"]):
        metrics = read_json(runs / f"seed{seed}/metrics.json")
        lines = (runs / f"seed{seed}/history.jsonl").read_text().splitlines()
        assert row["seed"] == seed and row["metrics_sha256"] == sha256_file(runs / f"seed{seed}/metrics.json")
        assert row["weights_digest"] == metrics["weights_digest"]
        assert row["history"] == [json.loads(line) for line in lines]
        accuracies.append(metrics["test"]["accuracy"])
        assert row["measures"] == {
            "test accuracy": metrics["test"]["accuracy"],
            "test accuracy with mirror image": metrics["test"]["tta"]["accuracy"],
        }
    mean = sum(accuracies) / 3
    sd = (sum((value - mean) ** 2 for value in accuracies) / 2) ** 0.5
    assert content["summary"]["test accuracy"] == {"mean": pytest.approx(mean), "sd": pytest.approx(sd), "n": 3}
    assert said == [f"cls  seeds 0, 1, 2: test accuracy, mean {100 * mean:.2f} %, sd {100 * sd:.2f} %, n = 3"]


def test_file_is_the_same_whichever_seed_is_shown(runs: Path) -> None:
    seeds.write(runs / "seed0")
    first = (runs / "seeds.json").read_bytes()
    seeds.write(runs / "seed2")
    assert (runs / "seeds.json").read_bytes() == first


def test_the_file_stays_while_it_says_the_same(runs: Path) -> None:
    """The pictures then stay too, even if make gathers each time because a seed is missing."""
    path = runs / "seeds.json"

    def when() -> int:
        seeds.write(runs / "seed0")
        return path.stat().st_mtime_ns

    first = when()
    assert when() == first
    later = first + 10**9
    os.utime(runs / "seed1/metrics.json", ns=(later, later))
    os.utime(path, ns=(first - 10**9, first - 10**9))
    second = when()  # it was older than its inputs, so make would run this each time
    assert second > first - 10**9
    os.utime(runs / "seed1/metrics.json", ns=(first, first))
    shutil.rmtree(runs / "seed2")
    when()
    assert read_json(path)["seeds"] == [0, 1]


def test_one_seed_has_no_deviation(runs: Path) -> None:
    for seed in (1, 2):
        shutil.rmtree(runs / f"seed{seed}")
    assert seeds_command(runs / "seed0") == []
    content = read_json(runs / "seeds.json")
    assert content["seeds"] == [0] and {part["sd"] for part in content["summary"].values()} == {None}
    assert {part["n"] for part in content["summary"].values()} == {1}


def test_translation_is_averaged_for_each_test_set(tmp_path: Path) -> None:
    scores = []
    for seed in (0, 1):
        run = synthetic_run.write_mt_run(tmp_path / f"seed{seed}", seed=seed)
        metrics = read_json(run / "metrics.json")
        scores.append(metrics["tests"]["test_2017_flickr"]["bleu"]["score"])
    content, left_out = seeds.gather(tmp_path / "seed0")
    part = content["summary"]["test_2017_flickr BLEU"]
    assert part["mean"] == pytest.approx(sum(scores) / 2)
    assert part["sd"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert left_out == [] and "test_2016_flickr BLEU" in content["summary"]


@pytest.mark.fault("a seed of another recipe, data or code beside the others", "`not among the seeds: ...`")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: m["recipe"].update(batch_size=9), "other recipe"),
        (lambda m: m.update(decoding={"beam_size": 4}), "other decoding settings"),
        (lambda m: m.update(data_digest="0" * 64), "other data"),
        (lambda m: m.update(program="0" * 64), "other training code"),
        (lambda m: m["versions"].update(torch="2.14.0"), "other library versions"),
        (lambda m: m.update(threads=4), "other number of threads"),
        (lambda m: m.update(precision="bf16"), "other precision"),
        (lambda m: m.update(seed=0), "holds seed 0"),
        (lambda m: m["test"].pop("tta"), "cannot be read"),
    ],
)
def test_another_experiment_is_left_out_and_named(runs: Path, change: Callable[[Any], object], why: str) -> None:
    edit(runs / "seed1/metrics.json", change)
    said = seeds_command(runs / "seed0")
    assert read_json(runs / "seeds.json")["seeds"] == [0, 2]
    assert said[0].startswith("cls  seeds 0, 2: ") and said[1:] == [f"cls  not among the seeds: seed1 ({why})"]


def test_seed_evaluated_by_other_code_is_left_out(runs: Path) -> None:
    edit(runs / "seed2/provenance.json", lambda p: p["evaluate"].update(program="0" * 64))
    assert seeds.comparable(runs / "seed0")[1] == ["seed2 (other evaluation code)"]


def test_damaged_neighbours_and_other_folders_are_left_out(runs: Path) -> None:
    (runs / "seed1/metrics.json").write_text("{", encoding="utf-8")
    (runs / "seed2/history.jsonl").write_text("{", encoding="utf-8")
    shutil.copytree(runs / "seed0", runs / "seed0-before")
    (runs / "seed7").mkdir()  # still in training
    content, left_out = seeds.gather(runs / "seed0")
    assert content["seeds"] == [0]
    assert left_out == ["seed0-before (holds seed 0)", "seed1 (cannot be read)", "seed2 (history.jsonl cannot be read)"]


def test_run_shown_must_be_there_and_whole(runs: Path) -> None:
    with pytest.raises(UserError, match=r"seed9/metrics\.json is missing"):
        seeds.write(runs / "seed9")
    (runs / "seed0/history.jsonl").unlink()
    with pytest.raises(UserError, match=r"history\.jsonl cannot be read"):
        seeds.write(runs / "seed0")
    assert not (runs / "seeds.json").exists()


def test_a_file_of_other_numbers_is_not_taken(runs: Path) -> None:
    digest = sha256_file(runs / "seed0/metrics.json")
    assert seeds.load(runs / "seed0", digest) == {}
    content, _ = seeds.write(runs / "seed0")
    assert seeds.load(runs / "seed0", digest) == content
    with pytest.raises(UserError, match=r"seeds\.json is older than seed0"):
        seeds.load(runs / "seed0", "0" * 64)
    (runs / "seeds.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"seeds\.json is not from this program"):
        seeds.load(runs / "seed0", digest)


def checked(run: Path) -> list[tuple[str, str, str]]:
    evidence = {"cls": verify.Evidence("cls", run, run.parent, run.parent)}
    return [(row.id, row.state, row.reason) for row in verify.seed_checks(evidence)]


@pytest.mark.fault("a number in seeds.json edited by hand", "`mean or sd is not that of its rows`")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c["summary"]["test accuracy"].update(mean=0.99), "mean or sd is not that of its rows"),
        (lambda c: c["summary"]["test accuracy"].update(sd=0.0), "mean or sd is not that of its rows"),
        (lambda c: c["rows"][1]["measures"].update({"test accuracy": 0.99}), "seed 1 is not what its run says"),
        (lambda c: c["rows"][2]["history"].pop(), "seed 2 is not what its run says"),
        (lambda c: c["seeds"].append(9), "lists other seeds than it holds"),
        (lambda c: c["rows"].append(c["rows"][0] | {"seed": 9}), "seed 9 is not what its run says"),
        (lambda c: c["rows"][0].update(seed=9), r"seed9/metrics\.json is missing"),
        (lambda c: c["rows"].clear(), "is not from this program"),
        (lambda c: c.pop("rows"), "is not from this program"),
    ],
)
def test_number_edited_by_hand_fails_verification(runs: Path, change: Callable[[Any], object], why: str) -> None:
    seeds.write(runs / "seed0")
    assert checked(runs / "seed0") == [("cls-seeds", "PASS", "n = 3")]
    edit(runs / "seeds.json", change)
    ((name, state, reason),) = checked(runs / "seed0")
    assert (name, state) == ("cls-seeds", "FAIL")
    assert re.search(why, reason) and reason.endswith("; delete it and run: make cls")


def test_one_seed_or_a_newer_one_is_fine(runs: Path, tmp_path: Path) -> None:
    """One seed gets no row, and a seed that was trained later is not required."""
    assert checked(runs / "seed0") == []
    aside = (runs / "seed1").rename(tmp_path / "seed1"), (runs / "seed2").rename(tmp_path / "seed2")
    seeds.write(runs / "seed0")
    assert checked(runs / "seed0") == []
    aside[0].rename(runs / "seed1")
    seeds.write(runs / "seed0")
    aside[1].rename(runs / "seed2")
    assert checked(runs / "seed0") == [("cls-seeds", "PASS", "n = 2")]
