"""Installs the packages that this project is only compared with (compare.txt), in a folder inside the environment.

Only tests and benchmarks that compare add ``<venv>/compare`` to their path: training, evaluation and drawing see the
same packages with and without it. The digest of the lock file is written there last; while it matches, nothing is done.
The folder is removed with the environment. Run as a script beside setup.py, with the same rules for pip.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out
from packages import Problem, clean_environment, pip_install
from setup import ENV, read_stamp

SIZE = (164, 547)  # megabytes to download and on disk; measured on Linux x86_64, CPython 3.11
MODULES = "cv2 scipy.ndimage sklearn.decomposition ttach ctranslate2 yaml"  # the wheels; the rest imports torch


def install(venv, locks=ENV):
    """Bring ``venv``/compare to what compare.txt in ``locks`` says; does nothing where it is that already."""
    if read_stamp(venv) is None:
        raise Problem(f"{venv} is not a complete environment; run make setup")
    lock, folder = locks / "compare.txt", venv / "compare"
    if not lock.is_file():
        raise Problem(f"{lock} is missing; restore it with: git checkout -- env")
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = folder / "lock.sha256"
    if stamp.is_file() and stamp.read_text(encoding="utf-8").strip() == digest:
        print(f"Comparison packages: {folder} is up to date")
        return
    print("Comparison packages: {}; to download: about {} MB, on disk: {} MB".format(folder, *SIZE), flush=True)
    free = shutil.disk_usage(str(venv)).free // 10**6
    if free < SIZE[1]:
        raise Problem(f"{venv} has {free:,} MB free, but {SIZE[1]:,} MB are needed; free space")
    shutil.rmtree(str(folder), ignore_errors=True)
    # it exists as source only; the environment's pinned setuptools builds it, without the network
    source = ["--no-binary", "grad-cam", "--no-build-isolation"]
    pip_install(venv, ["--no-deps", *source, "--target", str(folder), "-r", str(lock)], "env/compare.txt")
    prove(venv, folder)
    temporary = folder / "lock.sha256.tmp"
    temporary.write_text(digest + "\n", encoding="utf-8")
    temporary.replace(stamp)
    print(f"Comparison packages: {folder} is ready")


def prove(venv, folder):
    """Import the compiled packages in a process of their own; raises Problem if a wheel or a library is broken."""
    code = "import sys; sys.path.append(sys.argv[1]); import {}".format(", ".join(MODULES.split()))
    command = [str(venv / "bin" / "python"), "-c", code, str(folder)]
    if subprocess.run(command, env=clean_environment()).returncode:
        raise Problem(f"the packages in {folder} cannot be imported (the message is above); run the command again")


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Install what the tests compare this project with.")
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="folder of the environment (default: .venv)")
    options = parser.parse_args(arguments)
    try:
        install(options.venv.absolute())
    except Problem as problem:
        print(f"setup-compare: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"setup-compare: {error}; free space, then run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup-compare: interrupted; the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
