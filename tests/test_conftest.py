"""The shared settings of the tests hide the caller's environment and keep pytest's options."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def python(*words: str, **changes: str) -> str:
    """Run Python in the repository with PATH, HOME and these changes as its environment; return what it prints."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | changes
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_of_the_caller_reaches_a_test(tmp_path: Path) -> None:
    hostile = {"SEED": "a", "MAKEFLAGS": "n", "GIT_DIR": str(tmp_path), "RANK": "3", "WORLD_SIZE": "4", "TZ": "JST"}
    hostile |= {"PIP_NO_INDEX": "0", "MKL_NUM_THREADS": "7", "OMP_NUM_THREADS": "7", "http_proxy": "http://127.0.0.1:9"}
    hostile |= {"ONEPAGE_SAVE_EVERY": "often", "MPLBACKEND": "none", "LC_ALL": "xx", "SOURCE_DATE_EPOCH": "1"}
    said = python(
        "-c",
        "import tests.conftest, json, os; print(json.dumps(dict(os.environ)))",
        PYTHONPATH=str(tmp_path),
        **hostile,
    )
    left = json.loads(said)
    assert not hostile.keys() & left.keys() - {"OMP_NUM_THREADS", "LC_ALL"}
    assert (left["OMP_NUM_THREADS"], left["LC_ALL"], left["PYTHONPATH"]) == ("1", "C.UTF-8", str(ROOT / "code"))


@pytest.mark.slow
def test_quiet_pytest_still_counts_its_tests(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text("def test_one(): pass\n", encoding="utf-8")
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    said = python(*words, str(tmp_path / "test_one.py"))
    assert said.splitlines()[-1].startswith("1 passed in ")
