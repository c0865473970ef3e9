"""Packs the data folder as a mirror: the data half of ``make bundle``, for a machine without a network.

The archives are packed again from the verified members, without times and owners: the same set gives the same bytes.
The result is a mirror for ``DATA_MIRROR``.
"""

import functools
import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from onepage import files
from onepage.data import ready
from onepage.data.download import megabytes
from onepage.data.folder import check_space
from onepage.data.sources import DataSet, Download


def pack(packed: DataSet, data_dir: Path, folder: Path, say: Callable[[str], object]) -> None:
    """Write every download of a complete real set below ``folder``, in the layout of a mirror.

    Raises UserError on a missing or damaged member, and on a full disk.
    """
    check_space(folder, packed.size)
    for item in packed.downloads:
        files.write_with(folder / item.path, functools.partial(_write, item=item, where=data_dir / packed.name))
    count = "1 file" if len(packed.downloads) == 1 else f"{len(packed.downloads)} files"
    size = sum((folder / item.path).stat().st_size for item in packed.downloads)
    say(f"{packed.name}: {count}, {megabytes(size)}, packed into {folder}")


def _write(file: BinaryIO, item: Download, where: Path) -> None:
    """One download: each member is read, its digest checked, and written."""
    contents = ((member.name, ready.read_verified(where, member.name, member.sha256)) for member in item.members)
    if item.kind == "plain":
        file.writelines(content for _, content in contents)
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as compressed:
        if item.kind == "gzip":
            compressed.writelines(content for _, content in contents)
            return
        with tarfile.open(fileobj=cast(BinaryIO, compressed), mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, content in contents:
                info = tarfile.TarInfo(f"{item.folder}/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
