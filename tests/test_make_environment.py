"""make under a caller's environment: variables, shell functions, flags and settings of other programs.

tests/support/fake_onepage.py replaces onepage, so the tests cover only the make graph.
"""

import os
import subprocess
from pathlib import Path

import pytest

from checkout import REPOSITORY
from hostile import variables
from tests.test_make_seeds import Make, stages

OF_ALL = ["train cls", "evaluate cls", "train mt", "evaluate mt", "seeds cls", "draw cls", "seeds mt", "draw mt"]
OF_ALL = [f"{call} seed0" for call in [*OF_ALL, "render cls"]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return Make(tmp_path)


@pytest.mark.slow
def test_hostile_variables_change_no_stage(make: Make, tmp_path: Path) -> None:
    status, calls, said = make("all", **variables(tmp_path))
    assert status == 0 and sorted(calls) == sorted(OF_ALL), said
    assert "broken" not in said and "onepage: from the environment: " in said and "NAME=host-17" in said
    assert make("all")[:2] == (0, [])


@pytest.mark.fault("an exported bash function named like a command, or BASH_ENV", "it is not called")
@pytest.mark.parametrize(
    "given",
    [{"BASH_FUNC_sed%%": "() { echo broken; }"}, {"BASH_ENV": "profile"}, {"SHELLOPTS": "xtrace:noexec"}],
)
def test_no_shell_of_the_caller_runs(make: Make, tmp_path: Path, given: dict[str, str]) -> None:
    variables(tmp_path)  # writes the profile
    given = {name: value.replace("profile", str(tmp_path / "profile")) for name, value in given.items()}
    status, _, said = make("help", "SEED=a", **given)
    assert status == 2 and 'SEED="a": must be a whole number' in said and said.count("\n") == 1


@pytest.mark.fault("a setting with a misspelt name", "`... is not a setting; did you mean ...?`")
@pytest.mark.parametrize(("given", "meant"), [("PROFIL=smoke", "PROFILE"), ("BUDGET=5", "BUDGET_MIN")])
def test_a_misspelt_setting_is_refused(make: Make, given: str, meant: str) -> None:
    status, calls, said = make("all", given)
    assert status == 2 and calls == [] and said.count("\n") == 1
    assert f"{given.partition('=')[0]} is not a setting; did you mean {meant}?" in said
    assert make("help", "V=1")[0] == 0  # not like any setting: perhaps of a Makefile that calls this one


@pytest.mark.fault("make -i, -t or -e, also in MAKEFLAGS", "`make -... ...; leave it out, also in MAKEFLAGS`")
def test_flags_that_spoil_results_are_refused(make: Make) -> None:
    for arguments, settings in ((["-ki"], {}), ([], {"MAKEFLAGS": "si -j8"})):
        status, calls, said = make("all", *arguments, **settings)
        assert status == 2 and calls == [] and "make -i continues after" in said and said.count("\n") == 1


def test_with_keep_going_one_failure_stays_one(make: Make) -> None:
    """With -k and many jobs in MAKEFLAGS, one task fails and the other finishes. Then make fails."""
    status, calls, said = make("all", MAKEFLAGS="ks -j8", FAILS="cls/seed0")
    assert status != 0 and "onepage: cls/seed0 broke" in said
    assert calls == ["train cls seed0", *stages("mt", 0), "seeds mt seed0", "draw mt seed0"]


def test_settings_from_the_environment_are_named_once(make: Make) -> None:
    status, calls, said = make("cls", DATA="generated", PAPER="a4", THREADS="2", FILE="a\tb\x1b[1m")
    named = "FILE='a b [1m' DATA=generated THREADS=2; to leave one out: env -u FILE make ..."
    expected = f"onepage: from the environment: {named}\n"
    assert status == 0 and calls and said == expected  # once, although make reads its files again after planning
    assert make("cls", "DATA=generated", "THREADS=2") == (0, [], "")


@pytest.mark.fault(
    "a setting that another program exports, as OUT or SEED", "a line names it; an error says `from the environment`"
)
def test_an_error_says_that_its_value_came_from_outside(make: Make, tmp_path: Path) -> None:
    status, _, said = make("cls", SEED="x", SRC="en")
    assert status == 2 and "must be a whole number, 0 or more (SEED: from the environment)" in said
    assert "from the environment" not in make("cls", "SEED=x")[2]
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    given = {"PATH": os.environ["PATH"], "PYTHON": str(broken), "VENV": str(tmp_path)}
    done = subprocess.run(["make", "help"], cwd=REPOSITORY, env=given, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot run" in done.stderr and "(PYTHON is from the environment)" in done.stderr
