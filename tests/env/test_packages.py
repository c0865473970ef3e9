"""env/packages.py: which of the user's pip settings apply, and which remedy goes with each message of pip."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from checkout import ENV


@pytest.fixture
def packages(load: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, in a process without settings of pip or proxies."""
    for name in list(os.environ):
        if name.startswith("PIP_") or "proxy" in name.lower():
            monkeypatch.delenv(name)
    return load("packages")


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Gives pip a settings file with this text."""

    def write(text: str) -> None:
        (tmp_path / "pip.conf").write_text(text, encoding="utf-8")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))

    return write


DIVERTED = """[global]
user = true
target = /etc/target
prefix = /etc/prefix
root = /etc/root
require-virtualenv = true
use-feature = truststore
constraint = /etc/none
dry-run = true
quiet = 3
"""
REACHED = """[global]
timeout = 60
retries = 4
proxy = http://proxy:8080
cert = /etc/company.pem
index-url = https://global/simple
extra-index-url =
    https://one/simple
    https://two/simple
[install]
index-url = https://install/simple
trusted-host = install
"""


def test_cpu_index_is_not_asked_offline(packages: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.platform, "system", lambda: "Linux")
    arguments = packages.torch_arguments(ENV, "cpu")
    assert packages.CPU_INDEX in arguments and arguments[arguments.index("--retries") + 1] == "1"
    assert packages.CPU_INDEX not in packages.torch_arguments(ENV, "cuda")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert packages.CPU_INDEX not in packages.torch_arguments(ENV, "cpu")


def test_pip_is_not_diverted(packages: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_USER", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "wheels")
    environment = packages.clean_environment()
    assert "PIP_USER" not in environment and environment["PIP_FIND_LINKS"] == "wheels"


@pytest.mark.slow
@pytest.mark.fault("pip's settings file diverts it (user, target, use-feature = truststore)", "no effect on setup")
def test_settings_file_does_not_divert_pip(
    packages: ModuleType,
    lock_of_nothing: Path,
    configure: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The real pip gets as far as looking for the package, in a folder without wheels."""
    configure(DIVERTED)
    monkeypatch.setenv("PIP_FIND_LINKS", str(lock_of_nothing.parent))
    with pytest.raises(packages.Problem, match=r"no source offers a wheel .* PIP_FIND_LINKS"):
        packages.pip_install(lock_of_nothing.parent, ["-r", str(lock_of_nothing)], "the lock")
    error = capfd.readouterr().err
    assert "onepage-no-such-package" in error and "No matching distribution" in error  # pip's own message is shown
    assert "truststore" not in error and "--user" not in error


