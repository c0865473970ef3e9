"""pip install . installs the command with its recipes, templates, style and fonts."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("code", "env", "figures", "report", "pyproject.toml", "README.md", "LICENSE")


@pytest.mark.slow
def test_a_wheel_holds_all_that_the_command_reads(tmp_path: Path) -> None:
    place = tmp_path / "source"
    place.mkdir()
    for name in SOURCES:
        source, ignored = ROOT / name, shutil.ignore_patterns("__pycache__", "*.egg-info", "cls", "mt", "reference")
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=ignored if name in ("figures", "report") else None)
        else:
            shutil.copy2(source, place)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(place)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("onepage-*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = {name.partition(".data/data/")[2] or name for name in content.namelist()}
        entry = next(name for name in content.namelist() if name.endswith("entry_points.txt"))
        assert "onepage = onepage.__main__:main" in content.read(entry).decode()
        metadata = content.read(entry.replace("entry_points.txt", "METADATA")).decode()
    recipes = {path.relative_to(ROOT / "code").as_posix() for path in ROOT.glob("code/onepage/*/recipes/*.toml")}
    assert recipes | {"onepage/py.typed", "onepage/commands/main.py"} <= names
    for pattern in ("report/*.toml", "report/templates/*", "figures/*.mplstyle", "figures/fonts/*.ttf"):
        assert {f"share/onepage/{path.relative_to(ROOT).as_posix()}" for path in ROOT.glob(pattern)} <= names, pattern
    assert all(f"Requires-Dist: {name}" in metadata for name in ("torch", "click", "sacrebleu", "jinja2"))
