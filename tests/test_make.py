"""The make graph on a copy of the repository: every stage once, and then only what has to be."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest

from onepage.files import read_json

REPOSITORY = Path(__file__).resolve().parents[1]
# what a caller's make or shell would otherwise hand down
OURS = ("PROFILE", "SEED", "SEEDS", "DATA", "DATA_MIRROR", "SRC", "TGT", "DEVICE", "THREADS", "RECIPE", "PDF_ENGINE")
OURS += ("OUT", "DATA_DIR", "VENV", "STRICT", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "GNUMAKEFLAGS")
OURS += ("REF", "NAME", "FILE", "PAPER", "NPROC", "TORCHRUN", "JOBS", "BUNDLE")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    place = tmp_path_factory.mktemp("artifact")
    for name in ("code", "env", "figures", "report"):
        # pictures and pages drawn here stay behind (but not the templates, which are report.*.j2)
        drawn = {"figures": ("cls", "mt"), "report": ("report.md", "report.tex", "report.pdf", ".stamp")}.get(name, ())
        shutil.copytree(REPOSITORY / name, place / name, ignore=shutil.ignore_patterns("__pycache__", *drawn))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(REPOSITORY / name, place / name)
    return place


def make(place, *arguments, check=True):
    environment = {key: value for key, value in os.environ.items() if key not in OURS}
    settings = [f"VENV={Path(sys.prefix)}", f"PYTHON={sys.executable}", "PROFILE=smoke", "DATA=generated"]
    done = subprocess.run(
        ["make", *settings, *arguments], cwd=place, env=environment, capture_output=True, text=True, timeout=900
    )
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def would_run(place, *arguments):
    """The stages that make all would run now."""
    lines = make(place, "-n", "all", *arguments).stdout.splitlines()
    return [" ".join(line.split("-m onepage ")[1].split()[:2]) for line in lines if "-m onepage " in line]


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.fault("report or verify before any run", "`not run with these settings; run: make all`")
def test_report_and_verify_before_any_run_say_so_and_train_nothing(copy):
    for goal in ("report", "verify"):
        done = make(copy, goal, f"OUT={copy / 'empty'}", check=False)
        assert done.returncode != 0 and "not run" in done.stderr and not (copy / "empty" / "runs" / "cls").exists()


def test_provenance_asks_for_the_file_and_reference_for_runs(copy):
    done = make(copy, "provenance", check=False)
    assert done.returncode != 0 and "make provenance FILE=figures/cls/curves_cls.png" in done.stderr
    done = make(copy, "reference", "NAME=x", check=False)
    assert done.returncode != 0 and "not run with these settings" in done.stderr


@pytest.mark.fault(
    "a setting with spaces, or no number where one must be",
    "`must not contain spaces`, `must be ...`, `is for one task`, `is not a folder made by make bundle`",
)
@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("SEED=a", "whole numbers"),
        ("OUT=a b", "spaces"),
        ("BUDGET_MIN=6,9,1", "60,90 for cls and mt"),
        ("BUDGET_MIN=,9", "60,90 for cls and mt"),
        ("RECIPE=x.toml", "for one task"),
        ("PAPER=a5", "neither a4 nor letter"),
        ("BUNDLE=code", "is no folder that make bundle has made"),
    ],
)
def test_make_refuses_settings_it_cannot_use(copy, setting, says):
    done = make(copy, "all", setting, check=False)
    assert done.returncode != 0 and says in done.stderr


@pytest.mark.parametrize(("minutes", "cls", "mt"), [("7", "7", "7"), ("6,9", "6", "9"), ("0,9", "0", "9")])
def test_each_task_has_its_budget_and_its_plan(copy, minutes, cls, mt):
    lines = make(copy, "-n", "data", f"OUT={copy / 'budgets'}", f"BUDGET_MIN={minutes}").stdout.splitlines()
    for task, budget in (("cls", cls), ("mt", mt)):
        (line,) = [line for line in lines if f"onepage data {task} " in line]
        assert line.endswith(f"--budget {budget}") and (f"-budget{budget}" in line) == (budget != "0")


def test_a_bundle_is_where_data_and_packages_come_from(copy, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/wheels.json").write_text("{}", encoding="utf-8")
    for given, mirror in (([], tmp_path), (["DATA_MIRROR=elsewhere"], "elsewhere"), (["DATA_MIRROR="], tmp_path)):
        done = make(copy, "-n", "data", f"OUT={copy / 'bundled'}", f"BUNDLE={tmp_path}", *given)
        assert f'--mirror "{mirror}"' in done.stdout
    shown = make(copy, "-pn", "help", f"BUNDLE={tmp_path}").stdout
    assert "PIP_NO_INDEX := 1" in shown and f"PIP_FIND_LINKS := {tmp_path}/wheels" in shown


@pytest.mark.slow
def test_from_nothing_to_the_page_and_then_only_what_has_to_be(copy):
    said = make(copy, "all").stdout
    assert said.splitlines()[-1] == f"The page: {copy / 'report' / 'report.pdf'}"
    assert 0 <= said.find("page will be made by") < said.find("training from update")
    order = ["== Data: cls", "cls  plan", "== Training: cls", "== Evaluation: cls", "cls  test accuracy"]
    order += ["page report/report.pdf", "== Claims", "NOT CHECKED"]
    assert [said.find(text) for text in order] == sorted(said.find(text) for text in order)
    assert all(text in said for text in order)
    pages = pypdf.PdfReader(copy / "report" / "report.pdf").pages
    assert len(pages) == 1 and "generated" in pages[0].extract_text().lower()
    assert (copy / "report" / "report.md").is_file()
    for task in ("cls", "mt"):
        manifest = read_json(copy / "figures" / task / "figures.json")
        for figure in manifest["figures"]:
            assert (copy / "figures" / task / f"{figure['name']}.pdf").is_file()
        metrics = read_json(next((copy / "runs" / task).glob("*/smoke/seed0/metrics.json")))
        assert metrics["generated"] is True

    again = make(copy, "all")
    assert would_run(copy) == [] and "cls" not in again.stdout

    traced = make(copy, "provenance", "FILE=figures/cls/curves_cls.png").stdout
    assert "matches cls/toy-images/smoke/seed0 on disk" in traced and "generated  data" in traced
    done = make(copy, "reference", "NAME=smoke", check=False)  # its scores are under the floors of the generated sets
    assert done.returncode != 0 and "no reference result is written, since toy-" in done.stderr
    assert not (copy / "report" / "reference" / "smoke").exists()
    assert "NAME is not given" in make(copy, "reference", check=False).stderr
    assert "holds no reference result" in make(copy, "verify", "REF=nowhere", check=False).stderr

    # a fresh clone's times: everything newer than everything, contents the same
    for path in [*copy.glob("code/**/*.py"), *copy.glob("report/**/*.j2"), *copy.glob("code/**/*.toml")]:
        path.touch()
    assert would_run(copy) == []

    template = next((copy / "report" / "templates").glob("report.tex.j2"))
    template.write_text(template.read_text(encoding="utf-8") + "% a comment\n", encoding="utf-8")
    assert would_run(copy) == ["render --out", "verify --out"]
    make(copy, "report")
    assert would_run(copy) == []
    assert would_run(copy, "PAPER=letter") == ["render --out", "verify --out"]

    drawing = copy / "code" / "onepage" / "cls" / "draw.py"
    drawing.write_text(drawing.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    assert would_run(copy) == ["draw cls", "render --out", "verify --out"]

    edit(copy / "code" / "onepage" / "mt" / "recipes" / "smoke.toml", "updates = 60", "updates = 61")
    stages = would_run(copy)
    assert "train mt" in stages and "evaluate mt" in stages and "train cls" not in stages

    progress = copy / "code" / "onepage" / "terminal" / "progress.py"
    progress.write_text(progress.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    assert "train cls" not in would_run(copy)
    assert "train cls" in would_run(copy, "SEED=7")


@pytest.mark.slow
def test_two_seeds_are_trained_gathered_and_drawn_once(copy):
    elsewhere = f"OUT={copy / 'two'}"
    said = make(copy, "cls", elsewhere, "SEEDS=0 1").stdout
    folder = next((copy / "two" / "runs" / "cls").glob("*/smoke"))
    content = read_json(folder / "seeds.json")
    assert content["seeds"] == [0, 1] and len({row["weights_digest"] for row in content["rows"]}) == 2
    scores = [read_json(folder / f"seed{seed}" / "metrics.json")["test"]["accuracy"] for seed in (0, 1)]
    part = content["summary"]["test accuracy"]
    assert part["n"] == 2 and part["mean"] == pytest.approx(sum(scores) / 2)
    assert part["sd"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert "seeds 0, 1: test accuracy, mean " in said and "n = 2" in said
    drawn = read_json(copy / "two" / "figures" / "cls" / "figures.json")
    assert drawn["run"].endswith("/seed0")
    for again in ("SEEDS=0 1", "SEED=0"):
        assert "cls " not in make(copy, "cls", elsewhere, again).stdout


@pytest.mark.slow
def test_typst_makes_the_page_where_there_is_no_latex(copy):
    make(copy, "all", "PDF_ENGINE=typst")
    assert len(pypdf.PdfReader(copy / "report" / "report.pdf").pages) == 1

    said = make(copy, "ablate").stdout
    for variant in ("whole", "no-shortcuts", "no-causal-mask", "one-head"):
        assert f" {variant}: " in said
    assert would_run(copy, "PDF_ENGINE=typst") == ["render --out", "verify --out"]
    make(copy, "report", "PDF_ENGINE=typst")
    page = pypdf.PdfReader(copy / "report" / "report.pdf").pages
    assert len(page) == 1 and "without shortcuts" in " ".join(page[0].extract_text().split())