def test_settings_of_the_network_are_kept(
    packages: ModuleType, lock_of_nothing: Path, configure: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real pip reads its file: [install] outranks [global], and a variable outranks both."""
    configure(REACHED + DIVERTED.replace("[global]", "[freeze]"))
    monkeypatch.setenv("PIP_PROXY", "http://variable:1")
    monkeypatch.setenv("PIP_USER", "1")
    environment = packages.pip_environment(lock_of_nothing.parent)
    found = {name: value for name, value in environment.items() if name.startswith("PIP_")}
    assert found.pop("PIP_EXTRA_INDEX_URL").split() == ["https://one/simple", "https://two/simple"]
    expected = {
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_TIMEOUT": "60",
        "PIP_RETRIES": "4",
        "PIP_PROXY": "http://variable:1",
        "PIP_CERT": "/etc/company.pem",
        "PIP_INDEX_URL": "https://install/simple",
        "PIP_TRUSTED_HOST": "install",
    }
    assert expected.items() <= found.items()  # the machine's own files may set more
    assert found.keys() <= {"PIP_CONFIG_FILE", *packages.VARIABLES.values()}


def test_users_patience_outranks_ours(packages: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.platform, "system", lambda: "Linux")
    arguments = packages.torch_arguments(ENV, "cpu", {"PIP_RETRIES": "4"})
    assert packages.CPU_INDEX in arguments and "--retries" not in arguments and "--timeout" not in arguments


@pytest.mark.fault(
    "pip's settings cannot be used", "`pip cannot use its settings (its message is above)`, and what to do"
)
@pytest.mark.parametrize("text", ["[global]\ntimeout = soon\n", "no section\n"])
def test_broken_settings_of_pip_are_named(
    packages: ModuleType,
    lock_of_nothing: Path,
    configure: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
    text: str,
) -> None:
    configure(text)
    with pytest.raises(packages.Problem, match="PIP_CONFIG_FILE"):
        packages.pip_environment(lock_of_nothing.parent)
    assert "configuration" in capfd.readouterr().err.lower()


RETRYING = "WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by '{}': /simple/torch/\n"
NOTHING = "ERROR: Could not find a version that satisfies the requirement x (from versions: none)\n"
NOTHING += "ERROR: No matching distribution found for x\n"
OS_ERROR = "ERROR: Could not install packages due to an OSError: {}\n"


@pytest.mark.fault(
    "pip fails", "`... could not be installed (pip's message is above); ...`, and the remedy for its cause"
)
@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            RETRYING.format("x") + OS_ERROR.format("[Errno 28] No space left on device"),
            "disk is full",
        ),
        (OS_ERROR.format("[Errno 122] Disk quota exceeded"), "disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "PIP_NO_CACHE_DIR=1"),
        (OS_ERROR.format("Missing dependencies for SOCKS support."), "unset ALL_PROXY"),
        (
            RETRYING.format("ProxyError('', OSError('Tunnel connection failed: 407 Proxy Auth'))") + NOTHING,
            "name:password@host",
        ),
        (RETRYING.format("ProxyError('Cannot connect to proxy.', NewConnectionError())") + NOTHING, "NO_PROXY"),
        (
            RETRYING.format("SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed')") + NOTHING,
            "set PIP_CERT",
        ),
        (OS_ERROR.format("Could not find a suitable TLS CA certificate bundle, invalid path: /x"), "set PIP_CERT"),
        (
            "WARNING: 401 Error, Credentials not correct for https://host/simple/x/\n" + NOTHING,
            "name and password into",
        ),
        ("ERROR: HTTP error 403 while getting https://host/x.whl", "name and password into"),
        (OS_ERROR.format("[Errno 13] Permission denied: '/x'"), "cannot be written"),
        (OS_ERROR.format("[Errno 30] Read-only file system: '/x'"), "cannot be written"),
        (RETRYING.format("NewConnectionError('Network is unreachable')") + NOTHING, "cannot be reached"),
        ("ReadTimeoutError: HTTPSConnectionPool(host='x', port=443): Read timed out.", "cannot be reached"),
        (NOTHING, "no source offers a wheel for CPython"),
        ("ERROR: x-cp27-none-any.whl is not a supported wheel on this platform.", "no source offers a wheel"),
        ("ERROR: something that nobody has seen", "PIP_VERBOSE=2"),
    ],
)
def test_message_of_pip_decides_the_remedy(
    packages: ModuleType,
    put_python: Callable[..., Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    message: str,
    remedy: str,
) -> None:
    (tmp_path / "message").write_text(message, encoding="utf-8")
    put_python(tmp_path, f'case "$*" in *config*) exit 0;; esac; echo progress; cat {tmp_path}/message >&2; exit 1')
    with pytest.raises(packages.Problem) as caught:
        packages.pip_install(tmp_path, [], "the lock")
    line = str(caught.value)
    assert remedy in line and "\n" not in line and "{" not in line
    shown = capfd.readouterr()
    assert shown.err == message and "progress" in shown.out


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        ("403 Client Error: Forbidden for url: https://x/simple/x/", "name and password into"),
        ("401 Client Error: Unauthorized for url: https://x/simple/x/", "name and password into"),
        ("407 Client Error: Proxy Authentication Required for url: http://x/", "name:password@host"),
        ("There was a problem confirming the ssl certificate: certificate verify failed", "set PIP_CERT"),
        ("503 Server Error: Service Unavailable for url: https://x/simple/x/", "cannot be reached"),
        ("connection error: Max retries exceeded (too many 500 error responses)", "cannot be reached"),
        ("404 Client Error: Not Found for url: https://x/simple/x/", "no source offers a wheel"),
    ],
)
def test_source_that_refuses_is_found_out(
    packages: ModuleType, put_python: Callable[..., Path], tmp_path: Path, answer: str, remedy: str
) -> None:
    """pip names the cause only with -vv, so it is run again with -vv."""
    (tmp_path / "message").write_text(NOTHING, encoding="utf-8")
    more = f"case $last in -vv) echo 'Could not fetch URL https://x/simple/x/: {answer} - skipping';; esac"
    script = f'case "$*" in *config*) exit 0;; esac; for last; do :; done; {more}; cat {tmp_path}/message >&2; exit 1'
    put_python(tmp_path, script)
    with pytest.raises(packages.Problem) as caught:
        packages.pip_install(tmp_path, [], "the lock")
    assert remedy in str(caught.value)


@pytest.mark.slow
@pytest.mark.fault("ALL_PROXY names a SOCKS proxy", "`pip cannot use a SOCKS proxy: unset ALL_PROXY, ...`")
def test_the_real_pip_behind_a_socks_proxy(
    packages: ModuleType, lock_of_nothing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    with pytest.raises(packages.Problem, match="cannot use a SOCKS proxy"):
        packages.pip_install(lock_of_nothing.parent, ["-r", str(lock_of_nothing)], "the lock")
