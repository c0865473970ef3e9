"""Archives made to do harm, or damaged at random: refused in one line, and nothing is written elsewhere."""

import gzip
import io
import tarfile
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import TELLING, edited, edits, one_line
from data_fakes import fill, refused, sha256, tar_gz
from onepage.data import archive, sources

fault = pytest.mark.fault
ARCHIVE = sources.CIFAR10_ARCHIVE
MEMBERS = {name: bytes(np.random.default_rng(k).bytes(700)) for k, name in enumerate(("data_batch_1", "data_batch_2"))}
WANTED = tuple(sources.Member(name, len(content), sha256(content)) for name, content in MEMBERS.items())
DOWNLOAD = sources.Download(ARCHIVE, (), "tar", 10_000, WANTED, sources.CIFAR10_FOLDER)
PLAIN_TAR = gzip.decompress(tar_gz(MEMBERS))[:4096]  # two headers, two contents, the end

in_headers = st.lists(
    st.tuples(st.sampled_from([0, 1536]), st.integers(0, 511), st.sampled_from(TELLING) | st.binary(max_size=12)),
    max_size=6,
)


def header(kind: bytes, size: bytes) -> bytes:
    """One tar header of a type and a size field, its checksum right."""
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    block[156:157], block[124:136] = kind, size.ljust(12, b"\0")
    return with_checksums(bytes(block))


def with_checksums(content: bytes) -> bytes:
    """A tar whose headers, wherever there is the magic of one, have the right checksum."""
    result = bytearray(content)
    for at in range(0, len(result) - 511, 512):
        if result[at + 257 : at + 262] == b"ustar":
            result[at + 148 : at + 156] = b" " * 8
            result[at + 148 : at + 156] = b"%06o\0 " % sum(result[at : at + 512])
    return bytes(result)


@fault("an archive damaged at any place (fuzzed)", "one line, or the published files; nothing else is written")
@settings(max_examples=150)
@given(in_headers, edits, st.booleans())
def test_data_damaged_archive(headers, anywhere, repaired):
    content = edited(PLAIN_TAR, [*((base + at, new) for base, at, new in headers), *anywhere])
    content = with_checksums(content) if repaired else content
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "data/set"
        try:
            archive.unpack(io.BytesIO(gzip.compress(content, 1)), DOWNLOAD, WANTED, folder)
        except archive.SourceError as error:
            one_line(error)
        written = {p.relative_to(place).as_posix(): p.read_bytes() for p in Path(place).rglob("*") if not p.is_dir()}
        assert written.items() <= {f"data/set/{name}": content for name, content in MEMBERS.items()}.items()


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        pytest.param(
            header(b"L", b"00000000001") * 3000,
            "truncated or damaged",
            id="names-in-names",
            marks=fault("an archive of names of names of names", "`... is truncated or damaged`"),
        ),
        pytest.param(
            header(b"0", b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7),
            "far more",
            id="larger-than-any-disk",
            marks=fault("an archive member of 2^63 bytes", "`unpacks to far more than it should`, at once"),
        ),
        pytest.param(
            header(b"x", b"00000000031") + b"99999999999999999999 size=1\n".ljust(512, b"\0") + header(b"0", b"0"),
            "truncated or damaged",
            id="length-no-machine-counts",
            marks=fault("an archive header of a length no machine counts", "`... is truncated or damaged`"),
        ),
        pytest.param(
            header(b"0", b"\xff" * 12) * 3,
            "lacks|truncated or damaged",  # newer versions of tarfile refuse it, older ones pass over it
            id="negative",
            marks=fault("an archive member of negative size", "`... lacks ...` or `... is truncated or damaged`"),
        ),
        pytest.param(
            header(b"3", b"0") + header(b"4", b"0") + header(b"6", b"0") + header(b"1", b"0") + header(b"2", b"0"),
            "lacks",
            id="devices",
            marks=fault("an archive of devices, a pipe and links", "`... lacks ...`; none of them is made"),
        ),
    ],
)
def test_data_archive_made_to_break_its_reader(tmp_path, blocks, why):
    with pytest.raises(archive.SourceError, match=why) as caught:
        archive.unpack(io.BytesIO(gzip.compress(blocks + bytes(1024))), DOWNLOAD, WANTED, tmp_path)
    one_line(caught.value)
    assert list(tmp_path.iterdir()) == []


@fault("a compressed text that swells to 100 MB", "`... does not have the published digest`; it is never unpacked")
def test_data_bomb_in_place_of_a_text_is_not_unpacked(tmp_path, multi30k_files):
    bomb = gzip.compress(bytes(100_000_000), 1)
    mirror = fill(tmp_path / "mirror", {**multi30k_files, "multi30k/val.de.gz": bomb})
    tracemalloc.start()
    try:
        assert "val.de does not have the published digest" in refused("mt", tmp_path / "data", mirror=str(mirror))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_data_edits_start_from_files_that_are_good():
    """Unedited, the archive unpacks: what the fuzzing above sees refused was good before."""
    with tempfile.TemporaryDirectory() as place:
        archive.unpack(io.BytesIO(gzip.compress(with_checksums(PLAIN_TAR))), DOWNLOAD, WANTED, Path(place))
        assert {p.name: p.read_bytes() for p in Path(place).iterdir()} == MEMBERS
    assert [PLAIN_TAR[at + 257 : at + 262] for at in (0, 1536)] == [b"ustar"] * 2
