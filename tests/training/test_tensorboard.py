"""LOG=tensorboard writes the history to one event file, each step once, and does not change the training."""

import datetime
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from onepage.errors import UserError
from onepage.runs import history
from onepage.training import tensorboard
from small_training import run, stopped


class Writer:
    """Stands in for SummaryWriter: it writes one line per scalar."""

    number = 0

    def __init__(self, folder: Path, purge_step: int) -> None:
        Writer.number += 1
        self.path, self.lines = folder / f"events.out.tfevents.{Writer.number}", []

    def add_scalar(self, tag: str, scalar_value: float, global_step: int, walltime: float) -> None:
        self.lines.append(json.dumps([tag, scalar_value, global_step, walltime]) + "\n")

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        self.path.write_text("".join(self.lines), encoding="utf-8")


def scalars(folder: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """{(name, step): (value, time)} of the only event file; fails if a scalar is there twice."""
    (path,) = folder.glob("events.out.tfevents.*")
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len({(name, step) for name, _, step, _ in found}) == len(found)
    return {(name, step): (value, time) for name, value, step, time in found}


def test_each_step_is_there_once_also_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, straight: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    monkeypatch.setenv("LOG", "tensorboard")
    folder = tmp_path / "run"
    stopped(monkeypatch, folder, updates=5)
    first = scalars(folder)
    assert run("mt", folder) == straight
    rows, found = history.read(folder / "history.jsonl"), scalars(folder)
    assert len(rows) == 2 and first.items() < found.items()
    assert {key: value for key, (value, _) in found.items()} == {
        (name, row["step"]): row[name] for row in rows for name in row.keys() - {"step", "seconds"}
    }
    times = {step: time for (_, step), (_, time) in found.items()}
    seconds = {row["step"]: row["seconds"] for row in rows}
    assert times[8] - times[4] == pytest.approx(seconds[8] - seconds[4], abs=1e-3)


def test_tensorboard_reads_them(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="no tensorboard here: pip install tensorboard"
    )
    rows = [{"step": 4 * k, "val_loss": 1.5 / k, "seconds": 10.0 * k} for k in (1, 2)]
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    for count in (1, 2):
        tensorboard.write(tmp_path, started, rows[:count])
    found = accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in found.Scalars("val_loss")] == [(4, 1.5), (8, 0.75)]


@pytest.mark.fault("LOG=tensorboard without its package", "`LOG=tensorboard needs its package (...); run: ...`")
def test_a_missing_package_is_named_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.setenv("LOG", "tensorboard")
    with pytest.raises(UserError, match=r"needs its package \(.*\); run: \S+ -m pip install tensorboard$"):
        run("mt", tmp_path / "run")
    assert not (tmp_path / "run").exists()
