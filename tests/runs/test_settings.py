"""The settings: defaults, allowed values, and a one-line error for other values."""

import re
import shlex
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
        pytest.param(
            {"NPROC": "0"}, "must be a whole number, 1 or more", id="processes",
            marks=pytest.mark.fault(
                "NPROC or JOBS that are no numbers, or with what does not go with them",
                "`must be a whole number, ...`, `... is for one process`, `... one device`",
            ),
        ),
        ({"JOBS": "two"}, "must be a whole number, 1 or more"),
        ({"OUT": "a b"}, "must not contain spaces"),
        ({"DATA": "Real"}, "must be auto, real or generated"),
        ({"PAPER": "a5"}, "must be a4 or letter"),
        ({"BUDGET_MIN": "1.5"}, "must be minutes"),
        ({"BUDGET_MIN": "6,9,1"}, "60,90 for cls and mt"),
        ({"BUDGET_MIN": ",9"}, "60,90 for cls and mt"),
        ({"BUNDLE": "code"}, "is not a folder made by make bundle"),
        pytest.param(
            {"SEEDS": "0 a"}, "must be whole numbers", id="seeds",
            marks=pytest.mark.fault(
                "SEEDS that are no whole numbers, stand there twice, or do not begin with SEED",
                "`must be whole numbers ...`, `a seed is given twice`, `... disagree`",
            ),
        ),
        ({"SEEDS": "0 -1"}, "must be whole numbers"),
        ({"SEEDS": "0 01"}, "must be whole numbers"),
        ({"SEEDS": "1.5"}, "must be whole numbers"),
        ({"SEEDS": "1 2 1"}, "a seed is given twice"),
        ({"SEEDS": "1 2", "SEED": "2"}, "disagree"),
        ({"NPROC": "2", "JOBS": "2"}, "JOBS gives each seed one device"),
        ({"NPROC": "2", "BUDGET_MIN": "5"}, "is for one process"),
        ({"TORCHRUN": "--nnodes 2", "BUDGET_MIN": "5"}, "BUDGET_MIN is for one process"),
        ({"SEEEDS": "1"}, "SEEEDS is not a setting"),
        ({"SEED": "9" * 5000}, "must be a whole number"),
        ({"PROFILE": "../x"}, "must be a name of letters, digits, - and _"),
        ({"PROFILE": "a:b"}, "must be a name of letters, digits, - and _"),
        ({"DATA_MIRROR": "~nobody-of-that-name/x"}, "~NAME must name an existing user"),
    ],
)  # fmt: skip
def test_a_value_not_allowed_gets_one_line(given: dict[str, str], says: str) -> None:
    with pytest.raises(UserError) as error:
        settings.resolve(given)
    assert says in str(error.value) and "\n" not in str(error.value)


PATHS = [setting.name for setting in settings.SETTINGS if setting.allowed is settings.PATH]


@pytest.mark.fault("a path that make or a shell would read in another way", "`must not contain spaces or any of ...`")
@pytest.mark.parametrize("name", ["OUT", "DATA_DIR", "VENV", "RECIPE"])
def test_a_path_make_cannot_hold_is_refused(name: str) -> None:
    for text in ["a:b", "a#b", "a$b", "a;b", "a&b", "a'b", 'a"b', "a%b", "a*", "a?", "a=b", "a|b", "a\\"]:
        with pytest.raises(UserError, match=f"^{name}=.*must not contain spaces or any of") as error:
            settings.resolve({name: text})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", PATHS)
def test_other_paths_that_are_refused(name: str) -> None:
    for text in ["-x", "~nobody-of-that-name/x", "a(b", "a\x07", "a\udcff", "a\u00a0b", "https://a/b"]:
        with pytest.raises(UserError, match="must not contain"):
            settings.resolve({name: text})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~/x", "{home}/x"),
        ("~", "{home}"),
        ("x/", "x"),
        ("a//b/./c/", "a/b/c"),
        ("./x", "x"),
        ("../x", "../x"),
        ("a/../b", "a/../b"),
        ("sortie-é/ß_1,2+3@4", "sortie-é/ß_1,2+3@4"),
        ("a~b-c.d", "a~b-c.d"),
    ],
)
def test_a_path_is_written_as_python_does(
    text: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """make and Python then use the same name for each file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("OUT", "DATA_DIR", "VENV", "RECIPE", "DATA_MIRROR"):
        assert settings.resolve({name: text})[name] == path.format(home=tmp_path)


@pytest.mark.fault("OUT, DATA_DIR or VENV that is a file", "`... is a file; give the name of a folder`")
@pytest.mark.parametrize("name", ["OUT", "DATA_DIR", "VENV"])
def test_a_file_is_no_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"^{name}=.*/file is a file; give the name of a folder"):
        settings.resolve({name: str(tmp_path / "file")})


def test_an_empty_path_is_the_default() -> None:
    """An empty OUT must not mean the root of the file system, since make clean removes files below OUT."""
    assert [settings.resolve({name: ""})[name] for name in PATHS] == [DEFAULTS[name] for name in PATHS]


@pytest.mark.parametrize("mirror", ["https://host:8080/a//b/?token=1&b=c%20d", "file:x", "/media/a&b", "/media/mirror"])
def test_a_mirror_may_be_any_url(mirror: str) -> None:
    assert settings.resolve({"DATA_MIRROR": mirror})["DATA_MIRROR"] == mirror


@pytest.mark.parametrize(
    ("given", "seed", "seeds"),
    [({"SEED": "3"}, "3", "3"), ({"SEEDS": "3,0 1"}, "3", "3 0 1"), ({"SEEDS": " 2 ", "SEED": "2"}, "2", "2")],
)
def test_the_first_of_the_seeds_is_shown(given: dict[str, str], seed: str, seeds: str) -> None:
    values = settings.resolve(given)
    assert (values["SEED"], values["SEEDS"]) == (seed, seeds)


def test_each_task_has_its_minutes() -> None:
    each = range(len(TASKS))
    for text, expected in (("0", [0] * len(TASKS)), ("7", [7] * len(TASKS)), (",".join(map(str, each)), [*each])):
        values = settings.resolve({"BUDGET_MIN": text})
        assert [settings.budget_of(values, task) for task in TASKS] == expected


def test_a_bundle_is_the_default_mirror(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels/wheels.json").write_text("{}", encoding="utf-8")
    bundle = {"BUNDLE": str(tmp_path)}
    assert settings.resolve(bundle)["DATA_MIRROR"] == str(tmp_path)
    assert settings.resolve(bundle | {"DATA_MIRROR": "elsewhere"})["DATA_MIRROR"] == "elsewhere"


def test_words_repeat_what_is_not_the_default() -> None:
    given = {"DATA": "real", "TORCHRUN": "--rdzv-conf 'a=1'", "SEED": "4"}
    values = settings.resolve(given)
    assert settings.resolve(settings.parse(shlex.split(settings.words(values)))) == values
    assert settings.words(settings.resolve({})) == ""
    assert "TORCHRUN='--rdzv-conf '\"'\"'a=1'\"'\"''" in settings.words(values)
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
