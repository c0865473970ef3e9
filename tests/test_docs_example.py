"""The task in docs/example-task.md works: the tests build it from the document's blocks and run it with make."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import REPOSITORY, make
from docs_example import Block, apply, blocks, changed
from onepage.cls.scores import wilson_interval
from onepage.files import read_json
from tests.test_make import copy  # noqa: F401 (a fixture)

DOCUMENT = (REPOSITORY / "docs" / "example-task.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def built(copy: Path) -> Path:  # noqa: F811
    """A copy of the repository with the example in it."""
    for block in blocks(DOCUMENT):
        apply(block, copy)
    return copy


@pytest.mark.parametrize("text", ["x\n", "-x\n+y\n", " a\n"])
def test_blocks_that_do_not_fit_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"starts with|not once"):
        changed("a\nb\n", Block("f", "diff", text))


def test_blocks_are_applied() -> None:
    assert changed("a\nb\nc\n", Block("f", "diff", " a\n-b\n+d\n+e\n")) == "a\nd\ne\nc\n"
    with pytest.raises(ValueError, match="2 times"):
        changed("a\na\n", Block("f", "diff", "-a\n+b\n"))


def test_example_keeps_the_rules_of_the_code(built: Path) -> None:
    for command in (["ruff", "check", "code"], ["ruff", "format", "--check", "code"]):
        done = subprocess.run([sys.executable, "-m", *command], cwd=built, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


def changed_files(document: str) -> set[str]:
    """The files of the repository that the document's blocks change."""
    return {block.path for block in blocks(document) if block.kind in ("diff", "end")}


def test_example_changes_two_files_and_imports_no_task(built: Path) -> None:
    assert changed_files(DOCUMENT) == {"code/onepage/tasks.py", "report/claims.toml"}
    for path in (built / "code" / "onepage" / "mlp").glob("*.py"):
        assert not re.search(r"onepage\.(cls|mt)\b", path.read_text(encoding="utf-8")), path.name


@pytest.mark.slow
def test_command_line_and_make_know_the_example(built: Path) -> None:
    """Commands for all tasks also work if one task lacks modules that the others have."""
    environment = os.environ | {"PYTHONPATH": str(built / "code")}
    command = [sys.executable, "-m", "onepage", "--help"]
    done = subprocess.run(command, cwd=built, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "classify" in done.stdout, done.stderr
    assert "  mlp   " in make(built, "help").stdout
    planned = {goal: make(built, "-n", goal, "OUT=unplanned").stdout for goal in ("all", "ablate", "runs")}
    assert "plan mlp" in planned["runs"]
    assert "plan mlp" not in planned["all"] and "plan mlp" not in planned["ablate"]  # not on the page; no ablation
    refused = make(built, "mlp", "OUT=unplanned", "BUDGET_MIN=5", check=False)
    assert "mlp cannot be scaled to a training time" in refused.stderr


@pytest.mark.slow
def test_example_is_trained_evaluated_drawn_and_verified(built: Path) -> None:
    (text,) = [block.text for block in blocks(DOCUMENT) if block.kind == "sh"]
    (train, goal, data), (_, _, *verify) = (line.split() for line in text.splitlines())
    assert (train, goal, data) == ("make", "mlp", "DATA=generated")
    make(built, goal, data, "PROFILE=quick")
    environment = os.environ | {"PYTHONPATH": str(built / "code")}
    done = subprocess.run(
        [sys.executable, *verify], cwd=built, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "mlp-recount" in done.stdout and "FAIL" not in done.stdout
    assert any(line.startswith("toy-mlp ") and " PASS " in line for line in done.stdout.splitlines())
    run = built / "runs" / "mlp" / "toy-images" / "quick" / "seed0"
    metrics = read_json(run / "metrics.json")
    assert metrics["test"]["accuracy"] >= 0.30 and metrics["generated"] is True
    low, high = metrics["test"]["accuracy_interval"]
    assert [low, high] == pytest.approx(wilson_interval(metrics["test"]["correct"], metrics["test"]["n"]), abs=1e-12)
    assert read_json(run.parent / "seeds.json")["seeds"] == [0]
    names = {figure["name"] for figure in read_json(built / "figures" / "mlp" / "figures.json")["figures"]}
    assert names == {"curves_mlp"}
    traced = make(built, "provenance", "FILE=figures/mlp/curves_mlp.png").stdout
    assert "matches mlp/toy-images/quick/seed0 on disk" in traced

    again = make(built, goal, data, "PROFILE=quick").stdout
    assert "training" not in again and "== " not in again
    drawing = built / "code" / "onepage" / "mlp" / "draw.py"
    before = drawing.read_text(encoding="utf-8")
    drawing.write_text(f"{before}# a comment\nMORE = 1\n", encoding="utf-8")
    redrawn = make(built, goal, data, "PROFILE=quick").stdout
    drawing.write_text(before, encoding="utf-8")  # restored for the other tests of this copy
    assert "mlp  figures in figures/mlp/" in redrawn and "training" not in redrawn and "mlp  test" not in redrawn


@pytest.mark.slow
def test_example_gives_the_same_bits_twice(built: Path) -> None:
    digests = set()
    for out in ("one", "two"):
        make(built, "mlp", "DATA=generated", "PROFILE=smoke", f"OUT={out}")
        run = built / out / "runs" / "mlp" / "toy-images" / "smoke" / "seed0"
        digests.add(read_json(run / "metrics.json")["weights_digest"])
    assert len(digests) == 1
