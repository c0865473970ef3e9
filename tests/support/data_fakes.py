"""Helpers for the tests of the data stage: tiny archives and pickles, a web server's pages, and two checks."""

import contextlib
import gzip
import hashlib
import io
import socket
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from onepage.data import fetch, ready, sources
from onepage.errors import UserError

IMAGES_A_BATCH = 20
LINES = {"train": 12, "val": 4, "test_2016_flickr": 5, "test_2017_flickr": 3, "test_2017_mscoco": 2}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def python2_batch(images: np.ndarray, labels: list[int]) -> bytes:
    """A pickle in the form of CIFAR-10's, by Python 2: the same opcodes, few images (uint8, (n, 3072))."""
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
    """A pickle of ``size`` bytes that creates ``marker`` when an unrestricted unpickler loads it."""
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


@dataclass
class Reply:
    """An answer of a misbehaving server: raw bytes and pauses. ``body``: the content that it should send."""

    connection: socket.socket
    number: int  # index of the connection, from 0
    body: bytes
    over: threading.Event  # set when the test ends

    def head(self, *fields: str, status: str = "200 OK", length: int | None = None) -> "Reply":
        """Send a status line and header fields, by default with the true length."""
        size = len(self.body) if length is None else length
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", "Connection: close", *fields]
        return self.send("\r\n".join([*lines, "", ""]).encode())

    def send(self, content: bytes) -> "Reply":
        self.connection.sendall(content)
        return self

    def half(self) -> "Reply":
        return self.send(self.body[: len(self.body) // 2])

    def wait(self, seconds: float = 60) -> "Reply":
        self.over.wait(seconds)
        return self

    def drip(self, content: bytes) -> None:
        """Send a byte every 20 ms, without end."""
        while not self.over.wait(0.02):
            self.send(content)

    def reset(self) -> None:
        """Close the connection so that the other side sees a reset, not an end of file."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


SWELLING = gzip.compress(bytes(4_000_000), 1)
REDIRECT = {"status": "302 Found", "length": 0}
ANSWERS: dict[str, Callable[[Reply], object]] = {
    "serves": lambda reply: reply.head().send(reply.body),
    "stalls": lambda reply: reply.head().half().wait(),
    "answers-nothing": lambda reply: reply.wait(),
    "drips": lambda reply: reply.head().drip(b"\x1f"),
    "drips-headers": lambda reply: reply.send(b"HTTP/1.1 200 OK\r\n").drip(b"a"),
    "resets": lambda reply: reply.head().half().wait(0.1).reset(),
    "breaks-off": lambda reply: reply.head().half(),
    "redirects-to-itself": lambda reply: reply.head(f"Location: /{sources.CIFAR10_ARCHIVE}", **REDIRECT),
    "redirects-to-a-file": lambda reply: reply.head("Location: file:///etc/passwd", **REDIRECT),
    "redirects-nowhere": lambda reply: reply.head("Location: http://[::nowhere/", **REDIRECT),
    "speaks-no-http": lambda reply: reply.send(b"\x00\xffSSH-2.0-server\r\n\r\n"),
    "damages-its-chunks": lambda reply: reply.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfour\r\nabcd\r\n0\r\n\r\n"
    ),
    "packs-what-is-not-packed": lambda reply: reply.head("Content-Encoding: gzip").send(
        reply.body[10:] + reply.body[:10]
    ),
    "packs-a-bomb": lambda reply: reply.head("Content-Encoding: gzip", length=len(SWELLING)).send(SWELLING),
}


def refused(name: str, data_dir: Path, **settings: str) -> str:
    """Fetch with DATA=real, which must fail; return the message of its UserError."""
    with pytest.raises(UserError) as caught:
        fetch.ensure(name, data_dir, "real", **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def nothing_trusted(folder: Path) -> bool:
    """Whether ``folder`` holds no ready file and no temporary file."""
    return not list(folder.glob("ready*")) and not list(folder.rglob(".download-*")) and not list(folder.rglob("*.tmp"))


@contextlib.contextmanager
def trusted(folder: Path, name: str, content: bytes) -> Iterator[None]:
    """Replace a file by ``content`` and record it in the ready file, as if verified; restore both at the end."""
    path = next(folder.glob("ready*.json"))
    good, record = (folder / name).read_bytes(), ready.read(path)
    (folder / name).write_bytes(content)
    ready.write(path, record.name, "test", {**record.files, name: sha256(content)}, record.version)
    try:
        yield
    finally:
        (folder / name).write_bytes(good)
        ready.write(path, record.name, "test", record.files, record.version)
