"""The settings: one row for each variable that a user can give to make. Standard library only.

make, ``make help``, the checks of values and the table in the documents all read this one list.
"""

import contextlib
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from onepage.errors import UserError
from onepage.tasks import TASKS

START, DATA, HARDWARE, OUTPUT, BENCHMARKS = "start here", "data", "hardware", "output", "benchmarks"
GROUPS = (START, DATA, HARDWARE, OUTPUT, BENCHMARKS)

ANYTHING = (r"(?s).*", "")
WORD = (r"\S*", "must not contain spaces")
# For a path in make's rules and in shell commands; a data mirror, which may be a URL, is quoted there
PATH = (
    r"(?![-~])[^\s:;#$%&*?=|<>()\[\]{}!\\`'\"\x00-\x1f\x7f\ud800-\udfff]*",
    "must not contain spaces or any of : ; # $ % & * ? = | < > ( ) [ ] { } ! \\ ` ' \", or begin with - or ~",
)
MIRROR = (r"(?!~)[^\s\ud800-\udfff]*", "must be a folder or a URL without spaces; ~NAME must name an existing user")
PROFILE_NAME = (r"[A-Za-z0-9_-]*", "must be a name of letters, digits, - and _")
WHOLE = (r"[0-9]{1,18}", "must be a whole number, 0 or more")
COUNT = (r"[1-9][0-9]{0,3}", "must be a whole number, 1 or more")
SEEDS = (
    r"\s*((0|[1-9][0-9]*)([\s,]+(0|[1-9][0-9]*))*)?\s*",
    "must be whole numbers with spaces or commas between them, such as 0,1,2",
)
MINUTES = (
    r"[0-9]+(,[0-9]+)*",
    f"must be minutes, such as 60, or one number for each task, such as 60,90 for {' and '.join(TASKS)}",
)


def one_of(*values: str) -> tuple[str, str]:
    """The allowed values of a setting that is one of a few words."""
    return "|".join(values), f"must be {', '.join(values[:-1])} or {values[-1]}"


class Setting(NamedTuple):
    """One row: the variable's name, default, allowed values, group in ``make help``, and one line of help."""

    name: str
    default: str
    allowed: tuple[str, str]
    """A regular expression that the whole value must match, and what to say of a value that does not."""
    group: str
    help: str


