"""Plan and data that a benchmark is given, and rates read off a history."""

from pathlib import Path

import pytest

from onepage.benchmarks import ours
from onepage.errors import UserError
from onepage.files import write_json
from onepage.runs import history


def test_the_plan_of_a_run_is_read(planned: dict, tmp_path: Path) -> None:
    write_json(tmp_path / "run.json", planned)
    found = ours.plan(tmp_path, Path("data"), "cls")
    assert found == planned | {"data_dir": str(Path("data").resolve())}
    assert set(found) - set(ours.identity(found)) == {"recipe", "data_dir"}
    with pytest.raises(UserError, match="is no run of the Transformer; give one of make mt"):
        ours.plan(tmp_path, Path("data"), "mt")


def test_other_data_than_planned_get_one_line(planned: dict) -> None:
    assert len(ours.images(planned).train_images) == 80
    with pytest.raises(UserError, match="not what was planned"):
        ours.images(planned | {"data_digest": "another"})


def test_a_rate_leaves_out_the_warm_up(tmp_path: Path) -> None:
    rows = [{"images": 10, "seconds": 100.0}, {"images": 20, "seconds": 101.0}, {"images": 50, "seconds": 108.0}]
    history.write(tmp_path / "history.jsonl", rows)
    assert ours.rate(tmp_path, "images") == 5.0
