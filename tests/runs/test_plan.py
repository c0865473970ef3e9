"""The plan of a run: written when it changes, read back, refused when damaged."""

import json
import time
from pathlib import Path

import pytest

from onepage.errors import UserError
from onepage.runs import plan

VALUES = {"task": "cls", "seed": 0, "recipe": {"threads": 2}, "program": "p", "data_dir": "data", "set": "cifar10"}


def stamp(run: Path) -> int:
    return plan.path_of(run, "train").stat().st_mtime_ns


def test_a_plan_reads_back_equal(tmp_path: Path) -> None:
    assert plan.write(tmp_path, "train", VALUES)
    assert plan.read(tmp_path) == VALUES
    assert plan.identity(VALUES) == {"task": "cls", "seed": 0, "set": "cifar10"}


def test_it_is_rewritten_only_when_content_changes(tmp_path: Path) -> None:
    plan.write(tmp_path, "train", VALUES)
    first = stamp(tmp_path)
    time.sleep(0.02)
    assert not plan.write(tmp_path, "train", dict(reversed(VALUES.items()))) and stamp(tmp_path) == first
    assert plan.write(tmp_path, "train", VALUES | {"seed": 1}) and stamp(tmp_path) > first


def test_a_moved_data_folder_keeps_the_time(tmp_path: Path) -> None:
    plan.write(tmp_path, "train", VALUES)
    first = stamp(tmp_path)
    time.sleep(0.02)
    assert not plan.write(tmp_path, "train", VALUES | {"data_dir": "elsewhere"})
    assert stamp(tmp_path) == first and plan.read(tmp_path)["data_dir"] == "elsewhere"


def test_a_file_system_without_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is still written if its date cannot be kept. Training then finds that the run is finished."""
    plan.write(tmp_path, "train", VALUES)

    def refused(*arguments: object, **named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(plan.os, "utime", refused)
    assert not plan.write(tmp_path, "train", VALUES | {"data_dir": "elsewhere"})
    assert plan.read(tmp_path)["data_dir"] == "elsewhere"


@pytest.mark.fault(
    "a run folder whose plan is of another run", "`... holds the plan of ...; delete ... and run make again`"
)
@pytest.mark.parametrize("below", ["runs", "runs/.repro"])
def test_a_folder_holds_the_run_it_names(tmp_path: Path, below: str) -> None:
    """Otherwise a run on CIFAR-10 in a folder for generated images would be shown as one on generated images."""
    values = VALUES | {"profile": "quick"}
    plan.write(tmp_path / below / "cls/cifar10/quick/seed0", "train", values)
    assert plan.read(tmp_path / below / "cls/cifar10/quick/seed0") == values
    for place in ("cls/toy-images/quick/seed0", "cls/cifar10/full/seed0", "cls/cifar10/quick/seed1"):
        plan.write(tmp_path / below / place, "train", values)
        with pytest.raises(UserError, match="holds the plan of cls/cifar10/quick/seed0") as error:
            plan.read(tmp_path / below / place)
        assert "\n" not in str(error.value)
    plan.write(tmp_path / "elsewhere/seed1", "train", values)
    assert plan.read(tmp_path / "elsewhere/seed1") == values


@pytest.mark.fault(
    "a run that was not planned, or a damaged plan", "`... is not planned (...)`, `... is not a plan; ...`"
)
@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "is not planned"), ("[]", "is not a plan"), (json.dumps({"task": "cls"}), "is not a plan")],
)
def test_a_damaged_plan_gets_one_line(tmp_path: Path, content: str | None, says: str) -> None:
    if content is not None:
        path = plan.path_of(tmp_path, "train")
        path.parent.mkdir()
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=says) as error:
        plan.read(tmp_path)
    assert "\n" not in str(error.value)
