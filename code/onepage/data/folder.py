"""The folder of a data set while it is written: free space on the disk, and one process at a time."""

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from onepage.data.download import megabytes
from onepage.errors import UserError

TEMPORARY = ".download-"  # prefix of the folders of running downloads, inside the set's folder


def check_space(folder: Path, needed: int) -> None:
    """Raise UserError if the disk has no room for ``needed`` bytes."""
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"{folder} needs {megabytes(needed)}, but {megabytes(free)} are free; delete files or set DATA_DIR"
        )


@contextlib.contextmanager
def locked(data_dir: Path, name: str, say: Callable[[str], None]) -> Iterator[Path]:
    """Make the folder ``data_dir/name`` and let one process at a time write it.

    Without locks in the file system, continue without one: moves into place are atomic anyway.
    Raises UserError if the folder cannot be made.
    """
    folder = data_dir / name
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with open(data_dir / f".{name}.lock", "a") as file:
            held = _lock(file.fileno(), lambda: say(f"{name}: waiting for another fetch of it to end"))
            folder.mkdir(exist_ok=True)
            if held:
                # No other fetch is running: a killed one left these temporary files and folders.
                for left in folder.glob(f"{TEMPORARY}*"):
                    shutil.rmtree(left, ignore_errors=True)
                for left in folder.rglob(".*.tmp"):
                    left.unlink(missing_ok=True)
            try:
                yield folder
            finally:
                with contextlib.suppress(OSError):
                    folder.rmdir()  # only if it is still empty
    except OSError as error:
        what = f"{error.filename or folder}: {error.strerror or error}"
        raise UserError(f"cannot write {what}; free space or set DATA_DIR to another folder") from error


def _lock(descriptor: int, waiting: Callable[[], None]) -> bool:
    """Lock an open file until it is closed; False where that cannot be done (some network disks)."""
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
