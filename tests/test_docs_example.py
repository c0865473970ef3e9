"""docs/example-task.md is a task that works: built from the document's own blocks, and run by make."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs_example import Block, apply, blocks, changed
from onepage.files import read_json
from tests.test_make import REPOSITORY, copy, make  # noqa: F401 (copy is a fixture)

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


@pytest.mark.slow
def test_example_is_trained_evaluated_drawn_and_verified(built: Path) -> None:
    (command,) = [block.text.split() for block in blocks(DOCUMENT) if block.kind == "sh"]
    assert command == ["make", "mlp", "DATA=generated"]
    said = make(built, *command[1:], "PROFILE=quick").stdout
    assert "toy-mlp" in said and "mlp-recount" in said and "FAIL" not in said
    assert any(line.startswith("toy-mlp ") and " PASS " in line for line in said.splitlines())
    run = built / "runs" / "mlp" / "toy-images" / "quick" / "seed0"
    metrics = read_json(run / "metrics.json")
    assert metrics["test"]["accuracy"] >= 0.30 and metrics["generated"] is True
    names = {figure["name"] for figure in read_json(built / "figures" / "mlp" / "figures.json")["figures"]}
    assert names == {"curves_mlp", "confusion_matrix", "confusion_counts"}
    traced = make(built, "provenance", "FILE=figures/mlp/curves_mlp.png").stdout
    assert "matches mlp/toy-images/quick/seed0 on disk" in traced

    again = make(built, *command[1:], "PROFILE=quick").stdout
    assert "training" not in again and "toy-mlp" in again
    drawing = built / "code" / "onepage" / "figures" / "mlp.py"
    drawing.write_text(drawing.read_text(encoding="utf-8") + "# a comment\n", encoding="utf-8")
    redrawn = make(built, *command[1:], "PROFILE=quick").stdout
    assert "mlp  figures in figures/mlp/" in redrawn and "training" not in redrawn and "mlp  test" not in redrawn


@pytest.mark.slow
def test_example_gives_the_same_bits_twice(built: Path) -> None:
    digests = set()
    for out in ("one", "two"):
        make(built, "mlp", "DATA=generated", "PROFILE=smoke", f"OUT={out}", check=False)  # its claim fails, as it must
        run = built / out / "runs" / "mlp" / "toy-images" / "smoke" / "seed0"
        digests.add(read_json(run / "metrics.json")["weights_digest"])
    assert len(digests) == 1
