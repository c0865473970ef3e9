"""kill -9 while pictures or page are made: no target appears early, and the next run writes equal bytes."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from checkout import contents
from edits import edited
from onepage.commands.main import main
from onepage.report import pdf
from page_cases import write_case
from synthetic_run import write_cls_run

CODE = str(Path(pdf.__file__).parents[2])
KILLED = """
import os, signal, sys

left = int(sys.argv[1])

def count():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def counted(call):
    def counting(*given):
        count()
        call(*given)
        count()
    return counting

os.fsync, os.replace = counted(os.fsync), counted(os.replace)
from onepage.commands.main import main
main(sys.argv[2:])
"""
ENGINE = "typst" if not pdf._typst_lacks() else "latex"


def command(arguments: Sequence[str | Path]) -> None:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def killed(arguments: Sequence[str | Path], step: int) -> None:
    """Run a command in a process that kills itself at this step, before or after fsync or rename."""
    words = [sys.executable, "-c", KILLED, str(step), *map(str, arguments)]
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": CODE}, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.fault("kill -9 while pictures are drawn", "the same command draws them; the same bytes, nothing left over")
def test_killed_while_drawing(tmp_path):
    run = write_cls_run(tmp_path / "runs/cls/cifar10/quick/seed0")
    with edited(run / "explain.npz") as arrays:  # one Grad-CAM picture instead of eight
        arrays |= {name: values[:1] for name, values in arrays.items() if name != "layers"}
    straight, again = tmp_path / "straight", tmp_path / "again"
    command(["draw", run, "--figures", straight])
    files = len(contents(straight))
    for step in (1, 6, 27, 4 * files - 1):  # four steps per file; the last one precedes the rename of figures.json
        killed(["draw", run, "--figures", again], step)
        assert not (again / "figures.json").exists()  # the target
        assert any(again.glob(".*.tmp"))
    command(["draw", run, "--figures", again])
    assert contents(again) == contents(straight)


@pytest.mark.slow
@pytest.mark.skipif(bool(pdf._typst_lacks() and pdf._latex_lacks()), reason="neither LaTeX nor typst here")
@pytest.mark.fault("kill -9 while the page is made", "the same command makes it; the same bytes, nothing left over")
def test_killed_while_rendering(tmp_path):
    out, *runs = write_case(tmp_path / "out")
    render = ["render", *runs, "--out", out, "--engine", ENGINE]
    command(render)
    straight = contents(out / "report")
    for name in straight:
        (out / "report" / name).unlink()
    for step in (1, 3, 8, 14, 4 * len(straight) - 1):
        killed(render, step)
        assert not (out / "report/report.pdf").exists()  # the target
    command(render)
    assert contents(out / "report") == straight
