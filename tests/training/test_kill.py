"""kill -9 at random moments, also while a checkpoint is written: the run resumes and ends with equal bytes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from onepage.runs import history

HERE = Path(__file__).resolve().parents[1] / "support"


def without_seconds(path):
    return [{**row, "seconds": 0} for row in history.read(path)]


@pytest.mark.fault(
    "kill -9 at 20 moments, in the middle of writing too", "the same command goes on; the same bytes as without"
)
@pytest.mark.slow
def test_killed_at_twenty_moments_gives_the_same_bytes(tmp_path):
    paths = [HERE, HERE.parent, HERE.parents[1] / "code"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [sys.executable, HERE / "killed_training.py", tmp_path],
        env=environment, capture_output=True, text=True, timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["kills"] == {"by time": 10, "in writing": 10}
    straight = (tmp_path / "straight.digest").read_text(encoding="utf-8")
    resumed = []
    for name in told["folders"]:
        if name != told["folders"][-1] or (tmp_path / name).exists():
            assert (tmp_path / f"{name}.digest").read_text(encoding="utf-8") == straight, name
            rows = without_seconds(tmp_path / name / "history.jsonl")
            assert rows == without_seconds(tmp_path / "straight" / "history.jsonl") and len(rows) == 5
            left = {path.name for path in (tmp_path / name).iterdir()}
            assert left == {path.name for path in (tmp_path / "straight").iterdir()}
            resumed += re.findall(r"resuming at update (\d+)", (tmp_path / f"{name}.log").read_text(encoding="utf-8"))
    assert len(set(resumed)) >= 5, resumed  # resumed from many places, not started over each time
