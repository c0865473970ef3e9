"""The task in docs/example-task.md works: the tests build it from the document's blocks and run it with make.

Three kinds of blocks change files: "`path`, new:" and a whole file; "`path`, at its end:" and the lines to append;
"`path`:" and lines with ``-`` and ``+``, whose old lines must occur in that file exactly once. The last old line may be
the beginning of a longer line. A block without a path belongs to the path before it.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from checkout import REPOSITORY, make
from onepage.cls.scores import wilson_interval
from onepage.files import read_json
from tests.test_make import copy  # noqa: F401 (a fixture)

DOCUMENT = (REPOSITORY / "docs" / "example-task.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"(?:^`([^`\n]+)`(, new|, at its end)?:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One code block: its file, its kind ("new", "end", "diff" or "sh"), and its text."""

    path: str
    kind: str
    text: str


def blocks(document: str) -> list[Block]:
    """The code blocks of a document in order; raises ValueError for a block of unknown kind."""
    found, path = [], ""
    for named, how, language, text in _BLOCK.findall(document):
        path = named or path
        kind = {", new": "new", ", at its end": "end"}.get(how, language)
        if kind not in ("new", "end", "diff", "sh") or (kind in ("new", "end") and not named):
            raise ValueError(f"a block of {language} says neither which file it is nor what it changes: {text[:60]}")
        found.append(Block(path, kind, text))
    if document.count("\n```") != 2 * len(found):
        raise ValueError("a code block is not read")
    return found


def apply(block: Block, place: Path) -> None:
    """Apply one block to the files in ``place``; raises ValueError if it does not fit them."""
    file = place / block.path
    if block.kind == "new":
        if file.exists():
            raise ValueError(f"{block.path} is there already")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")
    elif block.kind == "end":
        file.write_text(file.read_text(encoding="utf-8") + block.text, encoding="utf-8")
    elif block.kind == "diff":
        file.write_text(changed(file.read_text(encoding="utf-8"), block), encoding="utf-8")


def changed(text: str, block: Block) -> str:
    """``text`` with the block's old lines replaced by its new ones."""
    lines = block.text.splitlines()
    if any(line[:1] not in ("-", "+", " ") for line in lines) or not any(line[0] in "-+" for line in lines):
        raise ValueError(f"{block.path}: every line starts with -, + or a space, and one at least with - or +")
    old = "\n".join(line[1:] for line in lines if line[0] != "+")
    new = "\n".join(line[1:] for line in lines if line[0] != "-")
    if f"\n{text}".count(f"\n{old}") != 1:
        raise ValueError(f"{block.path}: these lines stand there {text.count(old)} times, not once:\n{old}")
    return f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]


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
