"""The folder of a data set: full disks, unusable folders, and several fetches at once."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from data_fakes import ANSWERS, Reply, nothing_trusted
from onepage import files
from onepage.data import archive, download, fetch, sources
from onepage.data.images import load_images
from onepage.errors import UserError

ARCHIVE = sources.CIFAR10_ARCHIVE
fault = pytest.mark.fault

# --- disks ---------------------------------------------------------------------------------------------------------


@fault("too little disk for a set", "`... needs ..., but ... are free; delete files or set DATA_DIR`")
def test_full_disk_is_said_before_fetching(tmp_path, cifar_mirror, monkeypatch):
    full = type("usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    for mode in ("auto", "real", "generated"):  # auto does not use the stand-in: the user can fix this
        with pytest.raises(UserError, match="delete files"):
            fetch.ensure("cifar10", tmp_path / "data", mode, cifar_mirror)


@fault("DATA_DIR is no folder", "`cannot write ...; free space or set DATA_DIR to another folder`")
def test_folder_that_cannot_be_written(tmp_path, cifar_mirror):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="DATA_DIR"):
        fetch.ensure("cifar10", tmp_path / "data", "real", cifar_mirror)


@fault("the disk fills during a download", "`cannot write ...: ...; free space or set DATA_DIR`; nothing is left")
@pytest.mark.parametrize("mode", ["real", "auto"])
def test_disk_full_during_a_download(tmp_path, cifar_archive, make_site, mode):
    """A limit on the file size simulates the full disk; auto does not use the stand-in here either."""
    mirror = make_site({ARCHIVE: cifar_archive}).url
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(cifar_archive) // 2, hard))
        with pytest.raises(UserError, match=r"cannot write .*; free space or set DATA_DIR"):
            fetch.ensure("cifar10", tmp_path, mode, mirror)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "cifar10").exists() and not (tmp_path / "toy-images").exists()
    assert fetch.ensure("cifar10", tmp_path, mode, mirror) == "cifar10"


@fault("the disk fills at any file of a set", "`cannot write ...: ...; free space`; the next run takes what is missing")
def test_disk_full_at_each_file(tmp_path, cifar_mirror, cifar_members, monkeypatch):
    """The write of each file fails in turn: seven members and the ready file."""
    real = os.fsync  # the last call that may report a full disk
    for failing in range(8):
        data, calls = tmp_path / str(failing), []

        def fsync(descriptor, calls=calls, failing=failing):
            calls.append(descriptor)
            if len(calls) == failing + 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(descriptor)

        monkeypatch.setattr(files.os, "fsync", fsync)
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device; free space"):
            fetch.ensure("cifar10", data, "auto", cifar_mirror)
        assert len(calls) == failing + 1
        if (data / "cifar10").exists():
            assert nothing_trusted(data / "cifar10")
            assert all(p.read_bytes() == cifar_members[p.name] for p in (data / "cifar10").iterdir())
        assert fetch.ensure("cifar10", data, "real", cifar_mirror) == "cifar10"
        assert len(calls) == 8 + 1  # only the failed file was written again


# --- several fetches -----------------------------------------------------------------------------------------------

FETCH = """
import json, sys
from onepage.data import fetch, sources
sources.CIFAR10_MEMBERS = json.loads(sys.argv[3])
sources.CIFAR10_URLS = ()
print(fetch.ensure("cifar10", sys.argv[1], "real", sys.argv[2]))
"""


@pytest.fixture
def start_fetch(tmp_path):
    """A function that starts a fetch into tmp_path/data in a separate process."""
    processes = []

    def start(mirror: str) -> subprocess.Popen:
        code = str(Path(fetch.__file__).parents[2])
        command = [sys.executable, "-c", FETCH, tmp_path / "data", mirror, json.dumps(sources.CIFAR10_MEMBERS)]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": code}, stdout=-1, stderr=-2, text=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def until(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@fault("two fetches at once", "`waiting for another fetch of it to end`; one downloads, both end with verified data")
def test_two_processes_at_once(tmp_path, cifar_archive, rude_site, start_fetch):
    downloads, waits = [], threading.Event()

    def answer(reply: Reply) -> None:
        downloads.append(reply.number)
        reply.head()
        if reply.number == 1:  # 0 is the probe; wait until the second process has found the lock taken
            waits.wait(download.READ_SECONDS - 5)
        reply.send(reply.body)

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
def test_killed_fetch_leaves_only_its_lock(tmp_path, cifar_archive, cifar_members, rude_site, start_fetch):
    mirror = rude_site(lambda reply: ANSWERS["stalls" if reply.number == 1 else "serves"](reply), cifar_archive)
    first = start_fetch(mirror)
    until(lambda: any(p.stat().st_size for p in (tmp_path / "data/cifar10").glob(".download-*/*")))
    second = start_fetch(mirror)
    until(lambda: "waiting" in second.stdout.readline())
    first.send_signal(signal.SIGKILL)
    second.communicate(timeout=60)
    assert second.returncode == 0 and first.wait() == -signal.SIGKILL
    assert {p.name for p in (tmp_path / "data/cifar10").iterdir()} == {*cifar_members, "ready.json"}
    assert len(load_images(tmp_path / "data", "cifar10").test_labels) == 20


@fault("three fetches at once in one process", "one downloads, the others find the set complete")
def test_three_threads_at_once(tmp_path, cifar_mirror, monkeypatch):
    calls, original = [], archive.unpack
    monkeypatch.setattr(archive, "unpack", lambda *arguments: calls.append(1) or original(*arguments))
    names = []
    run = lambda: names.append(fetch.ensure("cifar10", tmp_path / "data", "real", cifar_mirror))  # noqa: E731
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert names == ["cifar10"] * 3 and len(calls) == 1  # the others waited and found the set complete
    assert len(load_images(tmp_path / "data", "cifar10").test_labels) == 20
