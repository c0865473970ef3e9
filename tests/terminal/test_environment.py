"""The caller's environment variables do not change what the program does."""

import os
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch

from hostile import variables
from onepage.terminal import environment
from onepage.terminal.environment import RULES, settle

CODE = str(Path(environment.__file__).parents[2])
# a command that prints how the libraries read the environment, including C's view of it
PROBE = """
import json
from onepage.commands.main import main

@main.command()
def probe():
    import ctypes, os, sys, warnings
    import matplotlib, matplotlib.pyplot, numpy, torch
    warnings.warn("a library's", DeprecationWarning)
    names = [name.encode() for name in sys.stdin.read().split()]
    known = ctypes.CDLL(None).getenv
    known.restype = ctypes.c_char_p
    print(json.dumps({
        "kernels": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
        "backend": matplotlib.get_backend().lower(), "found": [name.decode() for name in names if known(name)],
    }))

main(["probe"])
"""


def probe(folder: Path, **given: str) -> tuple[str, str]:
    """The stdout and stderr of the probe with these variables and no others of the caller."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        cwd=folder, env=kept | given | {"PYTHONPATH": CODE}, input=" ".join(given), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_each_variable_gets_what_its_row_says() -> None:
    given = {"MPLBACKEND": "qt", "OMP_NUM_THREADS": "3", "MKL_CBWR": "AVX", "OMP_PROC_BIND": "true", "EDITOR": "vi"}
    found = settle(given)
    fixed = {"MPLBACKEND": "agg", "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "GOMP_SPINCOUNT": "3000"}
    fixed |= {"TORCH_DISABLE_NATIVE_JIT": "1"}
    assert given == {"OMP_PROC_BIND": "true", "EDITOR": "vi"} | fixed
    assert [variable.name for variable in found] == ["MKL_CBWR", "MPLBACKEND", "OMP_NUM_THREADS"]
    assert settle(given) == [] and given["MPLBACKEND"] == "agg"  # a child process finds nothing to change


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"OMP_WAIT_POLICY": "PASSIVE"}, True),
        ({"OMP_WAIT_POLICY": "lazy"}, False),
        ({"GOMP_SPINCOUNT": "infinity"}, True),
        ({"COLUMNS": "36"}, True),
        ({"COLUMNS": "0"}, False),
        ({"COLUMNS": ""}, False),
        ({"OMP_NUM_THREADS": "1", "TORCHELASTIC_RUN_ID": "a"}, True),
        ({"CUDA_VISIBLE_DEVICES": ""}, True),
    ],
)
def test_a_value_that_does_no_harm_stays(given: dict[str, str], kept: bool) -> None:
    settled = dict(given)
    assert (settle(settled) == []) is kept
    assert (given.items() <= settled.items()) is kept
    assert ("GOMP_SPINCOUNT" in settled) is (settled.get("OMP_WAIT_POLICY") is None)


def test_every_row_of_the_table_counts() -> None:
    """No pattern is hidden by an earlier one, and only a rule without wildcards sets a value."""
    for rule in RULES:
        assert rule.reason and (rule.value is None or "*" not in rule.names)
        for name in rule.names.split():
            example = name.replace("*", "X")
            assert fnmatchcase(example, name) and environment.rule_of(example) is rule, name


@pytest.mark.slow
@pytest.mark.fault(
    "exported variables that change bits (ATEN_CPU_CAPABILITY, OMP_*, MKL_*, ...), or stop drawing (MPLBACKEND)",
    "they do not count; make doctor lists them",
)
def test_torch_and_matplotlib_never_see_them(tmp_path: Path) -> None:
    """A change in this process before their import is early enough, also for variables that C reads."""
    given = {name: value for name, value in variables(tmp_path).items() if "%" not in name}
    for name in ("PYTHONINSPECT", "PYTHONDEVMODE", "MPLCONFIGDIR", "HOME"):  # these only add output
        del given[name]
    plain, _ = probe(tmp_path)
    hostile, said = probe(tmp_path, **given)
    assert '"backend": "agg"' in hostile and torch.backends.cpu.get_cpu_capability() in hostile
    assert hostile.rpartition('"found"')[0] == plain.rpartition('"found"')[0] and "error" not in said.lower()
    for name in ("ATEN_CPU_CAPABILITY", "OMP_NUM_THREADS", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA", "PYTHONWARNINGS"):
        assert f'"{name}"' not in hostile


@pytest.mark.fault("an encoding without a letter that is printed (PYTHONIOENCODING)", "an escape in its place")
def test_a_letter_that_cannot_be_shown_stops_nothing() -> None:
    program = PROBE.partition("@main.command()")[0] + "main.command('say')(lambda: print('\\u03c0'))\nmain(['say'])"
    environment = os.environ | {"PYTHONPATH": CODE, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "\\u03c0\n"), done.stderr


def test_what_is_overridden_is_said_on_one_line() -> None:
    long = "a\nb\x1b" + 100 * "c"
    (found,) = settle({"MPLBACKEND": long})
    assert str(found).startswith("MPLBACKEND=a b ccc") and str(found).isprintable() and len(str(found)) < 150
    assert str(found).endswith(" now agg: pictures are drawn into files")
    (found,) = settle({"SACREBLEU_SEED": "1"})
    assert str(found) == "SACREBLEU_SEED=1 removed: it would move every interval of a score"
