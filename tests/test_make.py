"""The make graph on a copy of the repository: each stage runs once, and again only after a change."""

import itertools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pypdf
import pytest

from checkout import RECIPES, contents, copy_to, environment, make, run_make
from onepage.__main__ import main
from onepage.files import read_json
from onepage.runs import graph

TRACED = ".SHELLFLAGS=-xpeu -o pipefail -c"  # the shell prints each command that it runs, after "+ "


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository that tests do not change."""
    return copy_to(tmp_path_factory.mktemp("artifact"), RECIPES)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(a copy of the repository after make all, its output). Tests do not change the copy."""
    place = copy_to(tmp_path_factory.mktemp("made") / "artifact", RECIPES)
    return place, make(place, "all").stdout


@pytest.fixture
def finished(made, tmp_path):
    """A copy of the repository after make all that the test may change."""
    return Path(shutil.copytree(made[0], tmp_path / "artifact"))


def would_run(place, *arguments):
    """The stages that make all would run now: "train cls", "render" and so on."""
    stages = []
    for line in make(place, "-n", "all", *arguments).stdout.splitlines():
        if "-m onepage " in line:
            stage, *words = line.split("-m onepage ")[1].split()
            task = next((re.split("[/ ]", word.partition("runs/")[2])[0] for word in words if "runs/" in word), "")
            stages.append(stage if stage in ("render", "verify") else f"{stage} {task or words[0]}")
    return stages


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(path, line):
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")


def commands(printed):
    """[(a command of the program, the words that follow it)] in what make -n printed."""
    found = []
    for line in printed.splitlines():
        for text in line.split("-m onepage ")[1:]:
            words = shlex.shlex(text, posix=True, punctuation_chars=";|&")
            words.whitespace_split = True
            rest = list(itertools.takewhile(lambda word: word not in (";", "||", "&&"), words))
            command = main
            while isinstance(command, click.Group):
                command = command.get_command(click.Context(command), rest.pop(0))
            found.append((command, rest))
    return found


GIVEN = ["FILE=a.png", "TEXT=Some words.", "NAME=mine", "REF=b", "BENCH_RUN=c", "DATA_MIRROR=d", "OUT=elsewhere"]


@pytest.mark.parametrize(
    ("goals", "named"),
    [(goal, f"plan {goal.removeprefix('bench-')}") for goal in graph.ALONE if goal != "data"]
    + [
        ("data", "plan"),
        ("cls SEEDS=0,1", "plan train-all seeds draw"),
        (
            "OTHERS MODEL=a.safetensors",
            "plan train evaluate seeds draw render verify repeat translate export",
        ),
    ],
)
def test_each_command_line_suits_its_command(copy, goals, named):
    """click reads each line that make -n prints for a target and runs nothing. OTHERS: all targets that may join."""
    targets = re.findall(r"^([a-z-]+):.*##", (copy / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    others = " ".join(target for target in targets if target not in graph.ALONE)
    found = commands(make(copy, "-n", *goals.replace("OTHERS", others).split(), *GIVEN).stdout)
    for command, words in found:
        with command.make_context(command.name, words):
            pass
    assert set(named.split()) <= {command.name for command, _ in found}


def test_provenance_asks_for_its_file(copy):
    done = make(copy, "provenance", check=False)
    assert done.returncode != 0 and "make provenance FILE=figures/cls/curves_cls.png" in done.stderr


@pytest.mark.fault(
    "a setting with spaces, or no number where one must be",
    "`must not contain spaces`, `must be ...`",
)
@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("SEED=a", 'SEED="a": must be a whole number, 0 or more'),
        ("OUT=a b", 'OUT="a b": must not contain spaces'),
    ],
)
def test_make_refuses_settings_it_cannot_use(copy, setting, says):
    done = make(copy, "all", setting, check=False)
    assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_a_bundle_gives_data_and_packages(copy, tmp_path):
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/wheels.json").write_text("{}", encoding="utf-8")
    for given, mirror in (([], tmp_path), (["DATA_MIRROR=elsewhere"], "elsewhere"), (["DATA_MIRROR="], tmp_path)):
        done = make(copy, "-n", "data", f"OUT={copy / 'bundled'}", f"BUNDLE={tmp_path}", *given)
        assert f" DATA_MIRROR={mirror} " in done.stdout and " plan --again mt " in done.stdout
    shown = make(copy, "-pn", "help", f"BUNDLE={tmp_path}").stdout
    assert "PIP_NO_INDEX := 1" in shown and f"PIP_FIND_LINKS := {tmp_path}/wheels" in shown


@pytest.mark.parametrize("seeds", ["SEEDS=0", "SEEDS=0 1"])
def test_a_dry_run_changes_no_file(tmp_path, seeds):
    """In a fresh copy, without environment and plans: nothing is installed, and every stage is printed."""
    copy = copy_to(tmp_path / "copy")
    before = contents(copy)
    done = run_make(copy, "-n", "all", "PYTHON=python3", seeds)
    assert done.returncode == 0 and contents(copy) == before and done.stderr == ""
    stages = ["env/setup.py", "plan cls", "plan mt"]
    stages += ["train runs/cls", "evaluate runs/cls"] if seeds == "SEEDS=0" else ["train-all"]
    stages += ["seeds runs/cls", "draw runs/cls", "draw runs/mt", "render ", "verify "]
    places = [done.stdout.find(stage) for stage in stages]
    assert -1 not in places and places == sorted(places), done.stdout


