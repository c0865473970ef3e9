"""The command line: help for every stage, one line for what a user can mend."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from onepage.commands.main import main
from onepage.training import session
from onepage.training.session import Interrupted

REPOSITORY = Path(__file__).resolve().parents[2]


def invoke(*arguments):
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_explains_itself(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.split("Options:")[0].splitlines()) > 3


def every_command(group, name=""):
    for key, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, f"{name}{key} ")
        else:
            yield pytest.param(command, id=name + key)


@pytest.mark.parametrize("command", list(every_command(main)))
def test_every_default_is_a_value_that_its_option_takes(command):
    context = click.Context(command)
    for option in command.params:
        default = option.get_default(context)
        if isinstance(default, int | float | str | Path):  # others say, in ways of click's own, that there is none
            option.type_cast_value(context, default)


@pytest.mark.fault("a run folder that is not there", "`... is missing; ...`")
def test_a_missing_run_gets_one_line(tmp_path):
    result = invoke("evaluate", "cls", "--run", str(tmp_path / "none"))
    assert result.exit_code == 1 and "run.json is missing" in result.output and result.output.count("\n") == 1


@pytest.mark.fault("the Transformer evaluated without its plan", "`... needs --plan: ...`; exit status 2")
def test_evaluation_of_the_transformer_is_told_how_to_decode(tmp_path):
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    result = invoke("evaluate", "mt", "--run", str(tmp_path))
    assert result.exit_code == 2 and "evaluate mt needs --plan" in result.output


@pytest.mark.fault(
    "an unknown PROFILE, DEVICE, DATA or RECIPE", "one line that names what is known; no plan is written"
)
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


@pytest.mark.fault("Ctrl-C, SIGTERM", "how to go on; exit status 130, 143")
@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (Interrupted(signal.SIGINT, 7), 130, "SIGINT: stopped after update 7, saved; run the same command to go on"),
        (Interrupted(signal.SIGTERM, 7), 143, "SIGTERM: stopped after update 7, saved; run the same command to go on"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command to go on"),  # with nothing to save yet
    ],
)
def test_an_interruption_says_how_to_go_on_and_has_the_status_of_its_signal(error, status, says, tmp_path, monkeypatch):
    def read(path):
        raise error

    monkeypatch.setattr("onepage.planning.plan.read", read)
    result = invoke("train", "cls", "--plan", str(tmp_path / "p.mk"), "--run", str(tmp_path / "run"))
    assert (result.exit_code, result.output) == (status, f"onepage: {says}\n")


def test_the_caller_s_shell_does_not_seed_the_intervals_of_scores(monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "none")
    CliRunner().invoke(main, ["digest"])
    assert "SACREBLEU_SEED" not in os.environ


def test_the_interval_of_checkpoints_can_be_set(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 60.0)
    plan = ["train", "cls", "--plan", str(tmp_path / "none.mk"), "--run", str(tmp_path / "run")]
    monkeypatch.setenv("ONEPAGE_SAVE_EVERY", "3.5")
    assert invoke(*plan).exit_code == 1 and session.SAVE_EVERY_SECONDS == 3.5
    assert invoke(*plan, "--save-every", "0").exit_code == 1 and session.SAVE_EVERY_SECONDS == 0
    monkeypatch.setenv("ONEPAGE_SAVE_EVERY", "often")
    result = invoke(*plan)
    assert result.exit_code == 2 and "--save-every" in result.output


def test_debug_shows_the_traceback(tmp_path):
    result = invoke("--debug", "evaluate", "cls", "--run", str(tmp_path / "none"))
    assert result.exception is not None and "run.json is missing" in str(result.exception)
