"""Every score of ResNet-18 that is recounted from its logits: changed by hand it is found, in a line."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import synthetic_data
import synthetic_run
from edits import edit
from onepage.commands.main import main

CLAIMS_FILE = Path(__file__).resolve().parents[2] / "report" / "claims.toml"


@pytest.fixture
def cls_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that passes, and data that fits it."""
    cls_run, mt_run = synthetic_run.write_cls_run(tmp_path / "cls"), synthetic_run.write_mt_run(tmp_path / "mt")
    synthetic_data.pretend(monkeypatch, cls_run, mt_run)
    return cls_run


def verified(cls_run: Path) -> Result:
    places = [cls_run, cls_run.parent / "mt", "--out", cls_run.parent, "--claims", CLAIMS_FILE]
    return CliRunner().invoke(main, ["verify", *map(str, places), "--runs-only"])


@pytest.mark.parametrize(
    "path",
    ["nll", "brier", "ece", "calibrated.nll", "calibrated.brier", "calibrated.ece"]
    + ["confusion.3.5", "per_class.3.recall", "per_class.9.precision", "accuracy_interval.1", "correct"],
)
def test_any_score_changed_by_hand_is_found(path: str, cls_run: Path) -> None:
    def change(metrics: dict[str, Any]) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        values: Any = metrics["test"]
        for part in parents:
            values = values[part]
        values[last] += 1 if isinstance(values[last], int) else 1e-6

    edit(cls_run / "metrics.json", change)
    result = verified(cls_run)
    assert result.exit_code == 1 and f"for test.{path}, the predictions give" in " ".join(result.output.split())


@pytest.mark.fault("metrics.json of another shape", "FAIL in one line, and no traceback")
@pytest.mark.parametrize(
    "change",
    [
        lambda metrics: metrics["test"].pop("nll"),
        lambda metrics: metrics["test"].pop("per_class"),
        lambda metrics: metrics["test"].update(confusion=[[1, 2]]),
        lambda metrics: metrics["test"].update(nll=10**400),
        lambda metrics: metrics["test"].update(calibrated={}),
        lambda metrics: metrics["test"]["calibrated"].update(temperature=0),
        lambda metrics: metrics["test"]["calibrated"].update(temperature=[0.7]),
        lambda metrics: metrics["test"]["calibrated"].update(temperature="warm"),
        lambda metrics: metrics.update(test=[]),
        lambda metrics: metrics.update(test=None),
        lambda metrics: metrics.clear(),
    ],
)
def test_metrics_of_another_shape_fail_in_a_line(change: Callable[[Any], object], cls_run: Path) -> None:
    edit(cls_run / "metrics.json", change)
    result = verified(cls_run)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert re.search(r"cls-recount  .*  FAIL  ", result.output) and "Warning" not in result.output
