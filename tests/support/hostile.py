"""Variables that other programs and shells export, all at once, with values that would do harm if they had an effect.

To run a command under them: python tests/support/hostile.py make check
"""

import os
import sys
import tempfile
from pathlib import Path

VARIABLES = {
    # threads, kernels and precision: these change the result of every sum
    "OMP_NUM_THREADS": "1", "OMP_DYNAMIC": "true", "OMP_THREAD_LIMIT": "1", "OMP_SCHEDULE": "dynamic",
    "OMP_MAX_ACTIVE_LEVELS": "0", "OMP_DISPLAY_ENV": "true", "KMP_SETTINGS": "1", "GOMP_DEBUG": "1",
    "MKL_NUM_THREADS": "1", "MKL_DYNAMIC": "true", "MKL_CBWR": "COMPATIBLE", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_VERBOSE": "1", "OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_VERBOSE": "2",
    "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "DNNL_MAX_CPU_ISA": "SSE41",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "ONEDNN_VERBOSE": "1", "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX2 FMA3",
    "NVIDIA_TF32_OVERRIDE": "1", "CUBLAS_WORKSPACE_CONFIG": ":0:0", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
    "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "SACREBLEU_SEED": "none",
    # pictures and page
    "MPLBACKEND": "module://no_such_module.backend", "SOURCE_DATE_EPOCH": "86400", "TZ": "Asia/Tokyo",
    "TEXINPUTS": ".", "TEXMFHOME": ".",
    # the screen
    "COLUMNS": "0", "LINES": "0", "TERM": "dumb", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1",
    # Python and its tools
    "PYTHONWARNINGS": "error", "PYTHONSAFEPATH": "1", "PYTHONOPTIMIZE": "2", "PYTHONINSPECT": "1",
    "PYTHONIOENCODING": "ascii", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "0", "PYTHONDEVMODE": "1",
    "PYTEST_ADDOPTS": "--no-such-option", "PYTEST_PLUGINS": "no_such_plugin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "RUFF_OUTPUT_FORMAT": "json",
    # the shell, make, and settings that are meant for others
    "BASH_FUNC_sed%%": "() { echo broken; }", "BASH_FUNC_git%%": "() { echo broken; }",
    "BASH_FUNC_rm%%": "() { echo broken; }", "SHELLOPTS": "noglob:xtrace", "CDPATH": "/tmp:/", "POSIXLY_CORRECT": "1",
    "GREP_OPTIONS": "--color=always", "VPATH": "/tmp", "MAKEFLAGS": "ks -j8 --trace",
    "NAME": "host-17", "FILE": "/etc/passwd", "TEXT": "$(exit 3) `exit 3`", "REF": "elsewhere",
}  # fmt: skip


def variables(folder: Path) -> dict[str, str]:
    """VARIABLES, and variables that name files; the files are written into ``folder``."""
    (folder / "a file").write_text("", encoding="utf-8")
    (folder / "matplotlibrc").write_text("backend: no such backend\nfont.size: 40\nno such key\n", encoding="utf-8")
    (folder / "profile").write_text("echo broken; exit 3\n", encoding="utf-8")
    return VARIABLES | {
        "HOME": str(folder / "a file" / "home"),
        "MPLCONFIGDIR": str(folder / "a file" / "matplotlib"),
        "TMPDIR": str(folder / "absent"),
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "BASH_ENV": str(folder / "profile"),
    }


if __name__ == "__main__":
    os.execvpe(sys.argv[1], sys.argv[1:], os.environ | variables(Path(tempfile.mkdtemp())))
