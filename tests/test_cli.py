"""The command line: help for every stage, one line for what a user can mend."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from onepage.cli import main

REPOSITORY = Path(__file__).resolve().parents[1]


def invoke(*arguments):
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.split("Options:")[0].splitlines()) > 3


def test_a_missing_run_gets_one_line(tmp_path):
    result = invoke("evaluate", "cls", "--run", str(tmp_path / "none"))
    assert result.exit_code == 1 and "run.json is missing" in result.output and result.output.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--profile", "fast"], "no recipe 'fast' for cls; PROFILE is one of: "),
        (["--device", "tpu"], "DEVICE=tpu is not known"),
        (["--data", "imaginary"], "DATA=imaginary is not known"),
        (["--recipe", "/nowhere/mine.toml"], "/nowhere/mine.toml: not a readable recipe"),
    ],
)
def test_a_bad_setting_gets_one_line_and_writes_no_plan(tmp_path, arguments, says):
    plan = tmp_path / "plan.mk"
    result = invoke("data", "cls", "--plan", str(plan), "--data-dir", str(tmp_path / "data"), *arguments)
    assert result.exit_code == 1 and says in result.output and result.output.count("\n") == 1
    assert not plan.exists()


def test_languages_that_are_not_there_are_refused(tmp_path):
    plan = ["--plan", str(tmp_path / "plan.mk"), "--data-dir", str(tmp_path)]
    result = invoke("data", "mt", *plan, "--src", "en", "--tgt", "tlh", "--data", "real")
    assert result.exit_code == 1 and "tlh" in result.output and "Traceback" not in result.output


def test_help_does_not_wait_for_torch():
    code = "import sys; from onepage.cli import main; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(REPOSITORY / "code")})


def test_debug_shows_the_traceback(tmp_path):
    result = invoke("--debug", "evaluate", "cls", "--run", str(tmp_path / "none"))
    assert result.exception is not None and "run.json is missing" in str(result.exception)
