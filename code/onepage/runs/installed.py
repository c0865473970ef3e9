"""The environment that env/setup.py made: is it still what env/ says? Standard library only.

Its content decides, not times, which a clone or a wrong clock scrambles. make asks here before anything is done, and
runs env/setup.py, which asks the same and more, where the answer is no.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from onepage.files import HOME, sha256_file

STAMP = "stamp.json"  # in the environment, written last


def read(venv: Path) -> dict[str, Any]:
    """What env/setup.py wrote of an environment when it was complete; {} where there is none."""
    try:
        return dict(json.loads((venv / STAMP).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def is_current(venv: Path) -> bool:
    """Whether an environment is made of the lock files as they are now, as env/setup.py asks; times do not count.

    Its Python must be of the version that it was made with; only that Python itself, which mostly runs this, can tell.
    """
    stamp, python = read(venv), venv / "bin" / "python"
    locks = [HOME / "env" / name for name in ("requirements.txt", f"torch-{stamp.get('torch')}.txt")]
    try:
        same = stamp.get("locks") == {path.name: sha256_file(path) for path in locks}
        version = sys.version_info if python.samefile(sys.executable) else str(stamp.get("python")).split(".")
    except OSError:
        return False
    return same and str(stamp.get("python")).split(".")[:2] == [str(part) for part in version[:2]]


def is_moved(venv: Path) -> bool:
    """Whether the scripts of an environment name another folder than the one that it lies in."""
    try:
        script = (venv / "bin" / "pip").read_text(encoding="utf-8", errors="replace")
        named = re.search(r"(/[^\"'\n]*)/bin/python", script)
        return named is not None and not Path(named[1], "bin").samefile(venv / "bin")  # bin/ alone may be a link
    except OSError:
        return (venv / "bin" / "pip").exists()
