"""Downloads from servers that stall, break off, lie or run out, on disks that fill: verified data, or one message."""

import errno
import gzip
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data_fakes import Reply, fill, nothing_trusted
from onepage import files
from onepage.data import download, fetch, ready, sources
from onepage.data.images import load_images
from onepage.errors import UserError

ARCHIVE = sources.CIFAR10_ARCHIVE
fault = pytest.mark.fault


def stalls(reply: Reply) -> None:
    reply.head()
    reply.send(reply.body[: len(reply.body) // 2])
    reply.wait()


def answers_nothing(reply: Reply) -> None:
    reply.wait()


def drips(reply: Reply) -> None:
    reply.head()
    reply.drip(b"\x1f")


def drips_headers(reply: Reply) -> None:
    reply.send(b"HTTP/1.1 200 OK\r\n")
    reply.drip(b"a")


def resets(reply: Reply) -> None:
    reply.head()
    reply.send(reply.body[: len(reply.body) // 2])
    reply.wait(0.1)
    reply.reset()


def breaks_off(reply: Reply) -> None:
    reply.head()
    reply.send(reply.body[: len(reply.body) // 2])


def redirects_to_itself(reply: Reply) -> None:
    reply.head(f"Location: /{ARCHIVE}", status="302 Found", length=0)


def redirects_to_a_file(reply: Reply) -> None:
    reply.head("Location: file:///etc/passwd", status="302 Found", length=0)


def redirects_nowhere(reply: Reply) -> None:
    reply.head("Location: http://[::nowhere/", status="302 Found", length=0)


def speaks_no_http(reply: Reply) -> None:
    reply.send(b"\x00\xffSSH-2.0-server\r\n\r\n")


def damages_its_chunks(reply: Reply) -> None:
    reply.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfour\r\nabcd\r\n0\r\n\r\n")


def packs_what_is_not_packed(reply: Reply) -> None:
    reply.head("Content-Encoding: gzip")
    reply.send(reply.body[10:] + reply.body[:10])


def packs_a_bomb(reply: Reply) -> None:
    packed = gzip.compress(bytes(4_000_000), 1)
    reply.head("Content-Encoding: gzip", length=len(packed))
    reply.send(packed)


def serves(reply: Reply) -> None:
    reply.head()
    reply.send(reply.body)


# seconds where the program has ten to sixty; in the same order, since the first that is reached says why
SHORT = [("CONNECT_SECONDS", 1.5), ("READ_SECONDS", 1.5), ("SLOWEST_AFTER", 2.0)]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(
            stalls,
            "timed out",
            id="stalls",
            marks=fault("a server stalls halfway", "`timed out`; the next source serves"),
        ),
        pytest.param(
            answers_nothing,
            "no answer|timed out|slower than",  # whichever limit a busy machine meets first
            id="answers-nothing",
            marks=fault("a server never answers", "`timed out`; the next source serves"),
        ),
        pytest.param(
            drips,
            "slower than",
            id="drips",
            marks=fault("a byte comes now and then", "`slower than ... kB/s`; the next source serves"),
        ),
        pytest.param(
            drips_headers,
            "slower than",
            id="drips-headers",
            marks=fault("headers come a byte now and then", "`slower than ... kB/s`; the next source serves"),
        ),
        pytest.param(
            resets,
            "connection broken",
            id="resets",
            marks=fault("reset halfway", "`connection broken`; the next source serves"),
        ),
        pytest.param(
            breaks_off,
            "connection broken",
            id="breaks-off",
            marks=fault("truncated", "`connection broken`; the next source serves"),
        ),
        pytest.param(
            redirects_to_itself,
            "redirects without end",
            id="redirects-to-itself",
            marks=fault("a redirect loop", "`redirects without end`; the next source serves"),
        ),
        pytest.param(
            redirects_to_a_file,
            "file:///etc/passwd",
            id="redirects-to-a-file",
            marks=fault("a redirect to a file of this machine", "refused, unread; the next source serves"),
        ),
        pytest.param(
            redirects_nowhere,
            "URL",
            id="redirects-nowhere",
            marks=fault("a redirect to no address", "refused; the next source serves"),
        ),
        pytest.param(
            speaks_no_http,
            "no connection",
            id="speaks-no-http",
            marks=fault("not HTTP", "`no connection`; the next source serves"),
        ),
        pytest.param(
            damages_its_chunks,
            "connection broken",
            id="damages-its-chunks",
            marks=fault("damaged transfer encoding", "`connection broken`; the next source serves"),
        ),
        pytest.param(
            packs_what_is_not_packed,
            "sends what cannot be unpacked",
            id="packs-what-is-not-packed",
            marks=fault("damaged content encoding", "`sends what cannot be unpacked`; the next source serves"),
        ),
        pytest.param(
            packs_a_bomb,
            "far more than the file should have",
            id="packs-a-bomb",
            marks=fault(
                "a content encoding that swells", "`sends far more than the file should have`; the next source serves"
            ),
        ),
    ],
)
def test_data_rude_server_is_passed_over(tmp_path, cifar_archive, rude_site, monkeypatch, capsys, answer, why):
    for name, seconds in SHORT:
        monkeypatch.setattr(download, name, seconds)
    monkeypatch.setattr(sources, "CIFAR10_ARCHIVE_SIZE", len(cifar_archive))
    found = []

    def good(reply: Reply) -> None:
        found.append(sorted(path.name for path in (tmp_path / "cifar10").iterdir()))
        serves(reply)

    # its probe is answered well, so that the download has to find out by itself
    rude = rude_site(lambda reply: (serves if reply.number == 0 else answer)(reply), cifar_archive)
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{rude_site(good, cifar_archive)}/{ARCHIVE}",))
    started = time.monotonic()
    assert fetch.ensure("cls", tmp_path, "real", rude) == "cifar10"
    assert time.monotonic() - started < 20  # a server decides neither whether nor when this ends
    assert re.search(rf"DATA_MIRROR: .*{why}", capsys.readouterr().out)
    assert found[0] == []  # when the good one was asked, nothing of the rude one was left
    assert ready.read(tmp_path / "cifar10/ready.json").source.startswith("127.0.0.1")
    assert len(load_images(tmp_path, "cifar10").test_labels) == 20


@fault("a server that does any of this from the start", "the probe says so, in the same words; nothing is downloaded")
def test_data_rude_server_is_found_out_by_the_probe(cifar_archive, rude_site):
    expected = {
        answers_nothing: "no answer|timed out",
        drips_headers: "no answer|timed out",
        breaks_off: "^$",  # its first bytes are good
        redirects_to_itself: "redirects without end",
        redirects_to_a_file: "file:///etc/passwd",
        redirects_nowhere: "URL",
        speaks_no_http: "no connection",
        damages_its_chunks: "connection broken",
        packs_what_is_not_packed: "sends what cannot be unpacked",
    }
    urls = {answer.__name__: f"{rude_site(answer, cifar_archive)}/{ARCHIVE}" for answer in expected}
    answers = download.probe(urls, 1.0)
    for answer, why in expected.items():
        assert re.search(why, answers[answer.__name__]), answer.__name__


@fault("a server fails once halfway", "the same source is asked again, and serves")
def test_data_broken_connection_is_tried_again(tmp_path, cifar_archive, rude_site, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 1)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    asked = []

    def answer(reply: Reply) -> None:
        asked.append(reply.number)
        (resets if reply.number == 1 else serves)(reply)

    assert fetch.ensure("cls", tmp_path, "real", rude_site(answer, cifar_archive)) == "cifar10"
    assert asked == [0, 1, 2]  # the probe, the broken one, the good one


@fault("a server sends small pieces", "taken: bytes are counted, not pieces")
def test_data_small_chunks_are_no_fault(tmp_path, cifar_archive, rude_site, monkeypatch):
    monkeypatch.setattr(sources, "CIFAR10_ARCHIVE_SIZE", len(cifar_archive))

    def answer(reply: Reply) -> None:
        pieces = [reply.body[at : at + 100] for at in range(0, len(reply.body), 100)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        reply.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n")

    assert fetch.ensure("cls", tmp_path, "real", rude_site(answer, cifar_archive)) == "cifar10"


@fault("the mirror is down", "`connection refused`; the public source serves")
def test_data_mirror_that_is_down(tmp_path, cifar_archive, make_site, dead_url, monkeypatch, capsys):
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{make_site({ARCHIVE: cifar_archive}).url}/{ARCHIVE}",))
    assert fetch.ensure("cls", tmp_path, "auto", dead_url) == "cifar10"
    assert f"DATA_MIRROR {dead_url}: connection refused" in capsys.readouterr().out
    assert ready.read(tmp_path / "cifar10/ready.json").source.startswith("127.0.0.1")


# --- disks ---------------------------------------------------------------------------------------------------------


@fault("the disk fills during a download", "`cannot write ...: ...; free space or set DATA_DIR`; nothing is left")
@pytest.mark.parametrize("mode", ["real", "auto"])
def test_data_disk_full_during_a_download(tmp_path, cifar_archive, make_site, mode):
    """The system's limit on the size of a file stands for the full disk; auto does not turn to the stand-in either."""
    mirror = make_site({ARCHIVE: cifar_archive}).url
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(cifar_archive) // 2, hard))
        with pytest.raises(UserError, match=r"cannot write .*; free space or set DATA_DIR"):
            fetch.ensure("cls", tmp_path, mode, mirror)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "cifar10").exists() and not (tmp_path / "toy-images").exists()
    assert fetch.ensure("cls", tmp_path, mode, mirror) == "cifar10"


@fault("the disk fills at any file of a set", "`cannot write ...: ...; free space`; the next run takes what is missing")
def test_data_disk_full_at_each_file(tmp_path, cifar_archive, cifar_members, monkeypatch):
    """Seven members and the ready file: each in turn is what no longer fits."""
    mirror = str(fill(tmp_path / "mirror", {ARCHIVE: cifar_archive}))
    real = os.fsync  # where a disk may say so last
    for failing in range(8):
        data, calls = tmp_path / str(failing), []

        def fsync(descriptor, calls=calls, failing=failing):
            calls.append(descriptor)
            if len(calls) == failing + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(files.os, "fsync", fsync)
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device; free space"):
            fetch.ensure("cls", data, "auto", mirror)
        assert len(calls) == failing + 1
        if (data / "cifar10").exists():
            assert nothing_trusted(data / "cifar10")
            assert all(p.read_bytes() == cifar_members[p.name] for p in (data / "cifar10").iterdir())
        assert fetch.ensure("cls", data, "real", mirror) == "cifar10"
        assert len(calls) == 8 + 1  # the one that failed was written again, none of the others


# --- processes -----------------------------------------------------------------------------------------------------

FETCH = """
import json, sys
from onepage.data import fetch, sources
sources.CIFAR10_MEMBERS = json.loads(sys.argv[3])
sources.CIFAR10_URLS = ()
print(fetch.ensure("cls", sys.argv[1], "real", sys.argv[2]))
"""


@pytest.fixture
def start_fetch(tmp_path):
    """A function that starts a fetch into tmp_path/data as a process of its own."""
    processes = []

    def start(mirror: str) -> subprocess.Popen:
        code = str(Path(fetch.__file__).parents[2])
        command = [
            sys.executable,
            "-c",
            FETCH,
            str(tmp_path / "data"),
            mirror,
            files.json.dumps(sources.CIFAR10_MEMBERS),
        ]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": code}, stdout=-1, stderr=-2, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@fault("two fetches at once", "`waiting for another fetch of it to end`; one downloads, both end with verified data")
def test_data_two_processes_at_once(tmp_path, cifar_archive, rude_site, start_fetch):
    downloads, waits = [], threading.Event()

    def answer(reply: Reply) -> None:
        downloads.append(reply.number)
        if reply.number == 1:  # 0 is the probe; not before the second process has found the lock taken
            reply.head()
            waits.wait(download.READ_SECONDS - 5)
            reply.send(reply.body)
        else:
            serves(reply)

    mirror = rude_site(answer, cifar_archive)
    first = start_fetch(mirror)
    until(lambda: len(downloads) == 2)
    second = start_fetch(mirror)
    assert "waiting for another fetch" in second.stdout.readline()
    waits.set()
    said = [process.communicate(timeout=60)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    assert "waiting" not in said[0]
    assert len(downloads) == 2
    assert len(load_images(tmp_path / "data", "cifar10").test_labels) == 20


@fault("kill -9 during a download, another fetch waiting", "the other goes on; no temporary file stays")
def test_data_killed_fetch_leaves_the_lock_and_nothing_else(
    tmp_path, cifar_archive, cifar_members, rude_site, start_fetch
):
    downloads = []

    def answer(reply: Reply) -> None:
        downloads.append(reply.number)
        (stalls if reply.number == 1 else serves)(reply)

    mirror = rude_site(answer, cifar_archive)
    first = start_fetch(mirror)
    until(lambda: any(p.stat().st_size for p in (tmp_path / "data/cifar10").glob(".download-*/*")))
    second = start_fetch(mirror)
    until(lambda: "waiting" in second.stdout.readline())
    first.send_signal(signal.SIGKILL)
    second.communicate(timeout=60)
    assert second.returncode == 0 and first.wait() == -signal.SIGKILL
    assert {p.name for p in (tmp_path / "data/cifar10").iterdir()} == {*cifar_members, "ready.json"}
    assert len(load_images(tmp_path / "data", "cifar10").test_labels) == 20
