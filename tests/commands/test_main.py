"""The command line: help for every stage, and one line for each error that a user can fix."""

import os
import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from onepage.commands.main import main
from onepage.errors import Interrupted
from onepage.training import session


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
def test_every_option_takes_its_default(command):
    context = click.Context(command)
    for option in command.params:
        default = option.get_default(context)
        if isinstance(default, int | float | str | Path):  # click marks a missing default with other types
            option.type_cast_value(context, default)


@pytest.mark.fault("a run folder that is not there", "`... is missing; ...`")
def test_a_missing_run_gets_one_line(tmp_path):
    result = invoke("evaluate", str(tmp_path / "none"))
    assert result.exit_code == 1 and "run.json is missing" in result.output and result.output.count("\n") == 1


@pytest.mark.fault("a run trained or evaluated without its plan", "`... is not planned (... is missing)...`")
@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_a_stage_without_its_plan_is_refused(stage, tmp_path):
    (tmp_path / "run.json").write_text("{}", encoding="utf-8")
    result = invoke(stage, str(tmp_path))
    assert result.exit_code == 1 and result.output.count("\n") == 1
    assert f"is not planned ({tmp_path}/plan/{stage}.json is missing)" in result.output


@pytest.mark.fault(
    "an unknown PROFILE, DEVICE, DATA or RECIPE", "one line that names what is known; no plan is written"
)
@pytest.mark.parametrize(
    ("task", "settings", "says"),
    [
        ("cls", ["PROFILE=fast"], "no recipe 'fast' for cls; PROFILE is one of: "),
        ("cls", ["DEVICE=tpu"], 'DEVICE="tpu": must be auto, cpu or cuda'),
        ("cls", ["DATA=imaginary"], 'DATA="imaginary": must be auto, real or generated'),
        ("cls", ["RECIPE={absent}/mine.toml"], "absent/mine.toml: not a readable recipe"),
        ("mt", ["SRC=en", "TGT=tlh", "DATA=real"], 'TGT="tlh": must be en, de or fr'),
        ("mt", ["SRC=de", "TGT=de", "DATA=real"], "de"),
        ("diffusion", [], "'diffusion' is not a task; choose one of cls, mt"),
        ("cls", ["quick"], "'quick' is not a setting; give NAME=value"),
    ],
)
def test_a_bad_setting_gets_one_line(task, settings, says, tmp_path):
    settings = [setting.format(absent=tmp_path / "absent") for setting in settings]
    result = invoke("plan", task, f"OUT={tmp_path}", f"DATA_DIR={tmp_path}/data", *settings)
    assert result.exit_code == 1 and says in result.output and result.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("Ctrl-C, SIGTERM", "how to go on; exit status 130, 143")
@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (Interrupted(signal.SIGINT, "stopped; go on"), 130, "SIGINT: stopped; go on"),
        (Interrupted(signal.SIGTERM, "stopped; go on"), 143, "SIGTERM: stopped; go on"),
        (KeyboardInterrupt(), 130, "interrupted; run the same command to go on"),  # with nothing to save yet
    ],
)
def test_an_interruption_says_how_to_resume(error, status, says, tmp_path, monkeypatch):
    """The exit status is that of the signal."""

    def read(run):
        raise error

    monkeypatch.setattr("onepage.runs.plan.read", read)
    result = invoke("train", str(tmp_path / "run"))
    assert (result.exit_code, result.output) == (status, f"onepage: {says}\n")


@pytest.mark.fault("CUDA fails in the middle of training", "its first line; `...; --debug shows where`")
def test_an_error_of_cuda_is_one_line(tmp_path, monkeypatch):
    class AcceleratorError(RuntimeError):
        """The class has the name that torch uses."""

    def read(run):
        raise AcceleratorError("CUDA error: an illegal memory access was encountered\nSearch for ...\n")

    monkeypatch.setattr("onepage.runs.plan.read", read)
    result = invoke("train", str(tmp_path / "run"))
    said = "onepage: CUDA error: an illegal memory access was encountered; --debug shows where\n"
    assert (result.exit_code, result.output) == (1, said)


def test_the_shell_does_not_seed_score_intervals(monkeypatch):
    monkeypatch.setenv("SACREBLEU_SEED", "none")
    CliRunner().invoke(main, ["digest"])
    assert "SACREBLEU_SEED" not in os.environ


def test_the_interval_of_checkpoints_can_be_set(tmp_path, monkeypatch):
    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 60.0)
    train = ["train", str(tmp_path / "run")]
    monkeypatch.setenv("ONEPAGE_SAVE_EVERY", "3.5")
    assert invoke(*train).exit_code == 1 and session.SAVE_EVERY_SECONDS == 3.5
    assert invoke(*train, "--save-every", "0").exit_code == 1 and session.SAVE_EVERY_SECONDS == 0
    monkeypatch.setenv("ONEPAGE_SAVE_EVERY", "often")
    result = invoke(*train)
    assert result.exit_code == 2 and "--save-every" in result.output


def test_debug_shows_the_traceback(tmp_path):
    result = invoke("--debug", "evaluate", str(tmp_path / "none"))
    assert result.exception is not None and "run.json is missing" in str(result.exception)
