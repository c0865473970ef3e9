"""The run that a command takes if none is named."""

import os
from pathlib import Path

import pytest

from onepage.errors import UserError
from onepage.runs import lookup


def finished(run: Path, evaluated: int) -> Path:
    """Write what counts as a finished run, evaluated at that time."""
    run.mkdir(parents=True)
    for name in ("model.pt", "metrics.json"):
        (run / name).touch()
    os.utime(run / "metrics.json", (evaluated, evaluated))
    return run


@pytest.mark.parametrize(("task", "model"), [("cls", "ResNet-18"), ("mt", "the Transformer")])
def test_the_run_evaluated_last_is_taken(task: str, model: str, tmp_path: Path) -> None:
    place = tmp_path / "runs" / task
    with pytest.raises(UserError) as error:
        lookup.newest_run(tmp_path, task)
    assert str(error.value) == f"no finished run of {model} in {place}; run make {task}, or give MODEL"
    one, other = (finished(place / name, 1_000_000 - k) for k, name in enumerate(("a/quick/seed0", "b/full/seed3")))
    assert lookup.chosen(None, tmp_path, task) == (one, " (2 runs; the one evaluated last)")
    os.utime(other / "metrics.json", (2_000_000, 2_000_000))
    assert lookup.newest_run(tmp_path, task) == (other, 2)


def test_unfinished_runs_and_other_tasks_do_not_count(tmp_path: Path) -> None:
    run = finished(tmp_path / "runs/cls/a/quick/seed0", 1_000_000)
    finished(tmp_path / "runs/mt/a/quick/seed0", 2_000_000)
    for number, name in enumerate(("metrics.json", "model.pt"), start=1):
        (finished(tmp_path / f"runs/cls/a/quick/seed{number}", 2_000_000) / name).unlink()
    assert lookup.chosen(None, tmp_path, "cls") == (run, "")
    assert lookup.chosen(Path("given"), tmp_path, "cls") == (Path("given"), "")
