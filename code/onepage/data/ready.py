"""The ready file of a set, written last: it lists the files of the set, all of them verified.

    {"set", "generated", "source", "version" (generated sets only),
     "files": {name: {"sha256", "size", "mtime_ns"}}, "digest"}

``digest`` is the data digest that runs record: SHA-256 over the sorted lines "<name> <sha256>". ``is_complete`` trusts
size and modification time, and hashes a file again when its time changed. The loaders hash the very bytes they use
(``read_verified``), so nothing is parsed before its digest has been checked.
"""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onepage import files
from onepage.errors import UserError

REMEDY = "delete that file and run: make data"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


@dataclass(frozen=True)
class Ready:
    """The content of a ready file; ``files`` maps a name below the folder to its SHA-256."""

    name: str
    generated: bool
    source: str
    version: int | None
    files: dict[str, str]
    stats: dict[str, tuple[int, int]]  # size in bytes, modification time in ns, when verified
    digest: str


def digest_of(sha256: Mapping[str, str]) -> str:
    """The data digest of files given by name and SHA-256; independent of their order."""
    return hashlib.sha256("".join(f"{name} {sha256[name]}\n" for name in sorted(sha256)).encode()).hexdigest()


def write(path: Path, name: str, source: str, sha256: Mapping[str, str], version: int | None = None) -> None:
    """Write the ready file ``path`` for verified files beside it (``version``: of a generated set)."""
    entries = {}
    for file, digest in sorted(sha256.items()):
        size, mtime_ns = _stat(path.parent / file)
        entries[file] = {"sha256": digest, "size": size, "mtime_ns": mtime_ns}
    value: dict[str, Any] = {"set": name, "generated": version is not None, "source": source}
    if version is not None:
        value["version"] = version
    files.write_json(path, {**value, "files": entries, "digest": digest_of(sha256)})


def read(path: Path, published: Mapping[str, str] | None = None) -> Ready:
    """Read a ready file. Raises UserError if it is missing, is damaged, disagrees with its own digest, or does not list
    exactly the ``published`` files (name: SHA-256) of a real set.
    """
    if not path.is_file():
        raise UserError(f"the data set in {path.parent} is missing or incomplete (no {path.name}); run: make data")
    value = files.read_json(path)
    try:
        if not value["files"] or not all(_NAME.fullmatch(file) and ".." not in file for file in value["files"]):
            raise ValueError("no files, or a name that is not one below the folder")
        ready = Ready(
            name=str(value["set"]),
            generated=bool(value["generated"]),
            source=str(value["source"]),
            version=int(value["version"]) if "version" in value else None,
            files={file: str(entry["sha256"]) for file, entry in value["files"].items()},
            stats={file: (int(entry["size"]), int(entry["mtime_ns"])) for file, entry in value["files"].items()},
            digest=value["digest"],
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise UserError(f"{path} is damaged; {REMEDY}") from None
    if ready.digest != digest_of(ready.files):
        raise UserError(f"{path} disagrees with its own digest; {REMEDY}")
    if published and ready.files != published:
        raise UserError(f"{path} does not list the published files; {REMEDY}")
    return ready


def damaged(folder: Path, expected: Mapping[str, str], known: Mapping[str, tuple[int, int]] | None = None) -> list[str]:
    """The names of ``expected`` (name: SHA-256) that are missing or differ.

    A file with the size and time in ``known`` is trusted; any other is hashed.
    """
    return [name for name, sha256 in expected.items() if not _agrees(folder / name, sha256, (known or {}).get(name))]


def _agrees(path: Path, sha256: str, known: tuple[int, int] | None) -> bool:
    try:
        return _stat(path) == known or files.sha256_file(path) == sha256
    except OSError:
        return False


def _stat(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def is_complete(path: Path, published: Mapping[str, str] | None = None, version: int | None = None) -> bool:
    """Whether the set of the ready file ``path`` is complete: the ``published`` files (by default those it lists) and
    ``version``, every file unchanged. If only times changed, the files are hashed and the new times recorded.
    """
    try:
        ready = read(path, published)
        if ready.version != version or damaged(path.parent, ready.files, ready.stats):
            return False
    except UserError:
        return False
    if any(_stat(path.parent / name) != known for name, known in ready.stats.items()):
        with contextlib.suppress(UserError):  # if the folder cannot be written, the files are hashed again next time
            write(path, ready.name, ready.source, ready.files, ready.version)
    return True


def read_verified(folder: Path, name: str, sha256: str) -> bytes:
    """The bytes of one file, hashed before they are returned. Raises UserError with the file and the remedy."""
    path = folder / name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run: make data") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); {REMEDY}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UserError(f"{path} is corrupt (its digest is not the recorded one); {REMEDY}")
    return content
