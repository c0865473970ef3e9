"""Copies of the repository in which tests run make, in the environment that the tests themselves run in."""

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from onepage.runs.fingerprint import PACKAGE, Fingerprints
from onepage.runs.graph import PLANS
from onepage.runs.settings import SETTINGS

REPOSITORY = Path(__file__).resolve().parents[2]
CODE, ENV = REPOSITORY / "code", REPOSITORY / "env"
LOCKS = ["requirements.txt", "torch-cpu.txt", "torch-cuda.txt"]  # of ENV
# variables that the caller's make or shell would otherwise pass on
OURS = (*(setting.name for setting in SETTINGS), "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "GNUMAKEFLAGS")
# -o: make never rebuilds the environment that these tests run in
MAKE = ("make", "-o", f"{sys.prefix}/stamp.json", f"VENV={sys.prefix}", f"PYTHON={sys.executable}")
MAKE += ("PROFILE=smoke", "DATA=generated", "DEVICE=cpu")
PATIENCE = 900  # seconds for one command, on a busy machine

# smaller still than the smoke profile
RECIPES = {
    "cls": """
stages = [{ epochs = 1.0, image_size = 8 }, { epochs = 0.5, image_size = 12 }]
batch_size = 32
optimiser = "sgd"
sgd_learning_rate = 0.05
weight_decay = 5e-4
validation_size = 100
validations = 2
train_images = 320
""",
    "mt": """
updates = 60
batch_tokens = 256
adamw_learning_rate = 3e-3
vocabulary = 300
d_model = 32
d_ff = 64
heads = 2
encoder_layers = 1
decoder_layers = 1
validations = 2

[decoding]
beam_size = 1
""",
}


def load_script(path: Path) -> ModuleType:
    """A program that is no part of the package, as a module."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def known() -> str:
    """The fingerprints of the program's files as graph.py stores them, by content: they are valid for any copy."""
    found = Fingerprints()
    for path in PACKAGE.rglob("*.py"):
        found.of(path)
    return json.dumps(found.known)


def remember(out: Path) -> None:
    """Store the fingerprints in ``out``, so that the first make is as fast as every later one."""
    (out / PLANS).mkdir(parents=True)
    (out / PLANS / "fingerprints.json").write_text(known(), encoding="utf-8")


def copy_to(place: Path, recipes: dict[str, str] | None = None) -> Path:
    """Copy the files that make needs, without its output; ``recipes``: {task: recipe to replace the smoke profile}."""
    for name in ("code", "env", "figures", "report"):
        # full names: report.* would also match the templates, report.*.j2
        drawn = {
            "figures": ("cls", "mt"),
            "report": ("report.md", "report.html", "report.tex", "report.pdf", "plan"),
        }.get(name, ())
        shutil.copytree(REPOSITORY / name, place / name, ignore=shutil.ignore_patterns("__pycache__", *drawn))
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy2(REPOSITORY / name, place)
    for task, recipe in (recipes or {}).items():
        (place / "code/onepage" / task / "recipes/smoke.toml").write_text(recipe, encoding="utf-8")
    remember(place)
    return place


def environment(**changes: str) -> dict[str, str]:
    """The caller's environment without the variables that would change a result here."""
    inherited = {key: value for key, value in os.environ.items() if key not in OURS}
    # Threads sleep while they wait for each other: on a busy machine this saves minutes, and it changes no number.
    return inherited | {"OMP_WAIT_POLICY": "PASSIVE"} | changes


def run_make(place: Path, *words: str, given: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run make in a folder, in ``environment``, with ``given`` as standard input."""
    return subprocess.run(
        ["make", *words], cwd=place, env=environment(**variables), input=given,
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip


def make(place: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run make in a copy, with the smoke profile and generated data unless ``arguments`` say otherwise."""
    done = run_make(place, *MAKE[1:], *arguments)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def contents(folder: Path) -> dict[str, bytes | None]:
    """{path: bytes, or None for a folder} of everything below a folder, without byte code."""
    files = {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}
    return {name: content for name, content in files.items() if "__pycache__" not in name}
