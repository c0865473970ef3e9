"""Makes the virtual environment from the pinned, hashed files beside this one, or installs TeX (--tex).

Any ``python3`` runs it, before anything is installed: standard library only, and it must parse on Python 3.6, so that
an old Python prints a clear message instead of a syntax error. ``<venv>/stamp.json``, written last, holds the digests
of the lock files; if they have changed, the environment is made again. A folder made here without a stamp is an
interrupted installation, and is replaced. An environment with an old stamp is kept aside until the new one works.
packages.py says which of pip's settings apply.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out
from packages import CPU_INDEX, Problem, clean_environment, offline, pip_environment, pip_install, torch_arguments

ENV = Path(__file__).resolve().parent
OLDEST, NEWEST = (3, 11), (3, 14)  # versions with wheels of torch 2.13.0
SYSTEMS = [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64")]

# Megabytes to download and on disk. Linux x86_64, CPython 3.11: "cpu" and "rest" measured on an installation, "cuda"
# the sum over PyPI's archives, packed and unpacked. macOS: the download from PyPI, the disk estimated.
SIZES = {
    ("Linux", "cpu"): (200, 740),
    ("Linux", "cuda"): (2740, 4750),
    ("Darwin", "cpu"): (113, 500),
    "rest": (140, 490),
}

MARK = "made-by-onepage"  # a file in every environment made here


def python_problem(version, implementation, system, machine, free_threaded=False):
    """One line that says why this Python cannot be used and what to do, or None. ``version`` is (major, minor, ...)."""
    name = "{} {}".format(implementation, ".".join(str(part) for part in version[:3]))
    wanted = "CPython {}.{} to {}.{}".format(*(OLDEST + NEWEST))
    if implementation != "CPython" or free_threaded or not OLDEST <= tuple(version[:2]) <= NEWEST:
        if free_threaded:
            name += " without the global lock"
        other = another_python()
        how = f"make PYTHON={other} ..." if other else "install one and run make PYTHON=python3.11 ..."
        return f"{name} ({sys.executable}) cannot be used: torch needs {wanted}; {how}"
    if (system, machine) not in SYSTEMS:
        return f"{system} on {machine} has no torch wheel; use Linux (x86_64 or aarch64; WSL counts) or macOS (arm64)"
    return None


def another_python():
    """A supported Python on PATH that starts (a version manager's shim may not), or None."""
    for minor in range(OLDEST[1], NEWEST[1] + 1):
        path = shutil.which(f"python3.{minor}")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if path and subprocess.run([path, "-c", ""], **quiet).returncode == 0:
            return path
    return None


def choose_torch(asked, system, driver):
    """(flavour, why) for TORCH=``asked``; ``driver`` tells whether an NVIDIA driver is there."""
    if asked == "cuda" and system != "Linux":
        raise Problem("TORCH=cuda: there are CUDA builds for Linux only; use TORCH=cpu")
    if asked != "auto":
        return asked, "as requested"
    if system == "Linux" and driver:
        return "cuda", "an NVIDIA driver is here"
    return "cpu", "no NVIDIA driver here"


def has_nvidia_driver():
    """True where ``nvidia-smi`` lists a GPU or the kernel's driver shows one."""
    folder = Path("/proc/driver/nvidia/gpus")
    if folder.is_dir() and any(folder.iterdir()):
        return True
    if not shutil.which("nvidia-smi"):
        return False
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listing.returncode == 0 and b"GPU" in listing.stdout


def lock_hashes(folder, flavour):
    """{file name: SHA-256} of the lock files that an environment of this flavour is made from."""
    names = ["requirements.txt", f"torch-{flavour}.txt"]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise Problem(f"{folder / missing[0]} is missing; restore it with: git checkout -- env")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def read_stamp(venv):
    """The stamp of a complete environment whose Python still runs in the right version, otherwise None."""
    try:
        stamp = json.loads((venv / "stamp.json").read_text(encoding="utf-8"))
        minor = stamp["python"].split(".")[:2]
        # After an upgrade or removal of the system's Python, the link is dead, or leads to a Python without packages.
        code = "import sys; print('{}.{}'.format(*sys.version_info))"
        command = [str(venv / "bin" / "python"), "-SEc", code]
        done = subprocess.run(command, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return stamp if done.stdout.decode().split() == [".".join(minor)] else None


def up_to_date(venv, locks, asked):
    """The stamp, if the environment matches ``asked`` ("auto", "cpu", "cuda") and the lock files, otherwise None.

    TORCH=auto keeps the build that is installed: a run inside a container without the driver changes nothing.
    """
    stamp = read_stamp(venv)
    if stamp is None or (asked != "auto" and stamp.get("torch") != asked):
        return None
    flavour = stamp.get("torch")
    if flavour not in ("cpu", "cuda") or stamp.get("locks") != lock_hashes(locks, flavour):
        return None
    return stamp


def announce(venv, flavour, why, system):
    """Announce the installation; raises Problem if the disk is too small for it."""
    torch, rest = SIZES[(system, flavour)], SIZES["rest"]
    download, disk = torch[0] + rest[0], torch[1] + rest[1]
    print(f"Environment: {venv}, Python {platform.python_version()}, torch for {flavour} ({why})")
    if flavour == "cpu" and system == "Linux":
        print(
            f"CPU builds of torch are at {CPU_INDEX}; if that cannot be reached, pip warns and asks its other sources"
        )
    print(f"To download: about {download:,} MB, less what pip has cached; on disk: about {disk:,} MB", flush=True)
    place = next(parent for parent in (venv, *venv.parents) if parent.exists())
    temporary, downloads = temporary_folder(), 0 if offline() else max(torch[0], rest[0])
    needs = [(place, disk, "VENV"), (temporary, downloads, "TMPDIR")]
    if place.stat().st_dev == temporary.stat().st_dev:
        needs = [(place, disk + downloads, "VENV")]
    for folder, needed, setting in needs:
        free = shutil.disk_usage(str(folder)).free // 10**6
        if free < needed:
            raise Problem(f"{folder} has {free:,} MB free, but {needed:,} MB are needed; free space or set {setting}")


def temporary_folder():
    """The folder that pip downloads to; prints a message if TMPDIR cannot be written and another one is used."""
    try:
        folder = Path(tempfile.gettempdir())
    except OSError as error:
        raise Problem(f"{error.strerror}; set TMPDIR to a folder that can be written") from error
    asked = os.environ.get("TMPDIR")
    if asked and os.path.realpath(asked) != os.path.realpath(str(folder)):
        print(f"setup: TMPDIR={asked} cannot be written; {folder} is used instead", file=sys.stderr)
    return folder


def remove(folder):
    """Remove an environment that this program made or began; raises Problem for any other folder."""
    if folder.is_symlink():
        folder.unlink()
    if not folder.exists():
        return
    if any(folder.iterdir()) and not (folder / MARK).exists() and not (folder / "stamp.json").exists():
        raise Problem(f"{folder} exists and was not made by this program; move it away or set VENV")
    shutil.rmtree(str(folder))


def begin(venv):
    """Make the folder of an environment and mark it as this program's, so that it may be removed later."""
    venv.mkdir(parents=True, exist_ok=True)
    (venv / MARK).write_text("made by env/setup.py, which may remove this folder and make it again\n", encoding="utf-8")


def make_venv(venv):
    """An empty virtual environment with pip in it."""
    try:
        import ensurepip
        import venv as _venv
    except ImportError:
        ensurepip = _venv = None
    if ensurepip is None or _venv is None:
        raise Problem(
            "this Python has no venv module; on Debian and Ubuntu: sudo apt-get install python{}.{}-venv".format(
                *sys.version_info[:2]
            )
        )
    # Not the Python of an active environment, which may be the one that was just set aside.
    python = getattr(sys, "_base_executable", None) or sys.executable
    if subprocess.run([python, "-m", "venv", str(venv)], env=clean_environment()).returncode:
        raise Problem(f"python -m venv {venv} failed (its message is above)")


def install_project(venv, root):
    """Install this project itself, editable, so that ``bin/onepage`` works; its dependencies are there already.

    Nothing depends on it, because make runs the code from its folder: a folder that cannot be written is not an error.
    """
    if not (root / "pyproject.toml").is_file():  # a container image installs the environment before the code
        return
    command = [str(venv / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    command += ["--disable-pip-version-check", "--quiet", "--editable", str(root)]
    if subprocess.run(command, env=clean_environment()).returncode:
        print(f"setup: {venv / 'bin' / 'onepage'} is not there (pip's message is above); make works without it")


def prove(venv):
    """Import what the project uses and return torch's version; raises Problem if a wheel or a library is broken."""
    python = str(venv / "bin" / "python")
    check = [python, "-m", "pip", "--disable-pip-version-check", "check"]
    if subprocess.run(check, env=clean_environment()).returncode:
        raise Problem("the installed packages are incompatible (pip's message is above); run the command again")
    modules = "torch numpy matplotlib.pyplot seaborn sacrebleu sacremoses sentencepiece PIL typst lxml.etree"
    modules += " click rich.table rich.progress jinja2 pooch pytest hypothesis markdown_it pypdf"
    code = "import {}; print(torch.__version__)".format(", ".join(modules.split()))
    done = subprocess.run([python, "-c", code], env=clean_environment(), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Problem("the installed packages cannot be imported (the message is above); run the command again")
    return done.stdout.strip()


def write_stamp(venv, locks, flavour, version):
    """Write stamp.json in one move, which marks the environment as complete."""
    content = {"torch": flavour, "torch_version": version, "python": platform.python_version()}
    content["locks"] = lock_hashes(locks, flavour)
    temporary = venv / "stamp.json.tmp"
    temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(str(temporary), str(venv / "stamp.json"))


def build(venv, locks, flavour):
    """Make the environment; if that fails, restore the old one."""
    old = venv.with_name(venv.name + ".old")
    if old.exists():  # an installation was killed after it had set the old one aside
        remove(venv)
        old.rename(venv)
    if (venv / "stamp.json").exists():
        venv.rename(old)
    else:
        remove(venv)
    try:
        begin(venv)
        make_venv(venv)
        # torch first, because it is the most likely to fail, before the rest is downloaded.
        pip_install(venv, torch_arguments(locks, flavour, pip_environment(venv)), f"env/torch-{flavour}.txt")
        pip_install(venv, ["--no-deps", "-r", str(locks / "requirements.txt")], "env/requirements.txt")
        install_project(venv, locks.parent)
        write_stamp(venv, locks, flavour, prove(venv))
    except BaseException:
        if old.exists():
            remove(venv)
            old.rename(venv)
        raise
    remove(old)


def correct_scripts(venv, root):
    """Correct the folder that the scripts in bin/ name, after a move or a copy of the checkout.

    Nothing depends on them, as in install_project: if they cannot be written, they stay unchanged.
    """
    try:
        pip = (venv / "bin" / "pip").read_text(encoding="utf-8", errors="replace")
        made_in = Path(re.findall("(/[^\"'\n]*)/bin/python", pip)[0])
        if (made_in / "bin").exists() and (made_in / "bin").samefile(venv / "bin"):
            return
        for path in (venv / "bin").iterdir():
            content = b"" if path.is_symlink() else path.read_bytes()
            if bytes(made_in) in content and b"\0" not in content:
                path.write_bytes(content.replace(bytes(made_in), bytes(venv)))
        print(f"Environment: its scripts now name this folder instead of {made_in}", flush=True)
        install_project(venv, root)
    except (OSError, IndexError):
        return


def setup(venv, asked, locks=ENV):
    """Make ``venv`` match the lock files in ``locks``; installs nothing if it does already."""
    if venv.is_symlink():  # to another disk: the folder there is replaced, not the link
        venv = Path(os.path.realpath(str(venv)))
    stamp = up_to_date(venv, locks, asked)
    if stamp is not None:
        what = "Python {python}, torch {torch_version}".format(**stamp)
        print(f"Environment: {venv} is up to date ({what})", flush=True)
        correct_scripts(venv, locks.parent)
        return
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    implementation, system = platform.python_implementation(), platform.system()
    problem = python_problem(sys.version_info, implementation, system, platform.machine(), free_threaded)
    if problem:
        raise Problem(problem)
    flavour, why = choose_torch(asked, system, asked == "auto" and has_nvidia_driver())
    lock_hashes(locks, flavour)
    announce(venv, flavour, why, system)
    build(venv, locks, flavour)
    print(f"Environment: {venv} is ready")


def apt_packages(path):
    """Package names in apt.txt, one per line, without comments."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def setup_tex(locks=ENV):
    """Install the packages of apt.txt, unless all are installed."""
    packages = apt_packages(locks / "apt.txt")
    if shutil.which("dpkg-query"):
        query = ["dpkg-query", "-W", "-f", "${db:Status-Status}\n"]
        done = subprocess.run(query + packages, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        complete = done.stdout.decode().split() == ["installed"] * len(packages)
    else:
        complete = all(shutil.which(tool) for tool in ("pdflatex", "latexmk", "pdftoppm"))
    if complete:
        print("TeX: {} are installed".format(", ".join(packages)))
        return
    if not shutil.which("apt-get"):
        raise Problem("there is no apt-get here; install LaTeX and latexmk yourself, or use PDF_ENGINE=typst")
    if os.geteuid() != 0:
        raise Problem("installing {} needs root: sudo apt-get install {}".format(packages[0], " ".join(packages)))
    print("TeX: installing {}".format(", ".join(packages)), flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends"] + packages):
        if subprocess.run(command, env=environment).returncode:
            what = " ".join(command[:2])
            raise Problem(f"{what} failed (its message is above); without TeX, typst typesets the page")


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Make the virtual environment, or install TeX.")
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="folder of the environment (default: .venv)")
    parser.add_argument("--torch", choices=["auto", "cpu", "cuda"], default="auto", help="torch build (default: auto)")
    parser.add_argument("--tex", action="store_true", help="install the system packages of apt.txt instead (root)")
    options = parser.parse_args(arguments)
    try:
        if options.tex:
            setup_tex()
        else:
            setup(options.venv.absolute(), options.torch)
    except Problem as problem:
        print(f"setup: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"setup: {error}; free space or set VENV to another folder, then run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; the same command continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
