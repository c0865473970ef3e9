"""Trainings that each need a separate GPU take different ones, and wait if none is free."""

import contextlib
import errno
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from onepage.training import locking


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Pretends that there are two GPUs; returns the numbers of those that trainings have selected."""
    found: list[int] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: SimpleNamespace(uuid=f"u{number}"))
    monkeypatch.setattr(torch.cuda, "set_device", found.append)
    return found


def test_each_takes_and_returns_the_first_free_gpu(chosen: list[int]) -> None:
    said: list[str] = []
    with contextlib.ExitStack() as both:
        both.enter_context(locking.own_gpu("cuda", said.append))
        with locking.own_gpu("cuda", said.append):
            assert chosen == [0, 1]
        with locking.own_gpu("cuda", said.append):
            assert chosen == [0, 1, 1]
    with locking.own_gpu("cuda", said.append):
        assert chosen == [0, 1, 1, 0]
    assert said == []


def test_a_third_waits_until_one_is_free(chosen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    first, second = (locking.own_gpu("cuda", said.append) for _ in range(2))
    first.__enter__()
    second.__enter__()
    waits = [lambda: None, lambda: second.__exit__(None, None, None)]
    monkeypatch.setattr(locking.time, "sleep", lambda seconds: waits.pop(0)())
    with locking.own_gpu("cuda", said.append):
        assert chosen == [0, 1, 1] and not waits and said == ["each of 2 GPUs is in use; waiting for one"]
    first.__exit__(None, None, None)


@pytest.mark.fault("TMPDIR on a file system without locks", "`... has no locks (...); training without waiting ...`")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_training_goes_on(chosen: list[int], monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Lustre and some NFS have no locks, so a training waits neither for the CPU nor for a GPU."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(locking.fcntl, "flock", flock)
    monkeypatch.setattr(locking.time, "sleep", lambda seconds: pytest.fail("it waits"))
    said: list[str] = []
    with locking.cpu_training_lock("cpu", said.append):
        assert len(said) == 1 and "has no locks" in said[0] and "\n" not in said[0]
    with locking.own_gpu("cuda", said.append):
        assert chosen == [0] and len(said) == 2


def test_a_lock_that_cannot_be_waited_for(chosen: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, operation: int) -> None:
        raise BlockingIOError if operation & locking.fcntl.LOCK_NB else OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locking.fcntl, "flock", flock)
    said: list[str] = []
    with locking.cpu_training_lock("cpu", said.append):
        assert len(said) == 1 and "another training run is on this CPU" in said[0]


def test_on_a_cpu_no_gpu_is_taken(chosen: list[int]) -> None:
    with locking.own_gpu("cpu", print):
        assert chosen == []


def _hold(started):
    with locking.cpu_training_lock("cpu", print):
        started.set()
        time.sleep(0.4)


def test_a_second_training_on_the_cpu_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(locking.tempfile, "gettempdir", lambda: str(tmp_path))
    started = multiprocessing.get_context("fork").Event()
    other = multiprocessing.get_context("fork").Process(target=_hold, args=(started,))
    other.start()
    assert started.wait(60)
    said, before = [], time.monotonic()
    with locking.cpu_training_lock("cpu", said.append):
        waited = time.monotonic() - before
    other.join()
    assert "another training run is on this CPU" in said[0] and waited > 0.05
    with locking.cpu_training_lock("cuda", said.append):
        assert len(said) == 1