# The Makefile reads the names from these lines: each begins with Setting(" at the fourth column.
SETTINGS = (
    Setting("PROFILE", "quick", PROFILE_NAME, START, "quick (minutes), full (an hour or more), smoke; cls: long (GPU)"),
    Setting("SEED", "0", WHOLE, START, "seed of weights, order and augmentation; each seed is a separate run"),
    Setting("SEEDS", "", SEEDS, START, "several seeds, such as 0,1,2; the page shows the first, and mean and sd"),
    Setting("BUDGET_MIN", "0", MINUTES, START, "training minutes: 60 (each) or 60,90 (cls, mt); 0: the recipe decides"),
    Setting("RECIPE", "", PATH, START, "a recipe file of your own, for one task"),
    Setting("TEXT", "", ANYTHING, START, "a sentence for make translate; empty: standard input"),
    Setting("MODEL", "", PATH, START, "model for make translate, make classify: a file of make export, or a run"),
    Setting("FILE", "", ANYTHING, START, "an image to classify, a picture or page to trace, modules to mutate"),
    Setting("DATA", "auto", one_of("auto", "real", "generated"), DATA, "auto: real, or generated if no source answers"),
    Setting("DATA_DIR", "data", PATH, DATA, "folder of the data sets"),
    Setting("DATA_MIRROR", "", MIRROR, DATA, "folder or URL to try for the data before the public sources"),
    Setting("BUNDLE", "", PATH, DATA, "folder made by make bundle, with packages and data for use without a network"),
    Setting("SRC", "en", one_of("en", "de", "fr"), DATA, "language to translate from: en, de or fr"),
    Setting("TGT", "de", one_of("en", "de", "fr"), DATA, "language to translate into: en, de or fr"),
    Setting("DEVICE", "auto", one_of("auto", "cpu", "cuda"), HARDWARE, "auto: cuda if there is a GPU, otherwise cpu"),
    Setting("THREADS", "0", WHOLE, HARDWARE, "CPU threads of a training run; 0: the physical cores, at most 16"),
    Setting("NPROC", "1", COUNT, HARDWARE, "processes of one training run on this machine, started by torchrun"),
    Setting("TORCHRUN", "", ANYTHING, HARDWARE, "options of torchrun, such as --max-restarts 3"),
    Setting("JOBS", "1", COUNT, HARDWARE, "seeds to train at once, each on its own GPU"),
    Setting("TORCH", "auto", one_of("auto", "cpu", "cuda"), HARDWARE, "cpu, cuda, or auto (as installed, or by GPU)"),
    Setting("OUT", ".", PATH, OUTPUT, "folder in which runs/, figures/ and report/ are written"),
    Setting("PAPER", "a4", one_of("a4", "letter"), OUTPUT, "paper size of the page: a4 or letter"),
    Setting("PDF_ENGINE", "auto", one_of("auto", "latex", "typst"), OUTPUT, "auto: LaTeX if installed, else typst"),
    Setting("NAME", "", ANYTHING, OUTPUT, "name of the reference result that make reference keeps"),
    Setting("REF", "", ANYTHING, OUTPUT, "folder of a reference result, for make verify to compare with"),
    Setting("LOG", "", ("(tensorboard)?", "must be tensorboard"), OUTPUT, "tensorboard: write event files in each run"),
    Setting("STRICT", "0", one_of("0", "1"), OUTPUT, "1: make verify fails if a claim is NOT CHECKED"),
    Setting("PYTHON", "python3", WORD, OUTPUT, "Python, 3.11 to 3.14, for the environment"),
    Setting("VENV", ".venv", PATH, OUTPUT, "folder of the environment"),
    Setting("PYTEST", "", ANYTHING, OUTPUT, "options of pytest, for make check and make test"),
    Setting("BENCH_RUN", "", PATH, BENCHMARKS, "a finished run; empty: bench-cls trains one, bench-mt needs make mt"),
    Setting("BENCH_MINUTES", "5", COUNT, BENCHMARKS, "training time of the plain loop in make bench-cls, in minutes"),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}


def resolve(given: Mapping[str, str]) -> dict[str, str]:
    """The value of every setting: as given, else its default. Raises UserError, one line, for a value not allowed."""
    for name in given.keys() - BY_NAME.keys():
        raise UserError(f"{name} is not a setting; see: make help")
    values = {setting.name: given.get(setting.name, setting.default) for setting in SETTINGS}
    for setting in SETTINGS:
        pattern, message = setting.allowed
        if setting.allowed in (PATH, MIRROR):
            values[setting.name] = _as_path(values[setting.name] or setting.default)
        if not re.fullmatch(pattern, values[setting.name]):
            raise UserError(f'{setting.name}="{values[setting.name]}": {message}')
    _check_seeds(values, "SEED" in given)
    _check_together(values, given)
    return values


def check_spelling(names: Sequence[str]) -> None:
    """Raise UserError for a variable of the command line with almost the name, or a part of the name, of a setting."""
    if names:
        from difflib import get_close_matches  # slow to import

        for name in names:
            parts = [other for other in BY_NAME if f"_{name.upper()}_" in f"_{other}_"]
            for meant in get_close_matches(name.upper(), BY_NAME, n=1, cutoff=0.8) or parts:
                raise UserError(f"{name} is not a setting; did you mean {meant}?")


def _as_path(text: str) -> str:
    """A path in one form for Python and make: ~ expanded, no //, no slash at its end."""
    if not text or "://" in text:
        return text
    with contextlib.suppress(RuntimeError):  # nobody of that name
        return str(Path(text).expanduser())
    return text


def _check_seeds(values: dict[str, str], seed_given: bool) -> None:
    """SEEDS as words with one space between them; the first is SEED."""
    seeds = [str(int(word)) for word in re.split(r"[\s,]+", values["SEEDS"].strip()) if word]
    values["SEED"] = str(int(values["SEED"]))
    if len(set(seeds)) < len(seeds):
        raise UserError(f'SEEDS="{values["SEEDS"]}": a seed is given twice; give each once')
    if seeds and seed_given and values["SEED"] != seeds[0]:
        raise UserError(f'SEED={values["SEED"]} and SEEDS="{values["SEEDS"]}" disagree; give SEEDS alone')
    values["SEEDS"] = " ".join(seeds or [values["SEED"]])
    values["SEED"] = values["SEEDS"].split()[0]


