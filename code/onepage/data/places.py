"""Where a real set can be taken from, and the folder it goes to: sources in order, room on the disk, the lock."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from onepage.data.download import megabytes
from onepage.data.sources import Download, RealSet
from onepage.errors import UserError

TEMPORARY = ".download-"  # folders of downloads under way, inside the set's folder


@dataclass(frozen=True)
class Source:
    """A mirror folder, a mirror URL prefix, or public host number ``host`` of every download."""

    name: str
    folder: Path | None = None
    prefix: str | None = None
    host: int = 0

    @property
    def where(self) -> str:
        """What to call it in a message: a mirror by its address, a public source by its host."""
        return str(self.folder or self.prefix or self.name)

    def url(self, item: Download) -> str:
        """The address of one file; for sources that are not a folder."""
        return f"{self.prefix}/{item.path}" if self.prefix else item.urls[self.host]

    def holds(self, item: Download) -> bool:
        """False for a file that a mirror folder lacks; a URL is asked when it is used."""
        return self.folder is None or (self.folder / item.path).is_file()

    def lacks(self, plan: RealSet) -> str:
        """In short what a mirror folder lacks of ``plan``; "" when every file is there."""
        if self.folder is not None and not self.folder.is_dir():
            return "is not a folder"
        lacking = [item.path for item in plan.downloads if not self.holds(item)]
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        return f"lacks {lacking[0]}{more}" if lacking else ""


def mirror_sources(mirror: str | None) -> list[Source]:
    """DATA_MIRROR as a list of at most one source: a folder, or a URL prefix."""
    if not mirror:
        return []
    if urlsplit(mirror).scheme in ("http", "https"):
        return [Source("DATA_MIRROR", prefix=mirror.rstrip("/"))]
    return [Source("DATA_MIRROR", folder=Path(mirror).expanduser())]


def public_sources(plan: RealSet) -> list[Source]:
    """The public hosts of ``plan``, in order; every download lists the same hosts."""
    return [Source(urlsplit(url).netloc, host=index) for index, url in enumerate(plan.downloads[0].urls)]


def check_space(folder: Path, needed: int) -> None:
    """Raise UserError where the disk has no room for ``needed`` bytes; a later failure to write says so too."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(f"{folder} needs {megabytes(needed)}, {megabytes(free)} are free; free space or set DATA_DIR")


@contextlib.contextmanager
def locked(data_dir: Path, name: str, say: Callable[[str], None]) -> Iterator[Path]:
    """Let one process at a time write the folder ``data_dir/name``, which is made and given.

    Where locks do not exist, go on without: moves into place are atomic all the same.
    Raises UserError when the folder cannot be made.
    """
    folder = data_dir / name
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with open(data_dir / f".{name}.lock", "a") as file:
            held = _lock(file.fileno(), lambda: say(f"{name}: waiting for another fetch of it to end"))
            folder.mkdir(exist_ok=True)
            if held:
                # No other fetch is running: temporary files and folders here were left by one that was killed.
                for left in folder.glob(f"{TEMPORARY}*"):
                    shutil.rmtree(left, ignore_errors=True)
                for left in folder.rglob(".*.tmp"):
                    left.unlink(missing_ok=True)
            try:
                yield folder
            finally:
                with contextlib.suppress(OSError):
                    folder.rmdir()  # only where nothing was put into it
    except OSError as error:
        what = f"{error.filename or folder}: {error.strerror or error}"
        raise UserError(f"cannot write {what}; free space or set DATA_DIR to another folder") from error


def _lock(descriptor: int, waiting: Callable[[], None]) -> bool:
    """Lock an open file until it is closed; False where that cannot be done (Windows, some network disks)."""
    try:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except (ImportError, OSError):
        return False
    return True
