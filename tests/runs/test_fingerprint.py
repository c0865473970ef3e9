"""Fingerprints change with what a file does, and not with how it looks."""

import subprocess
import sys
from pathlib import Path

import pytest

from onepage.runs import fingerprint
from onepage.runs.fingerprint import PACKAGE, Fingerprints

SOURCE = '''"""About the module."""

import math


class Thing:
    """About it."""

    width: int = 3
    """About a field."""

    def area(self, height: float, *, name: str = "a") -> str:
        # a reason
        total = math.pi * self.width * height
        return f"{name!r:>{self.width}} {total:.2f}" + "b"
'''


def of(source: str) -> list[str]:
    return fingerprint.tokens(source)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a reason", "# another reason"),
        ("        # a reason\n", ""),
        ("About it.", "What it is,\n    in more words."),
        ("About a field.", "In other words."),
        ("About the module.", ""),
        ("\n\n\nclass", "\nclass"),
        ("math.pi * self.width", "math.pi  *  self.width"),
        ('height: float, *, name: str = "a")', 'height: float,\n        *,\n        name: str = "a",\n    )'),
    ],
)
def test_looks_do_not_count(old: str, new: str) -> None:
    assert old in SOURCE
    assert of(SOURCE.replace(old, new)) == of(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("= 3", "= 4"),
        ("math.pi *", "math.pi +"),
        ('"b"', '"c"'),
        ("{total:.2f}", "{total:.3f}"),
        (":>{self.width}", ":<{self.width}"),
        ("import math", "import cmath as math"),
        ("return f", "yield f"),
        ('name: str = "a"', 'name: str = "a", more: int = 0'),
    ],
)
def test_what_the_code_does_counts(old: str, new: str) -> None:
    assert old in SOURCE
    assert of(SOURCE.replace(old, new)) != of(SOURCE)


def test_a_comma_that_makes_a_tuple_counts() -> None:
    assert of("x = (1,)\n") != of("x = (1)\n")
    assert of("f(1, 2,)\n") == of("f(1, 2)\n")


def test_indentation_counts() -> None:
    assert of("if a:\n    b()\n    c()\n") != of("if a:\n    b()\nc()\n")
    assert of("if a:\n    b()\n") == of("if a:\n        b()\n")


def test_f_strings_are_one_token_on_every_python() -> None:
    """Since Python 3.12, tokenize splits an f-string. The fingerprint keeps it as written."""
    assert of("x = f'a{b}c'\n") == ["x", "=", "f'a{b}c'", "NEWLINE"]
    assert of("x = f'{f\"{a}\"}' 'z'\n") == ["x", "=", "f'{f\"{a}\"}'", "'z'", "NEWLINE"]


def test_other_pythons_here_agree() -> None:
    files = [str(PACKAGE / name) for name in ("tasks.py", "runs/fingerprint.py", "cls/resnet.py")]
    code = f"import sys; sys.path[:0] = [{str(PACKAGE.parent)!r}]\n"
    code += "from onepage.runs.fingerprint import *; print(Fingerprints().digest(map(Path, sys.argv[1:])))"
    digests = set()
    for minor in (11, 12, 13, 14):
        try:
            done = subprocess.run([f"python3.{minor}", "-S", "-E", "-c", code, *files], capture_output=True, text=True)
        except OSError:
            continue
        if done.returncode == 0:
            digests.add(done.stdout)
    mine = subprocess.run([sys.executable, "-S", "-E", "-c", code, *files], capture_output=True, text=True, check=True)
    if not digests:
        pytest.skip("no python3.11 to python3.14 on the PATH")
    assert digests == {mine.stdout}


def test_imports_are_followed_wherever_they_stand() -> None:
    known = Fingerprints()
    found = {path.relative_to(PACKAGE).as_posix() for path in known.closure([PACKAGE / "runs/graph.py"])}
    assert {"runs/graph.py", "runs/settings.py", "runs/stamps.py", "tasks.py", "errors.py"} <= found
    without = known.closure([PACKAGE / "runs/graph.py"], ["runs/settings.py", "errors.py"])
    assert not {path.name for path in without} & {"settings.py", "errors.py"}


def test_what_was_read_once_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, cache = tmp_path / "a.py", tmp_path / "kept.json"
    file.write_text(SOURCE, encoding="utf-8")
    first = Fingerprints(cache)
    digest = first.digest([file])
    first.save()
    monkeypatch.setattr(fingerprint, "tokens", None)  # would fail if it were called
    assert Fingerprints(cache).digest([file]) == digest
    cache.write_text("[", encoding="utf-8")
    monkeypatch.undo()
    assert Fingerprints(cache).digest([file]) == digest


def test_files_other_than_python_count_as_written(tmp_path: Path) -> None:
    for name in ("a.toml", "broken.py"):
        file = tmp_path / name
        file.write_text("x = (  # a\n", encoding="utf-8")
        first = Fingerprints().of(file)
        file.write_text("x = (  # b\n", encoding="utf-8")
        assert Fingerprints().of(file) != first