def _check_together(values: dict[str, str], given: Mapping[str, str]) -> None:
    """Raise UserError for settings that contradict each other or existing files; take the mirror from the bundle."""
    for name in ("OUT", "DATA_DIR", "VENV"):
        if Path(values[name]).is_file():
            raise UserError(f"{name}={values[name]} is a file; give the name of a folder")
    several_processes = values["NPROC"] != "1" or values["TORCHRUN"].strip()
    minutes = values["BUDGET_MIN"].split(",")
    if len(minutes) not in (1, len(TASKS)):
        raise UserError(f'BUDGET_MIN="{values["BUDGET_MIN"]}": {MINUTES[1]}')
    if several_processes and any(float(part) for part in minutes):
        raise UserError("BUDGET_MIN is for one process; leave out BUDGET_MIN, or NPROC and TORCHRUN")
    if several_processes and values["JOBS"] != "1":
        raise UserError("JOBS gives each seed one device; leave out JOBS, or NPROC and TORCHRUN")
    if values["MODEL"] and {"SEED", "SEEDS"} & given.keys():
        raise UserError(f"MODEL={values['MODEL']} is one trained model; leave out SEED= and SEEDS=, or MODEL")
    if values["BUNDLE"]:
        if not (Path(values["BUNDLE"]) / "wheels" / "wheels.json").is_file():
            raise UserError(f"BUNDLE={values['BUNDLE']} is not a folder made by make bundle")
        values["DATA_MIRROR"] = values["DATA_MIRROR"] or values["BUNDLE"]


def budget_of(values: Mapping[str, str], task: str) -> float:
    """Minutes of training that BUDGET_MIN gives a task; 0: the length of its recipe."""
    minutes = values["BUDGET_MIN"].split(",")
    return float(minutes[list(TASKS).index(task)] if len(minutes) > 1 else minutes[0])


def parse(words: Iterable[str]) -> dict[str, str]:
    """{name: value} of words NAME=value, as make takes them; raises UserError for a word without "="."""
    given = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"{word!r:.60} is not a setting; give NAME=value")
        given[name] = value
    return given


def words(values: Mapping[str, str]) -> str:
    """NAME=value of every setting that is not at its default, quoted for a shell."""
    changed = {name: value for name, value in values.items() if value != BY_NAME[name].default}
    if values.get("SEEDS") == values.get("SEED"):
        changed.pop("SEEDS", None)  # one seed, which SEED gives
    return " ".join(f"{name}={shlex.quote(value)}" for name, value in changed.items())


def targets(makefile: str) -> list[tuple[str, str]]:
    """(target, what it does) for users: the Makefile's lines with ``##``, and the tasks."""
    found = re.findall(r"^([a-z-]+):[^#\n]*## (.*)$", makefile, re.MULTILINE)
    return [*found[:2], *((name, f"train, evaluate and draw {title}") for name, title in TASKS.items()), *found[2:]]


def from_environment(given: Mapping[str, str], names: Iterable[str]) -> str:
    """A line on the settings of ``names``, from the environment, that differ from the default; "" if none does."""
    found = [name for name in names if given[name] != BY_NAME[name].default]
    shown = words({name: f"{given[name]:.60}" for name in found})
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", shown)  # on one line, and no control of a terminal
    return f"onepage: from the environment: {shown}; to leave one out: env -u {found[0]} make ..." if found else ""


def help_text(makefile: str) -> str:
    """What ``make help`` prints: the targets, and the settings by group."""
    lines = ["make TARGET [SETTING=value ...]", "", *(f"  {name:<14} {text}" for name, text in targets(makefile))]
    for group in GROUPS:
        lines += ["", f"Settings: {group}"]
        for setting in (setting for setting in SETTINGS if setting.group == group):
            lines.append(f"  {setting.name + '=' + setting.default:<19} {setting.help}")
    return "\n".join(lines)


def table() -> str:
    """The settings as a Markdown table, for the documents."""
    rows = ["| setting | default | what it does |", "|---|---|---|"]
    for setting in SETTINGS:
        default = f"`{setting.default}`" if setting.default else "empty"
        rows.append(f"| `{setting.name}` | {default} | {setting.help} |")
    return "\n".join(rows) + "\n"
