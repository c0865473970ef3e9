"""Writing files on limited file systems: optional steps are skipped, and a necessary step fails with one line."""

import errno
import os
from pathlib import Path

import pytest

from onepage import files
from onepage.errors import UserError


def refusing(code: int):
    def refused(*arguments: object, **named: object) -> None:
        raise OSError(code, os.strerror(code))

    return refused


@pytest.mark.parametrize("code", [errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP])
@pytest.mark.parametrize("operation", ["chmod", "fsync"])
def test_a_file_does_without_mode_and_sync(
    operation: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CIFS, vfat and some FUSE file systems have no file modes or no fsync."""
    monkeypatch.setattr(files.os, operation, refusing(code))
    files.write_text(tmp_path / "a", "text")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.fault("a disk that is full when a file is synced", "`cannot write ...`; the old file stays")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_sync_that_fails_keeps_the_old(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_text(tmp_path / "a", "old")
    monkeypatch.setattr(files.os, "fsync", refusing(code))
    with pytest.raises(UserError, match="cannot write"):
        files.write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127])
def test_the_longest_name_is_written(name: str, tmp_path: Path) -> None:
    files.write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("code", [errno.EEXIST, errno.EPERM, errno.EINVAL])
def test_a_file_that_cannot_be_replaced(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the file system cannot rename over a file, the old file is removed first."""
    replace = os.replace

    def free_only(source: Path, target: Path) -> None:
        if Path(target).exists():
            raise OSError(code, os.strerror(code))
        replace(source, target)

    monkeypatch.setattr(files.os, "replace", free_only)
    for text in ("one", "two"):
        files.write_text(tmp_path / "a", text)
        assert (tmp_path / "a").read_text(encoding="utf-8") == text
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        files.write_text(tmp_path / "folder", "text")
    assert (tmp_path / "folder").is_dir()
