"""The caller's environment variables: the program does the same whatever they are.

One table says what happens to each. ``apply`` goes through it once, before torch, numpy or matplotlib are imported:
they read the environment when they are loaded, and so do the processes that are started later. A variable that no row
names is kept. The Makefile settles those that act before Python runs (PYTHON*, LC_ALL, GLIBC_TUNABLES). Standard
library only.
"""

import io
import os
import re
import sys
import warnings
from collections.abc import MutableMapping
from fnmatch import fnmatchcase
from typing import NamedTuple

ANY = r"(?s).*"
QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # as Python itself starts


class Rule(NamedTuple):
    """One row: the variables, why the row is there, and what happens to them; the first row that fits counts."""

    names: str
    """Patterns with a space between them."""
    reason: str
    value: str | None = None
    """The value they get, given or not; None: they are removed."""
    kept: str = ""
    """A regular expression: a value that it matches as a whole is kept."""
    unless: str = ""
    """A variable beside which these are left as they are."""


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
    # threads that wait at a barrier sleep after some 0.1 ms: beside another program the core is free for their partner
    Rule("GOMP_SPINCOUNT", "waiting threads leave the core", value="10000", kept=ANY, unless="OMP_WAIT_POLICY"),
    Rule("CUBLAS_WORKSPACE_CONFIG", "cuBLAS repeats its bits with this one", value=":4096:8"),
    Rule("MPLBACKEND", "pictures are drawn into files", value="agg"),
    # Removed: they change bits, and a run's identity does not hold them
    Rule("OMP_* GOMP_* KMP_* MKL_* OPENBLAS_* GOTO_* BLIS_* VECLIB_*", "it can change how threads share a sum"),
    Rule("ATEN_* DNNL_* ONEDNN_* MKLDNN_* NPY_*", "other kernels round differently"),
    Rule("CUBLAS_* CUBLASLT_* CUDNN_* CUDA_FORCE_* NVIDIA_TF32_OVERRIDE", "other GPU kernels round differently"),
    Rule("TORCH_ALLOW_TF32_* TORCH_BLAS_* TORCH_CUDNN_* TORCH_LINALG_* TORCH_MKLDNN_*", "other kernels of torch"),
    Rule("PYTORCH_TUNABLEOP_* NCCL_ALGO NCCL_PROTO", "kernels chosen by it, or by time, round differently"),
    Rule("TORCH_FORCE_* TORCHDYNAMO_*", "it changes how torch loads or runs a model"),
    Rule("SACREBLEU_SEED", "it would move every interval of a score"),
    # Removed: they stop the program, or show what is not its own
    Rule("MATPLOTLIBRC", "figures/onepage.mplstyle decides how pictures look"),
    Rule("PYTHONWARNINGS", "a warning of a library is no error here"),
)


class Overridden(NamedTuple):
    """A variable of the caller's that does not count here."""

    name: str
    value: str
    rule: Rule

    def __str__(self) -> str:
        shown = "".join(letter if letter.isprintable() else " " for letter in self.value)
        fate = "removed" if self.rule.value is None else f"now {self.rule.value}"
        return f"{self.name}={shown:.60} {fate}: {self.rule.reason}"


overridden: list[Overridden] = []  # of this process's environment, since it started


def rule_of(name: str) -> Rule | None:
    """The row for a variable; None where it is kept."""
    return next((rule for rule in RULES if any(fnmatchcase(name, part) for part in rule.names.split())), None)


def settle(environ: MutableMapping[str, str]) -> list[Overridden]:
    """Change ``environ`` as the table says; returns what was the caller's and is no longer."""
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
    """Settle this process's environment, and that of all processes that it starts."""
    found = settle(os.environ)
    overridden.extend(found)
    if isinstance(sys.stdout, io.TextIOWrapper):  # PYTHONIOENCODING or a locale may lack a letter that is printed
        sys.stdout.reconfigure(errors="backslashreplace")
    if any(variable.name == "PYTHONWARNINGS" for variable in found):  # Python has read it
        warnings.resetwarnings()
        for category in QUIET:
            warnings.simplefilter("ignore", category)
