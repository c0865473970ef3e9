"""The caller's environment variables, which must not change what the program does. Standard library only.

One table says what happens to each. ``apply`` applies it once, before the import of torch, numpy or matplotlib, which
read the environment when they are loaded; processes started later inherit it. A variable that no row names is kept.
The Makefile handles variables that act before Python runs (PYTHON*, LC_ALL, GLIBC_TUNABLES).
"""

import io
import os
import re
import sys
import warnings
from collections.abc import MutableMapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from onepage.errors import one_line

ANY = r"(?s).*"
QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # as Python itself starts


class Rule(NamedTuple):
    """One row: the variables, the reason, and what happens to them; the first matching row counts."""

    names: str
    """Patterns, separated by spaces."""
    reason: str
    value: str | None = None
    """The value they get, whether set or not; None: they are removed."""
    kept: str = ""
    """A regular expression: values that it matches completely are kept."""
    unless: str = ""
    """If this variable is set, the row's variables are kept."""


RULES = (
    # Kept: they decide when and where something runs, and no number
    Rule("CUDA_VISIBLE_DEVICES CUDA_LAUNCH_BLOCKING PYTORCH_*ALLOC_CONF LD_PRELOAD", "places and times", kept=ANY),
    Rule("MPLCONFIGDIR TMPDIR XDG_*", "places of files", kept=ANY),
    Rule("OMP_WAIT_POLICY", "its values are active and passive", kept=r"(?i)\s*(active|passive)\s*"),
    Rule("OMP_PROC_BIND OMP_PLACES GOMP_CPU_AFFINITY KMP_AFFINITY KMP_BLOCKTIME", "places of threads", kept=ANY),
    Rule("OMP_STACKSIZE GOMP_STACKSIZE KMP_STACKSIZE KMP_DUPLICATE_LIB_OK", "without it torch may not start", kept=ANY),
    Rule("COLUMNS LINES", "nothing is shown on a terminal of that size", kept="0*[1-9][0-9]*"),
    # torchrun sets it for the processes that it starts; the recipe's threads follow
    Rule("OMP_NUM_THREADS", "the recipe says how many threads share a sum", unless="TORCHELASTIC_RUN_ID"),
    # Fixed
    # waiting threads sleep within 0.1 ms: if another program competes, their partner then gets the core
    Rule("GOMP_SPINCOUNT", "waiting threads leave the core", value="3000", kept=ANY, unless="OMP_WAIT_POLICY"),
    Rule("CUBLAS_WORKSPACE_CONFIG", "only this makes cuBLAS reproducible", value=":4096:8"),
    Rule("MPLBACKEND", "pictures are drawn into files", value="agg"),
    Rule("TORCH_DISABLE_NATIVE_JIT", "without it, torch 2.13 compiles a product on a GPU, with gcc", value="1"),
    # Removed: they change bits, and are not part of a run's identity
    Rule("OMP_* GOMP_* KMP_* MKL_* OPENBLAS_* GOTO_* BLIS_* VECLIB_*", "it can change how threads share a sum"),
    Rule("ATEN_* DNNL_* ONEDNN_* MKLDNN_* NPY_*", "other kernels round differently"),
    Rule("CUBLAS_* CUBLASLT_* CUDNN_* CUDA_FORCE_* NVIDIA_TF32_OVERRIDE", "other GPU kernels round differently"),
    Rule(
        "TORCH_ALLOW_TF32_* TORCH_BLAS_* TORCH_CUDNN_* TORCH_LINALG_* TORCH_MKLDNN_*", "other kernels round differently"
    ),
    Rule("PYTORCH_TUNABLEOP_* NCCL_ALGO NCCL_PROTO", "the kernels that it selects round differently"),
    Rule("TORCH_FORCE_* TORCHDYNAMO_*", "it changes how torch loads or runs a model"),
    Rule("SACREBLEU_SEED", "it would move every interval of a score"),
    # Removed: they stop the program, or make it print messages of others
    Rule("MATPLOTLIBRC", "figures/onepage.mplstyle decides how pictures look"),
    Rule("PYTHONWARNINGS", "library warnings are not errors here"),
)


class Overridden(NamedTuple):
    """A variable of the caller that has no effect here."""

    name: str
    value: str
    rule: Rule

    def __str__(self) -> str:
        fate = "removed" if self.rule.value is None else f"now {self.rule.value}"
        return f"{self.name}={one_line(self.value):.60} {fate}: {self.rule.reason}"


overridden: list[Overridden] = []  # of this process's environment, since it started


def rule_of(name: str) -> Rule | None:
    """The row for a variable; None if it is kept."""
    return next((rule for rule in RULES if any(fnmatchcase(name, part) for part in rule.names.split())), None)


def settle(environ: MutableMapping[str, str]) -> list[Overridden]:
    """Change ``environ`` as the table says; returns the caller's variables that were changed or removed."""
    found = []
    for name, value in sorted(environ.items()):
        rule = rule_of(name)
        if rule is None or value == rule.value or rule.unless in environ:
            continue
        if rule.kept and re.fullmatch(rule.kept, value):
            continue
        found.append(Overridden(name, value, rule))
        del environ[name]
    for rule in RULES:
        if rule.value is not None and rule.unless not in environ:
            environ.setdefault(rule.names, rule.value)
    return found


def apply() -> None:
    """Apply the table to this process's environment, and so to that of all processes that it starts."""
    found = settle(os.environ)
    overridden.extend(found)
    if isinstance(sys.stdout, io.TextIOWrapper):  # PYTHONIOENCODING or a locale may lack a letter that is printed
        sys.stdout.reconfigure(errors="backslashreplace")
    if any(variable.name == "PYTHONWARNINGS" for variable in found):  # Python has read it
        warnings.resetwarnings()
        for category in QUIET:
            warnings.simplefilter("ignore", category)
