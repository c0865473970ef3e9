"""One file from one address, and whether an address answers at all.

pooch does the downloading (temporary file, move, retries); this module adds what it lacks: time limits, an upper
limit on size, giving up on a source that crawls, a progress bar that is quiet where there is no terminal, and errors
of one line. No digest is checked here: archive.py checks the members.
"""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from onepage.data.archive import SourceError
from onepage.data.sources import Download
from onepage.errors import UserError

CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
RETRIES = 2
SLOWEST = 10_000  # bytes a second; below it, after SLOWEST_AFTER seconds, a source is given up
SLOWEST_AFTER = 60.0
SHOW_ABOVE = 5_000_000  # bytes; smaller downloads are over before a progress bar is read
PLAIN_EVERY = 30.0  # seconds between progress lines where there is no terminal
CHUNK = 8192
HEADERS = {"User-Agent": "onepage (reproducibility artifact; python-requests)"}


def megabytes(size: float) -> str:
    """A size in bytes as people read it: "170.5 MB", "23 kB"; never 0."""
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{max(size / 1e3, 1):.0f} kB"


def fetch_url(url: str, folder: Path, item: Download, console: Console) -> Path:
    """Download ``item`` from ``url`` into ``folder`` (whose removal is the caller's) and return the file.

    Its published size is for the progress bar, and a limit (twice as much is refused).
    Raises SourceError when the address does not serve it; UserError when the disk is full or cannot be written.
    """
    import pooch  # here, because the command line's other stages need not wait for it
    import requests  # type: ignore[import-untyped,unused-ignore]

    pooch.get_logger().setLevel("ERROR")
    name = "download"
    registry = pooch.create(path=folder, base_url="", registry={name: None}, urls={name: url}, retry_if_failed=RETRIES)

    def downloader(address: str, output: str, pup: Any) -> None:
        meter = _Meter(item.size, console)
        http = pooch.HTTPDownloader(
            progressbar=meter, chunk_size=CHUNK, timeout=(CONNECT_SECONDS, READ_SECONDS), headers=HEADERS
        )
        try:
            http(address, output, pup)
        except requests.HTTPError as error:
            if error.response is not None and 400 <= error.response.status_code < 500:
                # The server means it: raised as something that pooch does not retry.
                raise SourceError(f"answers {error.response.status_code} for {item.path}") from error
            raise
        finally:
            meter.stop()

    try:
        return Path(registry.fetch(name, downloader=downloader))
    except requests.HTTPError as error:
        raise SourceError(f"answers {getattr(error.response, 'status_code', 'an error')}", lost=True) from error
    except requests.RequestException as error:
        raise SourceError(_short(error), lost=True) from error
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}; free space or set DATA_DIR") from error


def probe(urls: Mapping[str, str], timeout: float) -> dict[str, str]:
    """Ask every address (name: URL) at once whether it answers; at most ``timeout`` seconds in all.

    Returns for each name "" when it serves the file, otherwise in short why not.
    """
    answers = dict.fromkeys(urls, "no answer")
    lock = threading.Lock()
    closed = False

    def ask(name: str, url: str) -> None:
        answer = _ask(url, timeout)
        with lock:
            if not closed:
                answers[name] = answer

    # Daemon threads: looking up a name has no time limit of its own, and must not hold the program at its end.
    threads = [threading.Thread(target=ask, args=item, daemon=True) for item in urls.items()]
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    with lock:
        closed = True
    return answers


def _ask(url: str, timeout: float) -> str:
    import requests

    try:
        # The body is never read beyond its first bytes: some of these servers refuse HEAD.
        with requests.get(
            url, stream=True, timeout=(min(timeout, CONNECT_SECONDS), timeout), headers=HEADERS
        ) as response:
            if response.status_code != 200:
                return f"answers {response.status_code}"
            if next(response.iter_content(16), b"").lstrip()[:1] == b"<":
                return "answers with a web page"
            return ""
    except requests.RequestException as error:
        return _short(error)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


def _short(error: Exception) -> str:
    """What went wrong on the network, without the library's nested representations."""
    import requests

    text = str(error)
    if isinstance(error, requests.Timeout):
        return "timed out"
    if any(word in text for word in ("NameResolutionError", "Name or service", "getaddrinfo", "name resolution")):
        return "name not found (no network?)"
    if "refused" in text:
        return "connection refused"
    if isinstance(error, requests.exceptions.SSLError):
        return "no trusted certificate"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "connection broken"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return text.splitlines()[0][:100] if text else type(error).__name__


class _Meter:
    """Follows one download: pooch calls ``update`` for each chunk. Also where size and speed are limited."""

    def __init__(self, size: int, console: Console) -> None:
        self.total = size  # pooch overwrites it with the server's figure; 0 when the server gives none
        self._published = size
        self._done = 0
        self._started = self._said = time.monotonic()
        self._console = console
        self._bar: Progress | None = None
        if size > SHOW_ABOVE and console.is_terminal:
            columns = (TextColumn("  {task.fields[what]}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
            self._task = self._bar.add_task("", total=size, what="downloading")
            self._bar.start()

    def update(self, chunk: int) -> None:
        """Count ``chunk`` bytes. Raises SourceError when the file is far too long or comes far too slowly."""
        self._done += chunk
        now = time.monotonic()
        if self._done > 2 * self._published + (1 << 20):
            raise SourceError("sends far more than the file should have")
        if now - self._started > SLOWEST_AFTER and self._done < SLOWEST * (now - self._started):
            raise SourceError(f"slower than {SLOWEST // 1000} kB/s", lost=True)
        if self._bar:
            self._bar.update(self._task, completed=self._done, total=self.total or self._published)
        elif now - self._said > PLAIN_EVERY:
            self._said = now
            rate = megabytes(self._done / (now - self._started))
            self._console.print(f"  {megabytes(self._done)} of {megabytes(self._published)}, {rate}/s", markup=False)

    def reset(self) -> None:
        """Called by pooch at the end, before it reports the whole as one last update."""
        self._done = 0

    def close(self) -> None:
        """Called by pooch after a complete download."""

    def stop(self) -> None:
        """Take the bar off the screen, whether the download succeeded or not."""
        if self._bar:
            self._bar.stop()
