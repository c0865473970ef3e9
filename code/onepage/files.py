"""Reading files, writing them so that no reader ever sees half of one, and digests of files.

Every artifact is written to a temporary file beside its target and moved into place when complete: an interrupted
stage leaves the old file or none. Standard library only, except to read arrays: the stamp program runs before any
package is installed.
"""

import contextlib
import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from onepage.errors import UserError

_ROOT = Path(__file__).resolve().parents[2]
# Where report/ (templates, prose, claims), figures/ (style, fonts) and env/ lie: the repository or, of an installed
# package, the folder that pip put them into.
HOME = _ROOT if (_ROOT / "report" / "templates").is_dir() else Path(sys.prefix) / "share" / "onepage"

# The answers of file systems (CIFS, vfat, some FUSE) that have no modes, no times to set, no sync, or do not replace
_REFUSED = {errno.EPERM, errno.EACCES, errno.EEXIST, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextlib.contextmanager
def where_supported() -> Iterator[None]:
    """Context of an optional operation, such as setting a file's mode, that a file system may refuse."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise


def move(temporary: str | Path, path: Path) -> None:
    """Move a complete file into place, over the one that is there; raises OSError."""
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in _REFUSED or not path.is_file():
            raise
        path.unlink()  # fails as well where the folder cannot be written
        os.replace(temporary, path)


def write_with(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write ``path`` by calling ``write(file)`` on a temporary beside it, then move it into place.

    Raises UserError when the disk is full or the folder cannot be written; the old file is then untouched.
    """
    import tempfile  # slow to import, and make waits for code that only reads files

    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # a part of the name: with all of it, the name of the temporary could be too long
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            with where_supported():
                os.fsync(file.fileno())
        with where_supported():
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes 0600; a target should look like any written file
        move(temporary, path)
    except Exception as error:
        reason = _disk_error(error)
        if reason is None:
            raise
        raise UserError(
            f"cannot write {path}: {reason.strerror or reason}; free space or choose another place"
        ) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def _disk_error(error: BaseException | None) -> OSError | None:
    """The OSError behind ``error``: torch.save, stopped by a full disk, raises a RuntimeError while handling it."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes to ``path`` in one move."""
    write_with(path, lambda file: file.write(content))


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text to ``path`` in one move."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON (UTF-8, NaN refused) to ``path`` in one move."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON from ``path``; raises UserError naming the file when it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run the stage that writes it (see: make help)") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read ({error}); delete it and run make again") from None


def read_arrays(path: Path) -> dict[str, Any]:
    """Every array of an .npz, {name: numpy array}, nothing pickled; raises UserError if it is missing or damaged."""
    import numpy as np  # stages without arrays do not wait for it

    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} is missing; evaluate the run first (see: make help)") from None
    except Exception as error:  # zipfile, zlib and numpy each raise their own on a damaged file
        raise UserError(f"{path} cannot be read ({error}); delete it and run make again") from None


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_temporaries(folder: Path) -> None:
    """Remove what a kill in the middle of ``write_with`` left in a folder that nothing else writes to now."""
    for path in Path(folder).glob(".*.tmp"):
        path.unlink(missing_ok=True)


def _umask() -> int:
    # There is no way to read the umask without setting it; this program writes from one thread.
    mask = os.umask(0)
    os.umask(mask)
    return mask
