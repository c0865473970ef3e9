"""What the tests of the data stage share: tiny archives and pickles, a web server's pages, and two checks."""

import hashlib
import io
import socket
import struct
import tarfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from onepage.data import fetch, sources
from onepage.errors import UserError

IMAGES_A_BATCH = 20
LINES = {"train": 12, "val": 4, "test_2016_flickr": 5, "test_2017_flickr": 3, "test_2017_mscoco": 2}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def python2_batch(images: np.ndarray, labels: list[int]) -> bytes:
    """A pickle as Python 2 wrote CIFAR-10's: the same opcodes, few images (uint8, (n, 3072))."""
    integer = lambda value: b"J" + struct.pack("<i", value)  # noqa: E731
    raw = images.tobytes()
    return b"".join(
        [
            b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
            b"(K\x01" + integer(images.shape[0]) + integer(images.shape[1]) + b"\x86",
            b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN" + integer(-1) + integer(-1) + b"K\x00tb",
            b"\x89T" + struct.pack("<i", len(raw)) + raw + b"tb",
            b"U\x06labels](" + b"".join(b"K" + bytes([label]) for label in labels) + b"eu.",
        ]
    )


def code_running_pickle(marker: Path, size: int) -> bytes:
    """A pickle of ``size`` bytes that creates ``marker`` when it is loaded without care."""
    command = f"__import__('pathlib').Path({str(marker)!r}).touch()".encode()
    pickle = b"\x80\x02cbuiltins\nexec\nX" + struct.pack("<I", len(command)) + command + b"\x85R."
    return pickle.ljust(size, b"\0")


def tar_gz(members: dict[str, bytes], extra: list[tuple[tarfile.TarInfo, bytes]] | None = None) -> bytes:
    """A gzipped tar of ``members`` below CIFAR-10's folder, ``extra`` entries first."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, content in extra or []:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, content in members.items():
            info = tarfile.TarInfo(f"{sources.CIFAR10_FOLDER}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    """Write ``files`` below ``folder`` and return it."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


@dataclass
class Site:
    """A web server: ``pages`` {path: content or (status, content)}; ``asked`` lists the paths asked for."""

    url: str = ""
    pages: dict[str, bytes | tuple[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    claimed_length: int | None = None  # a Content-Length that is not true


@dataclass
class Reply:
    """An answer of a server that does as it likes: bytes onto the wire, and waiting. ``body``: what it should send."""

    connection: socket.socket
    number: int  # of the connection, from 0
    body: bytes
    over: threading.Event  # set when the test ends

    def head(self, *fields: str, status: str = "200 OK", length: int | None = None) -> None:
        """Send a status line and header fields; by default the true length."""
        size = len(self.body) if length is None else length
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *fields]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def send(self, content: bytes) -> None:
        self.connection.sendall(content)

    def wait(self, seconds: float = 60) -> None:
        self.over.wait(seconds)

    def drip(self, content: bytes) -> None:
        """Send a byte every 20 ms, without end."""
        while not self.over.wait(0.02):
            self.send(content)

    def reset(self) -> None:
        """Close so that the other side sees a reset, not an end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def refused(task, data_dir, **settings):
    """The message of the UserError that DATA=real ends with."""
    with pytest.raises(UserError) as caught:
        fetch.ensure(task, data_dir, "real", **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def nothing_trusted(folder):
    return not list(folder.glob("ready*")) and not list(folder.rglob(".download-*")) and not list(folder.rglob("*.tmp"))
