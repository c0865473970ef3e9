"""Downloading one file from one address, and probing whether addresses answer.

pooch stores the file and retries, requests handles HTTP. This module adds limits on time, size and slowness, a
progress bar (plain lines without a terminal), and one-line errors. archive.py checks the digests.
"""

import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from onepage.data.archive import SourceError
from onepage.data.sources import Download
from onepage.errors import UserError
from onepage.terminal.progress import console

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
RETRIES = 2
SLOWEST = 10_000  # bytes per second; a source that is slower after SLOWEST_AFTER seconds is given up
SLOWEST_AFTER = 60.0
SHOW_ABOVE = 5_000_000  # bytes; smaller downloads end before anyone reads a progress bar
WATCH_EVERY = 0.2  # seconds between two checks of a download
PLAIN_EVERY = 30.0  # seconds between progress lines without a terminal
CHUNK = 1 << 16
HEADERS = {"User-Agent": "onepage (reproducibility artifact; python-requests)"}


def megabytes(size: float) -> str:
    """A size in bytes as people read it: "170.5 MB", "23 kB"; never 0."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 1):.0f} kB"


def fetch_url(url: str, folder: Path, item: Download) -> Path:
    """Download ``item`` from ``url`` into ``folder`` (the caller removes it) and return the file.

    Its published size serves the progress bar and the limit (a download of twice that size is refused).
    Raises SourceError if the address does not serve it; UserError if the disk is full or cannot be written.
    """
    import pooch  # here, so that other commands do not wait for the import
    import requests  # type: ignore[import-untyped,unused-ignore]

    pooch.get_logger().setLevel("ERROR")
    name = "download"
    registry = pooch.create(path=folder, base_url="", registry={name: None}, urls={name: url}, retry_if_failed=RETRIES)
    meter = _Meter(item.size)
    outcome: list[Path | Exception] = []

    def transfer(address: str, output: str, pup: Any) -> None:
        meter.begin()
        try:
            limits = (CONNECT_SECONDS, READ_SECONDS)
            with requests.get(address, stream=True, timeout=limits, headers=HEADERS) as response:
                if 400 <= response.status_code < 500:  # a definite answer; pooch does not retry a SourceError
                    raise SourceError(f"{_answer(response.status_code)} for {item.path}")
                response.raise_for_status()
                with open(output, "wb") as file:
                    for chunk in response.iter_content(CHUNK):
                        file.write(chunk)
                        meter.count(len(chunk))
        finally:
            meter.pause()

    def work() -> None:
        try:
            outcome.append(Path(registry.fetch(name, downloader=transfer)))
        except Exception as error:
            outcome.append(error)

    # In a thread, watched from here: a source that sends single bytes reaches neither the time limit of a read nor the
    # end of a chunk. An abandoned thread ends at its next chunk, or with the program.
    thread = threading.Thread(target=work, daemon=True)
    with meter:
        thread.start()
        while thread.is_alive():
            thread.join(WATCH_EVERY)
            meter.watch()
    result = outcome[0]
    if isinstance(result, Path):
        return result
    if isinstance(result, requests.HTTPError):
        raise SourceError(f"answers {getattr(result.response, 'status_code', 'an error')}", lost=True) from result
    if isinstance(result, requests.RequestException | ValueError):  # ValueError: an invalid address or header
        raise SourceError(_short(result), lost=True) from result
    if isinstance(result, OSError):
        raise UserError(f"cannot write {folder}: {result.strerror or result}; free space or set DATA_DIR") from result
    raise result


def probe(urls: Mapping[str, str], timeout: float) -> dict[str, str]:
    """Ask every address (name: URL) at once whether it answers; at most ``timeout`` seconds in all.

    Returns, for each name, "" if it serves the file, otherwise a short reason.
    """
    answers = dict.fromkeys(urls, "no answer")

    def ask(name: str, url: str) -> None:
        answers[name] = _ask(url, timeout)

    # Daemon threads: a name lookup has no time limit, and must not keep the program from ending.
    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in urls.items()]
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(answers)  # a late thread may still write


def _ask(url: str, timeout: float) -> str:
    import requests

    limits = (min(timeout, CONNECT_SECONDS), timeout)
    try:
        # The body is never read beyond its first bytes: some of these servers refuse HEAD.
        with requests.get(url, stream=True, timeout=limits, headers=HEADERS) as response:
            if response.status_code != 200:
                return _answer(response.status_code)
            if next(response.iter_content(16), b"").lstrip()[:1] == b"<":
                return "answers with a web page"
            return ""
    except requests.RequestException as error:
        return _short(error)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


def _answer(status: int) -> str:
    return "the proxy asks for a name and a password (407)" if status == 407 else f"answers {status}"


def proxy_hint(why: str) -> str:
    """The remedy if ``why``, the errors of all sources, mentions a proxy; otherwise ""."""
    hint = "; correct or unset the proxy (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY) or list the host in NO_PROXY"
    return hint if "proxy" in why.lower() else ""


def _short(error: Exception) -> str:
    """A short text for a network error, without the library's nested representations."""
    import requests

    text = str(error)
    unknown_name = ("NameResolutionError", "Name or service", "getaddrinfo", "name resolution")
    refused = re.search(r"Tunnel connection failed: (\d+)", text)
    if refused:
        return _answer(407) if refused[1] == "407" else f"the proxy answers {refused[1]}"
    causes = {  # the first that applies
        "a SOCKS proxy is set, PySocks is not installed": "dependencies for SOCKS" in text,
        "the proxy does not connect": isinstance(error, requests.exceptions.ProxyError),
        "timed out": isinstance(error, requests.Timeout)
        or "timed out" in text,  # requests has no Timeout within a body
        "redirects without end": isinstance(error, requests.TooManyRedirects),
        "name not found (no network?)": any(word in text for word in unknown_name),
        "connection refused": "refused" in text,
        "no trusted certificate": isinstance(error, requests.exceptions.SSLError),
        "sends what cannot be unpacked": isinstance(error, requests.exceptions.ContentDecodingError),
        "connection broken": isinstance(error, requests.exceptions.ChunkedEncodingError),
        "no connection": isinstance(error, requests.ConnectionError),
    }
    other = text.splitlines()[0][:100] if text else type(error).__name__
    return next((cause for cause, applies in causes.items() if applies), other)