@pytest.mark.slow
def test_from_nothing_to_the_page(made):
    copy, said = made
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


@pytest.mark.slow
def test_what_changed_decides_which_stages_run(finished):
    copy = finished
    again = make(copy, "all", TRACED)
    started = [line[2:].split()[0] for line in again.stderr.splitlines() if line.startswith("+ ")]
    # one Python, which imports little: the time of a make that has nothing to do
    assert [Path(program).name for program in started] == ["sed", Path(sys.executable).resolve().name, "echo"]
    assert "cls" not in again.stdout and would_run(copy) == []
    (line,) = (line for line in again.stderr.splitlines() if " -SEc " in line)
    words = shlex.split(line[2:])
    words[words.index("-SEc") + 1] += "; print(*sys.modules)"
    done = subprocess.run(words, cwd=copy, env=environment(), capture_output=True, text=True, check=True)
    slow = {"argparse", "dataclasses", "inspect", "ast", "tokenize"}  # the last two: to digest changed code
    assert not slow & set(done.stdout.splitlines()[-1].split())

    traced = make(copy, "provenance", "FILE=figures/cls/curves_cls.png").stdout
    assert "matches cls/toy-images/smoke/seed0 on disk" in traced and "generated  data" in traced
    done = make(copy, "reference", "NAME=smoke", check=False)  # its scores are below the floors of the generated sets
    assert done.returncode != 0 and "toy-accuracy, toy-bleu failed, so no reference result is written" in done.stderr
    assert not (copy / "report" / "reference" / "smoke").exists()
    assert "NAME='' is not a folder name" in make(copy, "reference", check=False).stderr
    assert "holds no reference result" in make(copy, "verify", "REF=nowhere", check=False).stderr

    # as in a fresh clone: new dates, same contents
    for path in [*copy.glob("code/**/*.py"), *copy.glob("report/**/*.j2"), *copy.glob("code/**/*.toml")]:
        path.touch()
    assert would_run(copy) == []

    template = next((copy / "report" / "templates").glob("report.tex.j2"))
    template.write_text(template.read_text(encoding="utf-8") + "% a comment\n", encoding="utf-8")
    assert would_run(copy) == ["render", "verify"]
    make(copy, "report")
    assert would_run(copy) == []
    assert would_run(copy, "PAPER=letter") == ["render", "verify"]

    drawing, model = (copy / "code" / "onepage" / "cls" / name for name in ("draw.py", "resnet.py"))
    for module in (drawing, model):
        append(module, "# a comment")
    assert would_run(copy) == []
    append(drawing, "ADDED = 1")
    assert would_run(copy) == ["draw cls", "render", "verify"]

    edit(copy / "code" / "onepage" / "mt" / "recipes" / "smoke.toml", "updates = 60", "updates = 61")
    stages = would_run(copy)
    assert {"plan mt", "train mt", "evaluate mt", "draw mt"} <= set(stages) and "train cls" not in stages

    progress = copy / "code" / "onepage" / "terminal" / "progress.py"
    append(progress, "ADDED = 1")
    assert "train cls" not in would_run(copy)
    assert "train cls" in would_run(copy, "SEED=7")


@pytest.mark.slow
def test_two_seeds_are_trained_gathered_and_drawn_once(made, tmp_path):
    copy, elsewhere = made[0], f"OUT={tmp_path}"
    said = make(copy, "cls", elsewhere, "SEEDS=0 1").stdout
    folder = next((tmp_path / "runs" / "cls").glob("*/smoke"))
    content = read_json(folder / "seeds.json")
    assert content["seeds"] == [0, 1] and len({row["weights_digest"] for row in content["rows"]}) == 2
    scores = [read_json(folder / f"seed{seed}" / "metrics.json")["test"]["accuracy"] for seed in (0, 1)]
    part = content["summary"]["test accuracy"]
    assert part["n"] == 2 and part["mean"] == pytest.approx(sum(scores) / 2)
    assert part["sd"] == pytest.approx(abs(scores[0] - scores[1]) / 2**0.5)
    assert "seeds 0, 1: test accuracy, mean " in said and "n = 2" in said
    drawn = read_json(tmp_path / "figures" / "cls" / "figures.json")
    assert drawn["run"].endswith("/seed0")
    for again in ("SEEDS=0 1", "SEED=0"):
        assert "cls " not in make(copy, "cls", elsewhere, again).stdout


@pytest.mark.slow
def test_typst_makes_the_page_where_there_is_no_latex(finished):
    copy = finished
    make(copy, "all", "PDF_ENGINE=typst")
    assert len(pypdf.PdfReader(copy / "report" / "report.pdf").pages) == 1

    said = make(copy, "ablate").stdout
    for variant in ("whole", "no-shortcuts", "no-causal-mask", "one-head"):
        assert f" {variant}: " in said
    assert would_run(copy, "PDF_ENGINE=typst") == ["render", "verify"]
    make(copy, "report", "PDF_ENGINE=typst")
    page = pypdf.PdfReader(copy / "report" / "report.pdf").pages
    text = " ".join(page[0].extract_text().split())
    assert len(page) == 1 and re.search(r"validation accuracy [\d.]+ %; no shortcuts [\d.]+ %", text), text
