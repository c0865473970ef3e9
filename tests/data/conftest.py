"""Tiny stand-ins for CIFAR-10 and Multi30k with their own digest tables, and web servers on 127.0.0.1 to serve them."""

import contextlib
import gzip
import hashlib
import io
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from onepage.data import download, sources

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


@pytest.fixture
def cifar_members(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small CIFAR-10, {member: content}; sources.py then expects exactly this one, and has no public source."""
    rng = np.random.default_rng(0)
    members = {}
    for name in sources.CIFAR10_MEMBERS:
        images = rng.integers(0, 256, (IMAGES_A_BATCH, 3072), dtype=np.uint8)
        members[name] = python2_batch(images, [int(label) for label in rng.integers(0, 10, IMAGES_A_BATCH)])
    names = b"".join(b"U" + bytes([len(name)]) + name for name in (f"class{k}".encode() for k in range(10)))
    members["batches.meta"] = b"\x80\x02}U\x0blabel_names](" + names + b"es."
    table = {name: (len(content), sha256(content)) for name, content in members.items()}
    monkeypatch.setattr(sources, "CIFAR10_MEMBERS", table)
    monkeypatch.setattr(sources, "CIFAR10_URLS", ())
    monkeypatch.setattr(download, "RETRIES", 0)
    return members


@pytest.fixture
def cifar_archive(cifar_members: dict[str, bytes]) -> bytes:
    return tar_gz(cifar_members)


@pytest.fixture
def multi30k_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small Multi30k as a mirror holds it, {path below the mirror: content}; sources.py then expects this one."""
    files, raw, tok = {}, {}, {}
    for split, count in LINES.items():
        for language in sources.LANGUAGES:
            text = "".join(f"{split} {language} {k}: ein\u2028Satz \x85 für uns.\n" for k in range(count)).encode()
            packed = gzip.compress(text, mtime=0)
            files[f"multi30k/{split}.{language}.gz"] = packed
            raw[f"{split}.{language}"] = (len(packed), len(text), sha256(text))
            if split in sources.TESTS:
                files[f"multi30k/{sources.tok_name(split, language)}"] = text.lower()
                tok[f"{split}.{language}"] = (len(text), sha256(text.lower()))
    monkeypatch.setattr(sources, "MULTI30K_RAW", raw)
    monkeypatch.setattr(sources, "MULTI30K_TOK", tok)
    monkeypatch.setattr(sources, "MULTI30K_PREFIXES", ())
    monkeypatch.setattr(download, "RETRIES", 0)
    return files


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


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    """A function that starts a web server on 127.0.0.1 serving the given pages, closed after the test."""
    servers = []

    def make(pages: dict[str, bytes | tuple[int, bytes]] | None = None) -> Site:
        site = Site(pages=dict(pages or {}))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.lstrip("/")
                site.asked.append(path)
                page = site.pages.get(path, (404, b"no such file"))
                status, content = page if isinstance(page, tuple) else (200, page)
                self.send_response(status)
                self.send_header("Content-Length", str(site.claimed_length or len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # a probe reads only the first bytes
                    self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_port}"
        return site

    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def dead_url() -> str:
    """An address where nothing listens."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    port = server.server_port
    server.server_close()
    return f"http://127.0.0.1:{port}"
