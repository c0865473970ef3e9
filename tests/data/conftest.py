"""Tiny stand-ins for CIFAR-10 and Multi30k with their own digest tables, and web servers on 127.0.0.1 to serve them."""

import contextlib
import gzip
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest

from data_fakes import IMAGES_A_BATCH, LINES, Reply, Site, fill, python2_batch, sha256, tar_gz
from onepage.data import download, fetch, sources, toy_images, toy_translation


@pytest.fixture
def cifar_members(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small CIFAR-10, {member: content}; sources.py then expects exactly these members and has no public source."""
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
def cifar_mirror(tmp_path: Path, cifar_archive: bytes) -> str:
    """A mirror folder that holds the small CIFAR-10."""
    return str(fill(tmp_path / "mirror", {sources.CIFAR10_ARCHIVE: cifar_archive}))


@pytest.fixture
def cifar(tmp_path: Path, cifar_mirror: str) -> Path:
    """A data folder with the small CIFAR-10."""
    fetch.ensure("cifar10", tmp_path / "data", "real", cifar_mirror)
    return tmp_path / "data"


@pytest.fixture
def multi30k(tmp_path: Path, multi30k_files: dict[str, bytes]) -> Path:
    """A data folder with the small Multi30k, en-de."""
    fetch.ensure("multi30k", tmp_path / "data", "real", str(fill(tmp_path / "mirror", multi30k_files)))
    return tmp_path / "data"


@pytest.fixture
def multi30k_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """A small Multi30k as a mirror, {path below the mirror: content}; sources.py then expects these files."""
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


@pytest.fixture
def serve() -> Iterator[Callable[[type], str]]:
    """A function that starts a server on 127.0.0.1 and returns its address; all servers stop after the test."""
    servers = []

    def start(handler: type) -> str:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.block_on_close = False
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def make_site(serve) -> Callable[..., Site]:
    """A function that starts a web server serving the given pages."""

    def make(pages: dict[str, bytes | tuple[int, bytes]] | None = None) -> Site:
        site = Site(pages=dict(pages or {}))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.lstrip("/")
                site.asked.append(path)
                page = site.pages.get(path, (404, b"no such file"))
                status, content = page if isinstance(page, tuple) else (200, page)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # a probe reads only the first bytes
                    self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        site.url = serve(Handler)
        return site

    return make


@pytest.fixture
def rude_site(serve) -> Iterator[Callable[[Callable[[Reply], None], bytes], str]]:
    """A function that starts a server with the given answer for each connection, and returns its address."""
    over = threading.Event()

    def make(answer: Callable[[Reply], None], body: bytes) -> str:
        count = iter(range(10**6))

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while self.rfile.readline().strip():
                    pass  # reads the request and ignores it
                with contextlib.suppress(OSError):  # the client may have given up
                    answer(Reply(self.connection, next(count), body, over))

            def finish(self) -> None:
                with contextlib.suppress(OSError):  # the answer may have reset the connection
                    super().finish()

        return serve(Handler)

    yield make
    over.set()


@pytest.fixture
def dead_url() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def small_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny stand-ins, for speed; other tests cover their real size."""
    monkeypatch.setattr(toy_images, "TRAIN", 50)
    monkeypatch.setattr(toy_images, "TEST", 20)
    monkeypatch.setattr(toy_translation, "SIZES", {"train": 20, "val": 5, "test": 7})


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both stand-ins, a few images and sentences; tests that change it restore it (``trusted``)."""
    data = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_images, "TRAIN", 10)
        patch.setattr(toy_images, "TEST", 10)
        patch.setattr(toy_translation, "SIZES", {"train": 3, "val": 2, "test": 2})
        for name in ("toy-images", "toy-translation"):
            fetch.ensure(name, data)
    return data
