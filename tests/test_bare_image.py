"""Training, evaluation and drawing need only an image with PyTorch and a few more packages."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import RECIPES, REPOSITORY, environment

THERE = (
    "torch", "torchvision", "click", "jinja2", "matplotlib", "seaborn", "sacrebleu", "sentencepiece", "rich", "pytest",
)  # fmt: skip
MISSING = {"pooch", "sacremoses", "pypdf", "typst", "requests", "hypothesis"}  # among others
PROGRAM = """
import sys
for name in sys.argv[3].split():
    sys.modules[name] = None  # an import of it fails as if it were not installed
from onepage.commands.main import main
from pathlib import Path
place, settings = Path(sys.argv[1]), sys.argv[2].split()
for task in ("cls", "mt"):
    main(["plan", task, *settings, f"RECIPE={place / task}.toml"], standalone_mode=False)
    run = next((place / "runs" / task).glob("*/*/seed0"))
    for words in (["train"], ["evaluate"], ["seeds"], ["draw", "--figures", str(place / "drawn" / task)]):
        main([*words, str(run)], standalone_mode=False)
"""


def needed(names: tuple[str, ...]) -> set[str]:
    """The installed distributions that ``names`` require, and ``names`` themselves."""
    found: set[str] = set()
    waiting = [re.sub(r"[-_.]+", "-", name).lower() for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            try:
                asked = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue
            found.add(name)
            plain = (line for line in asked if "extra ==" not in line)
            waiting += [re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", line)[0]).lower() for line in plain]
    return found


@pytest.mark.slow
def test_all_stages_run_without_other_packages(tmp_path: Path) -> None:
    """Both pipelines run on generated data while every other installed package is hidden."""
    there = needed(THERE)
    modules = importlib.metadata.packages_distributions()
    hidden = {
        module
        for module, owners in modules.items()
        if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & there
    } - {"onepage"}
    assert hidden >= MISSING
    for task, recipe in RECIPES.items():
        (tmp_path / f"{task}.toml").write_text(recipe, encoding="utf-8")
    settings = f"DATA=generated DEVICE=cpu THREADS=2 OUT={tmp_path} DATA_DIR={tmp_path / 'data'}"
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), settings, " ".join(sorted(hidden))]
    surroundings = environment(PYTHONPATH=str(REPOSITORY / "code"))
    done = subprocess.run(command, cwd=REPOSITORY, env=surroundings, timeout=900, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for task in RECIPES:
        assert (tmp_path / "drawn" / task / "figures.json").is_file()
