"""Runs pip for setup.py, compare.py and bundle.py: selects its settings, and names remedies for its failures.

Standard library only; it must parse on Python 3.6, like setup.py.
"""

import ast
import os
import platform
import re
import subprocess
import sys

CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# Settings of pip that the user may choose: how it reaches its sources, what it shows. All others (user, target, prefix,
# root, constraint, dry-run, use-feature ...) have no effect, because they would change what is installed or where.
KEPT = [
    *("index-url", "extra-index-url", "pypi-url", "find-links", "no-index", "trusted-host", "keyring-provider"),
    *("proxy", "cert", "client-cert", "timeout", "default-timeout", "retries", "resume-retries"),
    *("cache-dir", "no-cache-dir", "progress-bar", "no-color", "verbose", "quiet", "log"),
]
VARIABLES = {name: "PIP_" + name.upper().replace("-", "_") for name in KEPT}

# Texts in pip's output, with cause and remedy. The first match is shown. Errors that end an installation come before
# network errors, of which pip may also warn and then continue.
CAUSES = [
    ("No space left|quota exceeded", "a disk is full: free space in {venv} and {temporary}, or set VENV and TMPDIR"),
    (
        "DO NOT MATCH THE HASHES",
        "a source sent a file whose hash is not in env/: set PIP_NO_CACHE_DIR=1, or PIP_INDEX_URL to another source",
    ),
    ("dependencies for SOCKS", "pip cannot use a SOCKS proxy: unset ALL_PROXY, or set HTTPS_PROXY to an http proxy"),
    (r"\b407 [A-Z]", "the proxy asks for a name and password: set HTTPS_PROXY=http://name:password@host:port"),
    ("ProxyError|[Pp]roxy URL", "the proxy does not connect: correct HTTPS_PROXY or ALL_PROXY, or set NO_PROXY"),
    (
        "(?i)certificate.verify.failed|CA certificate bundle",
        "a certificate is not trusted: set PIP_CERT to a file with your network's certificates, and check the clock",
    ),
    (
        r"\b40[13] (Error|Client|Forbidden|Unauthorized)|HTTP error 40[13]",
        "a source refuses access: put name and password into PIP_INDEX_URL or ~/.netrc",
    ),
    ("Permission denied|Read-only file", "a folder cannot be written: set VENV, TMPDIR or PIP_CACHE_DIR to another"),
    (
        r"Retrying \(|[Tt]imed out|Connection (refused|reset|aborted|broken)|IncompleteRead|\b5\d\d ([Ee]rror|Server)",
        "a source cannot be reached: run the command again; with no network, put the wheels into a folder and use "
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=<folder>",
    ),
    (
        "No matching distribution|not a supported wheel",
        "no source offers a wheel for CPython {python} on {system}: set PIP_INDEX_URL to another, or "
        "PIP_NO_INDEX=1 PIP_FIND_LINKS=<folder> to a folder of wheels",
    ),
    ("", "run the command again; PIP_VERBOSE=2 shows more"),
]


class Problem(Exception):
    """A problem that the user can fix; its text is the one line shown."""


def clean_environment():
    """This process's variables, less those that would divert Python, matplotlib or pip; of pip's, KEPT stay."""
    kept, diverting = set(VARIABLES.values()), ("PYTHON", "PIP_", "__PYVENV")
    environment = {key: value for key, value in os.environ.items() if key in kept or not key.startswith(diverting)}
    environment.update(PIP_CONFIG_FILE=os.devnull, MPLBACKEND="agg")  # with the null device, pip reads no settings file
    return environment


def pip_environment(venv):
    """clean_environment, and what pip's own files set of KEPT; as in pip, a variable outranks a file."""
    environment = clean_environment()
    asking = dict(environment, PIP_QUIET="0")
    del asking["PIP_CONFIG_FILE"]
    asking.update((key, value) for key, value in os.environ.items() if key == "PIP_CONFIG_FILE")
    command = [str(venv / "bin" / "python"), "-m", "pip", "config", "list"]
    done = subprocess.run(command, env=asking, stdout=subprocess.PIPE)
    listed = done.stdout.decode(errors="replace")
    if done.returncode:
        sys.stderr.write(listed)
        what = "pip cannot use its settings (its message is above)"
        raise Problem(f"{what}; correct them, or set PIP_CONFIG_FILE=/dev/null")
    for section in ("install", "global"):
        for name, value in reversed(re.findall(rf"^{section}\.([a-z-]+)=(['\"].*['\"])$", listed, re.MULTILINE)):
            if name in VARIABLES:
                environment.setdefault(VARIABLES[name], ast.literal_eval(value))
    return environment


def run_pip(venv, arguments):
    """Run the environment's pip; its messages and progress are shown as they come. Returns the remedy if it fails."""
    command = [str(venv / "bin" / "python"), "-m", "pip", *arguments]
    environment, said = pip_environment(venv), b""
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        try:
            for piece in iter(lambda: process.stderr.read1(1 << 16), b""):
                sys.stderr.buffer.write(piece)
                sys.stderr.buffer.flush()
                said += piece
        except BaseException:
            process.kill()
            raise
    if process.returncode == 0:
        return None
    if b"Retrying (" not in said and b"No matching distribution" in said:  # pip does not say which source failed
        again = subprocess.run([*command, "-vv"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said = again.stdout
    cause = next(cause for pattern, cause in CAUSES if re.search(pattern, said.decode(errors="replace")))
    here = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    return cause.format(venv=venv, temporary=os.environ.get("TMPDIR", "/tmp"), **here)


def pip_install(venv, arguments, what):
    """Install with the environment's pip, by hash; raises Problem with the remedy."""
    command = ["install", "--require-hashes", "--only-binary", ":all:"]
    # Byte code for every file would take longer than all the rest; prove() writes it for the modules in use.
    command += ["--no-compile", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
    remedy = run_pip(venv, command + arguments)
    if remedy:
        raise Problem(f"{what} could not be installed (pip's message is above); {remedy}")


def offline():
    """Whether PIP_NO_INDEX says that no index is to be asked."""
    return os.environ.get("PIP_NO_INDEX", "").lower() not in ("", "0", "false", "no", "off")


def torch_arguments(locks, flavour, settings=os.environ):
    """pip's arguments for torch: without dependencies, since the lock files name them all.

    The index of CPU builds is tried once and once more, unless ``settings`` (from pip_environment) say how often: where
    it cannot be reached, pip goes on to its own sources (PyPI, PIP_FIND_LINKS), and the hashes decide what is taken.
    """
    arguments = ["--no-deps", "-r", str(locks / f"torch-{flavour}.txt")]
    if flavour == "cpu" and platform.system() == "Linux" and not offline():
        arguments += ["--extra-index-url", CPU_INDEX]
        arguments += [] if "PIP_RETRIES" in settings else ["--retries", "1"]
    return arguments
