"""Whether the environment that env/setup.py made still matches env/. Standard library only.

Its content decides, not file times, which a clone or a wrong clock scrambles. make checks this first. If the
environment does not match, make runs env/setup.py, which repeats this check and makes others.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from onepage.files import HOME, sha256_file

STAMP = "stamp.json"  # in the environment, written last


def read(venv: Path) -> dict[str, Any]:
    """The stamp that env/setup.py wrote of a complete environment; {} if there is none."""
    try:
        return dict(json.loads((venv / STAMP).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def is_current(venv: Path) -> bool:
    """Whether an environment matches the current lock files; file times do not count.

    Its Python must have the version that the environment was made with. Only that Python itself can tell; it usually
    runs this function.
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
    """Whether the scripts of an environment name a folder other than its own."""
    try:
        script = (venv / "bin" / "pip").read_text(encoding="utf-8", errors="replace")
        named = re.search(r"(/[^\"'\n]*)/bin/python", script)
        return named is not None and not Path(named[1], "bin").samefile(venv / "bin")  # bin/ alone may be a link
    except OSError:
        return (venv / "bin" / "pip").exists()
