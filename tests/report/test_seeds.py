"""The page of several seeds: mean, standard deviation and n beside the seed shown; with one seed, one seed."""

import re
import shutil
import statistics
from pathlib import Path

import pypdf
import pytest

import synthetic_run
from onepage.errors import UserError
from onepage.files import read_json
from onepage.report import render
from onepage.runs import seeds
from page_cases import Case, change_run, markdown_of, plain_text, values_of, write_case
from tests.report.test_page import ENGINES


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A page of seed 0 with the seeds 0, 1 and 2 of cls; mt has one seed."""
    out, cls_run, mt_run = write_case(tmp_path_factory.mktemp("three"))
    for seed in (1, 2):
        synthetic_run.write_cls_run(cls_run.parent / f"seed{seed}", seed=seed, error_rate=0.12 + seed / 100)
    seeds.write(cls_run)
    seeds.write(mt_run)
    return out, cls_run, mt_run


def accuracies(case: Case) -> list[float]:
    return [100 * read_json(path)["test"]["accuracy"] for path in sorted(case[1].parent.glob("seed*/metrics.json"))]


def test_beside_the_headline_stand_mean_deviation_and_n(three: Case) -> None:
    values = accuracies(three)
    assert len(values) == 3
    cls, mt = (section["headline"] for section in values_of(three)["sections"])
    mean, sd = (f"{part(values):.2f}" for part in (statistics.fmean, statistics.stdev))
    assert cls["seeds"] == f"mean {mean} ± {sd} (sd, n = 3 seeds)"
    assert cls["value"] == f"{values[0]:.2f}" and mt["seeds"] == ""


def test_page_and_footer_say_which_seed_is_shown_of_how_many(three: Case) -> None:
    values = values_of(three)
    assert values["run_line"] == "profile quick, cls seed\u00a00 (n\u00a0=\u00a03) and mt seed\u00a00 (n\u00a0=\u00a01)"
    footer = {item["label"]: item["value"] for item in values["footer"]}
    assert footer["Seed"] == "cls 0, of 0, 1, 2 (n = 3); mt 0, one run"
    assert "n = 1" not in values["reproduce"]["note"] and "mean and sd" in values["reproduce"]["note"]
    assert values["reproduce"]["steps"][0][0] == "make all"  # the tasks have other seeds


def test_the_command_names_every_seed_and_the_one_shown_first(tmp_path: Path) -> None:
    case = write_case(tmp_path)
    for seed in (1, 2):
        synthetic_run.write_cls_run(case[1].parent / f"seed{seed}", seed=seed)
        synthetic_run.write_mt_run(case[2].parent / f"seed{seed}", seed=seed)
    for run in case[1:]:
        seeds.write(run)
    assert values_of(case)["reproduce"]["steps"][0][0] == "make all PROFILE=quick SEEDS=0,1,2 DATA=real"
    assert [table["task"] for table in values_of(case)["seeds"]] == ["cls", "mt"]
    bleu = values_of(case)["sections"][1]["headline"]["seeds"]
    assert re.fullmatch(r"mean \d+\.\d\d ± \d+\.\d\d \(sd, n = 3 seeds\)", bleu)


def test_the_markdown_lists_every_seed(three: Case) -> None:
    text = plain_text(markdown_of(three))
    values = accuracies(three)
    (table,) = values_of(three)["seeds"]
    assert table["columns"] == ["", "seed 0", "seed 1", "seed 2", "mean", "sd (n − 1)"]
    names = ["test accuracy", "test accuracy with mirror image", "test accuracy with mirror image and shifts"]
    assert [row[0] for row in table["rows"]] == [*(f"{name}, %" for name in names), "weights"]
    assert table["rows"][0][1:] == [f"{v:.2f}" for v in (*values, statistics.fmean(values), statistics.stdev(values))]
    assert all(cell in text for row in table["rows"] for cell in row)
    assert "(sd, n = 3 seeds)" in text and "Every seed: cls" in markdown_of(three)


def test_one_seed_is_one_seed(real: Case, tmp_path: Path) -> None:
    """With a seeds.json of one seed the page is, to the byte, the one without."""
    out = Path(shutil.copytree(real[0], tmp_path / "out"))
    case = (out, *(out / run.relative_to(real[0]) for run in real[1:]))
    before = markdown_of(case)
    for run in case[1:]:
        seeds.write(run)
    assert markdown_of(case) == before
    assert (
        "seed 0 (n = 1)" in plain_text(before).replace("\u00a0", " ")
        and "seeds)" not in before
        and "Every seed" not in before
    )


@pytest.mark.fault("a seeds.json older than its run", "`... does not hold ... as it is now; ...`")
def test_seeds_of_other_numbers_are_refused(three: Case, tmp_path: Path) -> None:
    out = Path(shutil.copytree(three[0], tmp_path / "out"))
    case = (out, *(out / run.relative_to(three[0]) for run in three[1:]))
    change_run(case, "cls", lambda metrics: metrics["test"].update(accuracy=0.99))
    with pytest.raises(UserError, match=r"seeds\.json does not hold seed0 as it is now"):
        values_of(case)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_shows_them_on_one_page(engine: str, three: Case) -> None:
    reader = pypdf.PdfReader(render.render(*three, engine))
    text = " ".join(reader.pages[0].extract_text().split())
    assert len(reader.pages) == 1
    assert values_of(three)["sections"][0]["headline"]["seeds"] in text
