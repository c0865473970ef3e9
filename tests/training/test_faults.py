"""A full disk or a linked lock file during training: a message names it, and saved files stay."""

import contextlib
import dataclasses
import errno
import os
import resource

import pytest

import small_training
from onepage.errors import UserError
from onepage.runs import history
from onepage.terminal.progress import Reporter
from onepage.training import locking, session
from small_training import run, whole_checkpoints

fault = pytest.mark.fault
GOES_ON = "the previous checkpoint remains; the same command resumes from it"


@contextlib.contextmanager
def file_size_limit():
    """Limit files of this process to 20 kB, so that the system fails writes as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def at_update(monkeypatch, number, act):
    """Save a checkpoint after every update, and call ``act`` once after update ``number``."""
    real = Reporter.advance

    def advance(self, units, note):
        real(self, units, note)
        if self.done == number:
            act()

    monkeypatch.setattr(Reporter, "advance", advance)
    monkeypatch.setattr(session, "SAVE_EVERY_SECONDS", 0.0)


@fault(
    "the disk fills while a checkpoint is written",
    "`cannot write ...`, `...; the previous checkpoint remains; the same command resumes from it`",
)
def test_disk_full_while_a_checkpoint_is_written(straight, tmp_path, monkeypatch):
    """torch writes the file in pieces, and the error occurs in the middle of one."""
    with contextlib.ExitStack() as disk, monkeypatch.context() as patch:
        at_update(patch, 5, lambda: disk.enter_context(file_size_limit()))
        with pytest.raises(UserError, match=rf"cannot write \S*checkpoint-00000005\.pt: .*{GOES_ON}"):
            run("mt", tmp_path / "run")
    assert [p.name for p in whole_checkpoints(tmp_path / "run")] == ["checkpoint-00000003.pt", "checkpoint-00000004.pt"]
    assert not list((tmp_path / "run").glob(".*.tmp")) and not (tmp_path / "run/model.pt").exists()
    assert run("mt", tmp_path / "run") == straight


@fault(
    "the disk is full at the end of a write",
    "`cannot write ...`, `...; the previous checkpoint remains; the same command resumes from it`",
)
def test_disk_full_when_a_checkpoint_is_flushed(straight, tmp_path, monkeypatch):

    def fsync(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        at_update(patch, 5, lambda: patch.setattr("onepage.files.os.fsync", fsync))
        with pytest.raises(UserError, match=rf"No space left on device; .*{GOES_ON}"):
            run("mt", tmp_path / "run")
    assert len(whole_checkpoints(tmp_path / "run")) == 2
    assert run("mt", tmp_path / "run") == straight


@fault(
    "the disk fills before the final weights are written", "`cannot write ...: ...; free space`; the next run goes on"
)
def test_disk_full_at_the_final_weights(straight, tmp_path, monkeypatch):
    with contextlib.ExitStack() as disk, monkeypatch.context() as patch:
        patch.setattr(session.Session, "due", lambda self, *epoch: self.rows == [])  # no checkpoint once a row is there
        at_update(patch, 8, lambda: disk.enter_context(file_size_limit()))
        with pytest.raises(UserError, match=r"cannot write \S*model\.pt"):
            run("mt", tmp_path / "run")
    assert not (tmp_path / "run/model.pt").exists() and len(whole_checkpoints(tmp_path / "run")) == 2
    assert run("mt", tmp_path / "run") == straight


@fault("the disk fills while the log is written", "`cannot write ...; free space and run the same command to go on`")
def test_disk_full_at_a_line_of_the_log(straight, tmp_path, monkeypatch):
    log = tmp_path / "run/train.log"

    def fill():
        log.unlink()
        log.symlink_to("/dev/full")

    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with monkeypatch.context() as patch:
        at_update(patch, 3, fill)
        with pytest.raises(
            UserError, match=r"cannot write \S*train\.log: No space left.* run the same command to go on"
        ):
            run("mt", tmp_path / "run")
    log.unlink()
    assert run("mt", tmp_path / "run") == straight
    assert len(history.read(tmp_path / "run/history.jsonl")) == 2


@fault(
    "a lock file that is somebody's link to another file", "`... cannot be locked (...); ...`; that file is untouched"
)
def test_the_training_lock_follows_no_link(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    precious = tmp_path / "precious"
    precious.write_text("keep")
    (tmp_path / f"onepage-cpu-training-{os.getuid()}.lock").symlink_to(precious)
    said, trained = [], False
    with locking.cpu_training_lock("cpu", said.append):
        trained = True
    assert trained and precious.read_text() == "keep" and len(said) == 1 and "cannot be locked" in said[0]


@fault("a folder for temporary files that cannot be written", "`... cannot be locked (...); ...`; training goes on")
def test_training_goes_on_where_nothing_can_be_locked(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    said = []
    with locking.cpu_training_lock("cpu", said.append):
        pass
    assert len(said) == 1 and "No such file" in said[0]


@pytest.mark.fault(
    "a line of 1 MB, empty lines, control characters among the sentences", "trained on; what is too long is left out"
)
def test_training_passes_over_what_is_too_long(tmp_path, monkeypatch, capsys):
    good = small_training.sentences()
    odd = ["", "wort " * 200_000, "\x00\x07\u200b", " "]
    source, target = good.splits["train"]
    data = dataclasses.replace(good, splits={**good.splits, "train": (source + odd, target + odd[::-1])})
    monkeypatch.setitem(small_training.TASKS, "mt", (*small_training.TASKS["mt"][:2], lambda: data))
    run("mt", tmp_path)
    assert f"{len(source) + 2} pairs (2 longer than 100 pieces left out)" in capsys.readouterr().out
