"""Unpacking a downloaded file: each member is verified by its digest, then written.

Nothing that a source sends is trusted. A tar is read as a stream. Regular members with exactly the expected names and
sizes are read into memory, and written under *our* name if their SHA-256 is right. So a member called ``../x``, an
absolute path, a link or a device is neither followed nor created (``extract`` and ``extractall`` are not used), and an
archive that unpacks to far more than expected is refused.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from onepage import files
from onepage.data.sources import Download, Member
from onepage.errors import UserError

_GZIP = b"\x1f\x8b"
_UNREADABLE = (EOFError, OSError, zlib.error)


class SourceError(Exception):
    """One source could not serve one file (the message says why); try the next source.

    ``lost``: the source itself did not answer, so its other files need not be tried.
    """

    def __init__(self, message: str, lost: bool = False) -> None:
        super().__init__(message)
        self.lost = lost


class _Limited(io.RawIOBase):
    """A reader that stops after ``limit`` bytes: a file that unpacks to more is not the expected one."""

    def __init__(self, inner: BinaryIO, limit: int) -> None:
        self._inner = inner
        self._left = limit

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._inner.read(size if size >= 0 else self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise SourceError("unpacks to far more than it should")
        return content


def unpack(file: BinaryIO, download: Download, wanted: Sequence[Member], folder: Path) -> None:
    """Verify the ``wanted`` members in ``file`` (positioned at its start) and write them below ``folder``.

    Verified members are written even if a later one is wrong. Raises SourceError if a member is missing or is not the
    published one, UserError if the folder cannot be written.
    """
    if download.kind == "tar":
        _unpack_tar(file, download, wanted, folder)
    else:
        for member in wanted:
            _keep(member, _read_single(file, download, member), folder)


def _read_single(file: BinaryIO, download: Download, member: Member) -> bytes:
    """The content of a gzip or plain download; at most one byte more than expected."""
    head = file.read(2)
    file.seek(0)
    try:
        # Some servers unpack .gz on the way (Content-Encoding): then the plain text is what arrives.
        if download.kind == "gzip" and head == _GZIP:
            with gzip.GzipFile(fileobj=file) as unpacked:
                content = unpacked.read(member.size + 1)
                if len(content) == member.size:
                    unpacked.read(1)  # reads to the end of the stream, where gzip checks length and CRC
                return content
        return file.read(member.size + 1)
    except _UNREADABLE as error:
        raise SourceError(f"{download.path} is truncated or damaged") from error


def _unpack_tar(file: BinaryIO, download: Download, wanted: Sequence[Member], folder: Path) -> None:
    head = file.read(64)
    file.seek(0)
    if not head.startswith(_GZIP):
        what = "is a web page" if head.lstrip()[:1] == b"<" else "is not a gzip archive"
        raise SourceError(f"{download.path} {what}")
    open_members = {f"{download.folder}/{member.name}": member for member in wanted}
    limit = 2 * sum(member.size for member in download.members) + (1 << 20)
    try:
        with gzip.GzipFile(fileobj=file) as unpacked:
            limited = cast(BinaryIO, _Limited(cast(BinaryIO, unpacked), limit))
            with tarfile.open(fileobj=limited, mode="r|") as tar:
                for info in tar:
                    if tar.offset > limit:  # the size that this entry claims; tarfile would read through all of it
                        raise SourceError("unpacks to far more than it should")
                    member = open_members.get(info.name.removeprefix("./"))
                    if member is None:
                        continue
                    if not info.isreg() or info.size != member.size:
                        raise SourceError(f"{member.name} in {download.path} is not the published file")
                    content = cast(BinaryIO, tar.extractfile(info)).read()
                    _keep(member, content, folder)
                    del open_members[f"{download.folder}/{member.name}"]
                    if not open_members:
                        return
    except (SourceError, UserError):
        raise
    except Exception as error:  # for headers made to break it, tarfile raises RecursionError, OverflowError and others
        raise SourceError(f"{download.path} is truncated or damaged") from error
    raise SourceError(f"{download.path} lacks {', '.join(member.name for member in open_members.values())}")


def _keep(member: Member, content: bytes, folder: Path) -> None:
    """Write ``content`` as ``member`` if it is the published one."""
    if len(content) != member.size or hashlib.sha256(content).hexdigest() != member.sha256:
        what = "is a web page" if content.lstrip()[:1] == b"<" else "does not have the published digest"
        raise SourceError(f"{member.name} {what}")
    files.write_bytes(folder / member.name, content)
