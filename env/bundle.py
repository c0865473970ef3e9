"""Downloads the wheels that setup.py installs, for a machine without a network: the first half of ``make bundle``.

They are those of the lock files for this Python, this system and one build of torch, each checked by its digest.
``<folder>/wheels.json`` is written last and describes them; while it matches, nothing is done. Run as a script beside
setup.py, with the same rules for pip.
"""

import argparse
import json
import os
import platform
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # PYTHONSAFEPATH leaves it out
from packages import Problem, pip_environment, run_pip, torch_arguments
from setup import ENV, SIZES, lock_hashes, read_stamp

ABOUT = "wheels.json"


def download(venv, folder, asked, locks=ENV):
    """Bring ``folder`` to what the lock files say; does nothing where it is that already."""
    stamp = read_stamp(venv)
    if stamp is None:
        raise Problem(f"{venv} is not a complete environment; run make setup")
    flavour = stamp["torch"] if asked == "auto" else asked
    about = {
        "torch": flavour,
        "python": ".".join(stamp["python"].split(".")[:2]),
        "system": platform.system(),
        "machine": platform.machine(),
        "locks": lock_hashes(locks, flavour),
    }
    if read_about(folder) == about:
        print(f"Wheels: {folder} is up to date")
        return
    size = SIZES[(about["system"], flavour)][0] + SIZES["rest"][0]
    print(f"Wheels: {folder}; to download: about {size:,} MB, less what pip has cached", flush=True)
    remove_wheels(folder)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(str(folder)).free // 10**6
    if free < 2 * size:  # pip copies them from a temporary folder
        raise Problem(f"{folder} has {free:,} MB free, but {2 * size:,} MB are needed; free space or set OUT")
    pip_download(venv, folder, torch_arguments(locks, flavour, pip_environment(venv)), f"env/torch-{flavour}.txt")
    pip_download(venv, folder, ["--no-deps", "-r", str(locks / "requirements.txt")], "env/requirements.txt")
    temporary = folder / (ABOUT + ".tmp")
    temporary.write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(str(temporary), str(folder / ABOUT))
    print("Wheels: {} in {}".format(len(list(folder.glob("*.whl"))), folder))


def read_about(folder):
    """What the wheels in ``folder`` are, or None where they are not complete."""
    try:
        return json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def remove_wheels(folder):
    """Remove wheels of other lock files, or of a download that did not end; nothing else lies there."""
    if (folder / ABOUT).is_file():
        (folder / ABOUT).unlink()
    for path in folder.glob("*.whl"):
        path.unlink()


def pip_download(venv, folder, arguments, what):
    """Download with the environment's pip."""
    command = ["download", "--require-hashes", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
    remedy = run_pip(venv, [*command, "--dest", str(folder), *arguments])
    if remedy:
        raise Problem(f"{what} could not be downloaded (pip's message is above); {remedy}")


def main(arguments=None):
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Download the wheels that the environment is made from.")
    parser.add_argument("--venv", type=Path, default=Path(".venv"), help="folder of the environment (default: .venv)")
    parser.add_argument(
        "--torch", choices=["auto", "cpu", "cuda"], default="auto", help="torch build (auto: as installed)"
    )
    parser.add_argument("--folder", type=Path, required=True, help="folder for the wheels")
    options = parser.parse_args(arguments)
    try:
        download(options.venv.absolute(), options.folder.absolute(), options.torch)
    except Problem as problem:
        print(f"bundle: {problem}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"bundle: {error}; free space or set OUT, then run again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bundle: interrupted; run the command again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