class _Meter:
    """Watches a download in another thread: shows its progress, and checks its size and speed."""

    def __init__(self, size: int) -> None:
        self._published = size
        self._done = 0
        self._started: float | None = None  # None before the first attempt and between two
        self._ended = False
        self._said = time.monotonic()
        self._bar: Progress | None = None
        if size > SHOW_ABOVE and console.is_terminal:
            columns = (TextColumn("  {task.fields[what]}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._bar.add_task("", total=size, what="downloading")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        if self._bar:
            self._bar.stop()

    def begin(self) -> None:
        """An attempt begins."""
        self._done, self._started = 0, time.monotonic()

    def pause(self) -> None:
        """An attempt has ended, with or without success."""
        self._started = None

    def count(self, size: int) -> None:
        """Count ``size`` new bytes. Raises SourceError if the file is far too long, or no longer wanted."""
        self._done += size
        if self._ended:
            raise SourceError("given up")
        if self._done > 2 * self._published + (1 << 20):
            raise SourceError("sends far more than the file should have")

    def watch(self) -> None:
        """Show the progress of the download. Raises SourceError if it is far too slow."""
        started, now = self._started, time.monotonic()
        if started is None:
            return
        if now - started > SLOWEST_AFTER and self._done < SLOWEST * (now - started):
            raise SourceError(f"slower than {SLOWEST // 1000} kB/s", lost=True)
        if self._bar:
            self._bar.update(self._task, completed=self._done)
        elif now - self._said > PLAIN_EVERY:
            self._said = now
            rate = megabytes(self._done / (now - started))
            console.print(f"  {megabytes(self._done)} of {megabytes(self._published)}, {rate}/s", markup=False)
