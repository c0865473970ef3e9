"""The plan of a benchmark, and rates read from a history."""

from pathlib import Path

import pytest

from onepage.benchmarks import ours
from onepage.errors import UserError
from onepage.runs import history, plan


def test_the_plan_must_be_for_the_task(planned: dict, tmp_path: Path) -> None:
    plan.write(tmp_path, "train", planned | {"data_dir": "data"})
    assert ours.plan(tmp_path, "cls") == planned | {"data_dir": str(Path("data").resolve())}
    with pytest.raises(UserError, match="is not a run of the Transformer; give one made by make mt"):
        ours.plan(tmp_path, "mt")


def test_a_rate_leaves_out_the_warm_up(tmp_path: Path) -> None:
    rows = [{"images": 10, "seconds": 100.0}, {"images": 20, "seconds": 101.0}, {"images": 50, "seconds": 108.0}]
    history.write(tmp_path / "history.jsonl", rows)
    assert ours.rate(tmp_path, "images") == 5.0
