"""The footer, and the command that reproduces the page."""

import json
import re
from pathlib import Path

import pytest

from onepage.files import HOME, read_json
from onepage.report.inputs import load_page
from onepage.runs.words import NBSP
from page_cases import Case, change_run, several, values_of


@pytest.mark.parametrize("joules", [None, {}, {"NVML GPU-0": 7200.0}])
def test_energy_is_shown_only_where_measured(joules: dict[str, float] | None, fresh: Case) -> None:
    for run in fresh[1:]:
        values = json.loads((run / "provenance.json").read_text())
        values["train"]["energy_joules"] = joules
        (run / "provenance.json").write_text(json.dumps(values))
    footer = {item["label"]: item["value"] for item in values_of(fresh)["footer"]}
    assert footer.get("Energy") == (f"4.0{NBSP}Wh (NVML GPU-0)" if joules else None)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_footer_says_that_no_gpu_is_measured_where_none_is(device: str, fresh: Case) -> None:
    change_run(fresh, "mt", lambda metrics: metrics.update(device=device))
    said = " ".join(item["value"] for item in values_of(fresh)["footer"])
    assert ("no GPU measured" in said) == (device == "cpu")


def test_the_page_says_no_gpu_until_a_reference_result_has_one() -> None:
    report = HOME / "report"
    kept = [read_json(path)["device"] for path in report.glob("reference/*/*/run.json")]
    assert kept and ("no_gpu" in load_page(report / "page.toml")) == (set(kept) == {"cpu"})


def test_the_footer_and_command_follow_both_runs(fresh: Case) -> None:
    change_run(fresh, "mt", lambda metrics: metrics.update(seed=3, commit=None, dirty=None, commit_time=None, tgt="fr"))
    values = values_of(fresh)
    footer = {item["label"]: item["value"] for item in values["footer"]}
    assert footer["Seed"] == "cls 0, one run; mt 3, one run"
    assert "mt none recorded" in footer["Commit"]
    assert values["reproduce"]["steps"][0][0] == "make all"
    assert values["commit_time"] == 1_767_225_600


@pytest.mark.parametrize(
    ("cls", "mt", "said"), [(60, 90, " BUDGET_MIN=60,90"), (5, 5, " BUDGET_MIN=5"), (0, 90, " BUDGET_MIN=0,90")]
)
def test_the_command_names_each_tasks_budget(cls: int, mt: int, said: str, fresh: Case) -> None:
    for task, minutes in (("cls", cls), ("mt", mt)):
        own = {"profile": f"full-budget{minutes}", "budget_minutes": minutes} if minutes else {"profile": "full"}
        change_run(fresh, task, lambda metrics, own=own: metrics.update(own))  # type: ignore[misc]
    assert values_of(fresh)["reproduce"]["steps"][0][0] == f"make all PROFILE=full{said} SEED=0 DATA=real THREADS=2"


def test_the_footer_says_which_seed_is_shown(three: Case) -> None:
    values = values_of(three)
    assert values["run_line"] == "profile quick, cls seed\u00a00 (n\u00a0=\u00a03) and mt seed\u00a00 (n\u00a0=\u00a01)"
    footer = {item["label"]: item["value"] for item in values["footer"]}
    assert footer["Seed"] == "cls 0, of 0, 1, 2 (n = 3); mt 0, one run"
    assert "n = 1" not in values["reproduce"]["note"] and "mean and sd" in values["reproduce"]["note"]
    assert values["reproduce"]["steps"][0][0] == "make all"  # the tasks have different seeds


@pytest.mark.slow
def test_the_command_names_every_seed(tmp_path: Path) -> None:
    case = several(tmp_path)
    assert values_of(case)["reproduce"]["steps"][0][0] == "make all PROFILE=quick SEEDS=0,1,2 DATA=real THREADS=2"
    titles = [table.title for table in values_of(case)["tables"]]
    assert titles[:2] == ["Every seed: cls", "Every seed: mt"]
    bleu = values_of(case)["sections"][1]["headline"]["seeds"]
    assert re.fullmatch(r"mean \d+\.\d\d ± \d+\.\d\d \(sd, n = 3 seeds\)", bleu)


@pytest.mark.parametrize(("src", "tgt", "said"), [("en", "de", ""), ("de", "en", " SRC=de TGT=en")])
def test_the_command_names_other_languages(src: str, tgt: str, said: str, fresh: Case) -> None:
    change_run(fresh, "mt", lambda metrics: metrics.update(src=src, tgt=tgt))
    assert values_of(fresh)["reproduce"]["steps"][0][0] == f"make all PROFILE=quick SEED=0 DATA=real THREADS=2{said}"
