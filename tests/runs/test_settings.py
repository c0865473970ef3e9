"""The settings: defaults, what is allowed, and one line for what is not."""

import re
from pathlib import Path

import pytest

from onepage.errors import UserError
from onepage.runs import settings
from onepage.tasks import TASKS

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULTS = {setting.name: setting.default for setting in settings.SETTINGS}


def test_every_default_is_allowed() -> None:
    values = settings.resolve({})
    assert values | {"SEEDS": ""} == DEFAULTS and values["SEEDS"] == "0"
    assert len(DEFAULTS) == len(settings.SETTINGS)
    assert {setting.group for setting in settings.SETTINGS} == set(settings.GROUPS)


def test_make_reads_every_name_from_the_table() -> None:
    """The Makefile finds the names by a pattern, so each row must begin as the pattern says."""
    text = (REPOSITORY / "code/onepage/runs/settings.py").read_text(encoding="utf-8")
    assert re.findall(r'^    Setting\("([A-Z_]*)"', text, re.MULTILINE) == list(DEFAULTS)


@pytest.mark.fault("a setting that is not allowed", "`must be ...`, `... is not a setting; see: make help`")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"SEED": "a"}, 'SEED="a": must be a whole number, 0 or more'),
        ({"SEED": "-1"}, "must be a whole number"),
        ({"NPROC": "0"}, "must be a whole number, 1 or more"),
        ({"OUT": "a b"}, "must not contain spaces"),
        ({"DATA": "Real"}, "must be auto, real or generated"),
        ({"PAPER": "a5"}, "must be a4 or letter"),
        ({"BUDGET_MIN": "1.5"}, "must be minutes"),
        ({"BUDGET_MIN": "6,9,1"}, "60,90 for cls and mt"),
        ({"BUDGET_MIN": ",9"}, "60,90 for cls and mt"),
        ({"BUNDLE": "code"}, "is not a folder made by make bundle"),
        ({"SEEDS": "0 01"}, "must be whole numbers"),
        ({"SEEDS": "1 2 1"}, "a seed is given twice"),
        ({"SEEDS": "1 2", "SEED": "2"}, "disagree"),
        ({"NPROC": "2", "JOBS": "2"}, "JOBS gives each seed one device"),
        ({"TORCHRUN": "--nnodes 2", "BUDGET_MIN": "5"}, "BUDGET_MIN is for one process"),
        ({"SEEEDS": "1"}, "SEEEDS is not a setting"),
    ],
)
def test_a_value_not_allowed_gets_one_line(given: dict[str, str], says: str) -> None:
    with pytest.raises(UserError) as error:
        settings.resolve(given)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "seed", "seeds"),
    [({"SEED": "3"}, "3", "3"), ({"SEEDS": "3,0 1"}, "3", "3 0 1"), ({"SEEDS": " 2 ", "SEED": "2"}, "2", "2")],
)
def test_the_first_of_the_seeds_is_shown(given: dict[str, str], seed: str, seeds: str) -> None:
    values = settings.resolve(given)
    assert (values["SEED"], values["SEEDS"]) == (seed, seeds)


def test_each_task_has_its_minutes() -> None:
    for text, expected in (("0", (0, 0)), ("7", (7, 7)), ("6,9", (6, 9)), ("0,9", (0, 9))):
        values = settings.resolve({"BUDGET_MIN": text})
        assert tuple(settings.budget_of(values, task) for task in TASKS) == expected


def test_a_bundle_is_the_default_mirror(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/wheels.json").write_text("{}", encoding="utf-8")
    bundle = {"BUNDLE": str(tmp_path)}
    assert settings.resolve(bundle)["DATA_MIRROR"] == str(tmp_path)
    assert settings.resolve(bundle | {"DATA_MIRROR": "elsewhere"})["DATA_MIRROR"] == "elsewhere"


def test_words_repeat_what_is_not_the_default() -> None:
    given = {"DATA": "real", "TORCHRUN": "--rdzv-conf 'a=1'", "SEED": "4"}
    values = settings.resolve(given)
    assert settings.resolve(settings.parse(settings.words(values))) == values
    assert settings.words(settings.resolve({})) == []
    assert "TORCHRUN='--rdzv-conf '\"'\"'a=1'\"'\"''" in settings.words(values, shell=True)
    with pytest.raises(UserError, match="give NAME=value"):
        settings.parse(["quick"])


def test_what_the_environment_sets_is_one_line() -> None:
    given = {"DATA": "real", "TEXT": "a\nb " + 100 * "c", "PAPER": "a4", "STRICT": "1"}
    line = settings.from_environment(given, ["TEXT", "DATA", "PAPER"])
    assert line.startswith("onepage: from the environment: TEXT='a b ccc") and "PAPER" not in line
    assert "DATA=real; to leave one out: env -u TEXT make ..." in line and line.isprintable() and len(line) < 200
    assert settings.from_environment(given, ["PAPER"]) == settings.from_environment(given, []) == ""


def test_help_and_table_list_every_setting() -> None:
    text = settings.help_text((REPOSITORY / "Makefile").read_text(encoding="utf-8"))
    table = settings.table()
    for setting in settings.SETTINGS:
        assert re.search(rf"^  {setting.name}={re.escape(setting.default)} ", text, re.MULTILINE), setting.name
        assert f"| `{setting.name}` |" in table and setting.help in table
    assert all(re.search(rf"^  {task} +train", text, re.MULTILINE) for task in TASKS)
    assert max(map(len, text.splitlines())) <= 120
