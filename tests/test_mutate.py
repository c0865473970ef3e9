"""The mutation tool: which changes it makes, and how it reports them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import mutate

HERE = Path(__file__).parent
SOURCE = '''
LIMIT: int = 3

def share(values, least=0.5):
    """A sentence with 1 number."""
    assert values
    if not values or len(values) < LIMIT:
        raise ValueError(f"{len(values)} of {LIMIT + 1}")
    values.sort()
    return max(values) @ -1 if least else zip(values, strict=True)
'''


def test_each_change_is_one_place_of_what_is_computed(tmp_path: Path) -> None:
    (tmp_path / "source.py").write_text(SOURCE, encoding="utf-8")
    found = mutate.mutants(tmp_path / "source.py")
    assert list(found) == [
        ": LIMIT: int = 4",
        "share: def share(values, least=1.5):",
        "share: if not (not values or len(values) < LIMIT):",
        "share: if not values and len(values) < LIMIT:",
        "share: if values or len(values) < LIMIT:",
        "share: if not values or len(values) <= LIMIT:",
        "share: if not values or len(values) >= LIMIT:",
        "share: pass for raise ValueError(f'{len(values)} of {LIMIT + 1}')",
        "share: pass for values.sort()",
        "share: return None for return max(values) @ -1 if least else zip(values, strict=True)",
        "share: return max(values) @ -1 if not least else zip(values, strict=True)",
        "share: return min(values) @ -1 if least else zip(values, strict=True)",
        "share: return max(values) @ 1 if least else zip(values, strict=True)",
        "share: return max(values) @ -2 if least else zip(values, strict=True)",
    ]
    assert [line for line, _ in found.values()][:3] == [2, 4, 7]
    space: dict = {}
    exec(found[": LIMIT: int = 4"][1], space)
    assert space["LIMIT"] == 4 and space["share"].__defaults__ == (0.5,)


def test_equivalent_mutants_exist() -> None:
    """Each line of equivalent.toml names a mutant of its module."""
    for module, known in tomllib.loads((HERE / "support/equivalent.toml").read_text(encoding="utf-8")).items():
        found = mutate.mutants(HERE.parent / f"code/onepage/{module}.py")
        assert known.keys() <= found.keys(), module


@pytest.mark.slow
def test_tests_that_notice_are_told_from_tests_that_do_not() -> None:
    command = [sys.executable, mutate.__file__, "--most", "3", "mt/rows"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "mt/rows: 100% of 3 noticed; 19 mutants, 1 equivalent\n"), done.stderr
