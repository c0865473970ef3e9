"""A mirror of what is in the data folder: the other half of ``make bundle``, for a machine without a network.

The archives are packed anew from the verified members, without times and owners, so that the same set gives the same
bytes. A mirror made here serves as ``DATA_MIRROR`` like any other.
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
from onepage.data.places import check_space
from onepage.data.sources import Download, RealSet

ABOUT = Path("wheels/wheels.json")  # what env/bundle.py leaves beside the data
README = "README.txt"


def pack(plan: RealSet, data_dir: Path, folder: Path, say: Callable[[str], object]) -> None:
    """Write every download of the complete set ``plan`` below ``folder``, as a mirror holds it.

    Raises UserError on a missing or damaged member, and where the disk is full.
    """
    check_space(folder, plan.size)
    for item in plan.downloads:
        content = {member.name: member.sha256 for member in item.members}
        write = functools.partial(_write, item=item, where=data_dir / plan.name, digests=content)
        files.write_with(folder / item.path, write)
    files_of = "1 file" if len(plan.downloads) == 1 else f"{len(plan.downloads)} files"
    size = sum((folder / item.path).stat().st_size for item in plan.downloads)
    say(f"{plan.name}: {files_of}, {megabytes(size)}, packed into {folder}")


def _write(file: BinaryIO, item: Download, where: Path, digests: dict[str, str]) -> None:
    """One download: each member is read, its digest checked, and written."""
    if item.kind == "plain":
        for name, sha256 in digests.items():
            file.write(ready.read_verified(where, name, sha256))
        return
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        if item.kind == "gzip":
            for name, sha256 in digests.items():
                packed.write(ready.read_verified(where, name, sha256))
            return
        with tarfile.open(fileobj=cast(BinaryIO, packed), mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name, sha256 in digests.items():
                content = ready.read_verified(where, name, sha256)
                info = tarfile.TarInfo(f"{item.folder}/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


def write_readme(folder: Path, packed: list[RealSet]) -> None:
    """Say in ``folder`` what it holds and how to use it."""
    about = files.read_json(folder / ABOUT) if (folder / ABOUT).is_file() else None
    lines = ["What onepage takes from the network, for a machine that has none. In a clone of its repository there:", ""]
    lines += ["    make all BUNDLE=/path/to/this/folder", ""]
    if about:
        lines.append(
            "wheels                    packages for CPython {python} on {system} {machine}, torch for {torch}".format(**about)
        )
    for plan in packed:
        lines.append(f"{plan.downloads[0].path.split('/')[0]:<25} {plan.name}, {megabytes(plan.size)} unpacked")
    lines += ["", "Every file is checked by its SHA-256 before it is used."]
    if any(plan.name == "multi30k" for plan in packed):
        lines.append("Multi30k is for non-commercial research and education: keep it to your own machines.")
    files.write_text(folder / README, "\n".join(lines) + "\n")
