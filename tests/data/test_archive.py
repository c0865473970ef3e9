"""Damaged and malicious archives and files: one line refuses them, and nothing is written elsewhere."""

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
from data_fakes import code_running_pickle, fill, nothing_trusted, refused, sha256, tar_gz
from onepage.data import archive, fetch, sources
from onepage.data.images import load_images

fault, param = pytest.mark.fault, pytest.param
ARCHIVE, FOLDER = sources.CIFAR10_ARCHIVE, sources.CIFAR10_FOLDER
MEMBERS = {name: bytes(np.random.default_rng(k).bytes(700)) for k, name in enumerate(("data_batch_1", "data_batch_2"))}
WANTED = tuple(sources.Member(name, len(content), sha256(content)) for name, content in MEMBERS.items())
DOWNLOAD = sources.Download(ARCHIVE, (), "tar", 10_000, WANTED, FOLDER)
PLAIN_TAR = gzip.decompress(tar_gz(MEMBERS))[:4096]  # two headers, two contents, the end

in_headers = st.lists(
    st.tuples(st.sampled_from([0, 1536]), st.integers(0, 511), st.sampled_from(TELLING) | st.binary(max_size=12)),
    max_size=6,
)


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def header(kind: bytes, size: bytes) -> bytes:
    """One tar header with this type and size field, and a valid checksum."""
    block = bytearray(tarfile.TarInfo("x").tobuf(tarfile.GNU_FORMAT))
    block[156:157], block[124:136] = kind, size.ljust(12, b"\0")
    return with_checksums(bytes(block))


def with_checksums(content: bytes) -> bytes:
    """``content`` with a valid checksum in every block that has the magic number of a tar header."""
    result = bytearray(content)
    for at in range(0, len(result) - 511, 512):
        if result[at + 257 : at + 262] == b"ustar":
            result[at + 148 : at + 156] = b" " * 8
            result[at + 148 : at + 156] = b"%06o\0 " % sum(result[at : at + 512])
    return bytes(result)


# --- a source that serves something else ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        param("missing", id="missing", marks=fault("404", "`answers ...`; the next source serves")),
        param("html", id="html", marks=fault("HTML with status 200", "`... is a web page`; the next source serves")),
        param(
            "truncated",
            id="truncated",
            marks=fault("half an archive, sent as a whole", "`... is truncated or damaged`; the next source serves"),
        ),
        param(
            "tampered",
            id="tampered",
            marks=fault(
                "a member with another digest", "`... does not have the published digest`; the next source serves"
            ),
        ),
        param("other", id="other", marks=fault("another file", "`... is not a gzip archive`; the next source serves")),
        param(
            "bomb",
            id="bomb",
            marks=fault("an archive that swells", "`unpacks to far more than it should`; the next source serves"),
        ),
    ],
)
def test_bad_source_is_passed_over(tmp_path, cifar_archive, cifar_members, make_site, monkeypatch, dead_url, bad):
    tampered = {**cifar_members, "data_batch_3": cifar_members["data_batch_3"][:-5] + b"xxxx."}
    body, why = {
        "missing": ((404, b"gone"), "answers 404"),
        "html": (b"<!doctype html><title>Sign in to this network</title>" + b" " * 500, "web page"),
        "truncated": (cifar_archive[: len(cifar_archive) // 2], "truncated or damaged"),
        "tampered": (tar_gz(tampered), "data_batch_3 does not have the published digest"),
        "other": (b"GIF89a" + bytes(500), "is not a gzip archive"),
        "bomb": (tar_gz(cifar_members, [(entry("padding"), bytes(5_000_000))]), "far more"),
    }[bad]
    assert sum(map(len, cifar_members.values())) * 2 + (1 << 20) < 5_000_000
    bad_site, good_site = make_site({ARCHIVE: body}), make_site({ARCHIVE: cifar_archive})
    monkeypatch.setattr(sources, "CIFAR10_URLS", tuple(f"{url}/{ARCHIVE}" for url in (dead_url, bad_site.url)))
    # Alone, the bad source serves nothing, and none of its files is trusted ...
    message = refused("cifar10", tmp_path)
    assert why in message and "connection refused" in message and "DATA=generated" in message
    assert "DATA_MIRROR" in message
    assert nothing_trusted(tmp_path / "cifar10")
    for name in cifar_members:  # members with the right digest may stay; nothing else may
        path = tmp_path / "cifar10" / name
        assert not path.exists() or path.read_bytes() == cifar_members[name]
    # ... but a good source after it serves.
    monkeypatch.setattr(sources, "CIFAR10_URLS", (*sources.CIFAR10_URLS, f"{good_site.url}/{ARCHIVE}"))
    assert fetch.ensure("cifar10", tmp_path, "real") == "cifar10"
    assert load_images(tmp_path, "cifar10").train_images.shape == (100, 3, 32, 32)


@fault(
    "a damaged, another or no text file",
    "`... is truncated or damaged`, `... does not have the published digest`, `... is a web page`",
)
@pytest.mark.parametrize(
    ("member", "change", "why"),
    [
        ("val.de", lambda body: body[:-9], "truncated or damaged"),
        param(
            *("val.de", lambda body: body[:-8] + bytes(8), "truncated or damaged"),  # all bytes arrive
            id="checksum",
            marks=fault("the last bytes of a file are wrong", "`... is truncated or damaged`"),
        ),
        ("val.en", lambda body: gzip.compress(b"x" * 10_000, mtime=0), "val.en does not have the published digest"),
        ("val.en", lambda body: b"<html>", "val.en is a web page"),
    ],
)
def test_bad_text_file(tmp_path, multi30k_files, member, change, why):
    path = f"multi30k/{member}.gz"
    mirror = fill(tmp_path / "mirror", {**multi30k_files, path: change(multi30k_files[path])})
    assert why in refused("multi30k", tmp_path / "data", mirror=str(mirror))
    assert nothing_trusted(tmp_path / "data/multi30k")
    assert not (tmp_path / "data/multi30k" / member).exists()


@fault("a compressed text that swells to 20 MB", "`... does not have the published digest`; it is never unpacked")
def test_bomb_instead_of_text_is_not_unpacked(tmp_path, multi30k_files):
    bomb = gzip.compress(bytes(20_000_000), 1)
    mirror = fill(tmp_path / "mirror", {**multi30k_files, "multi30k/val.de.gz": bomb})
    tracemalloc.start()
    try:
        said = refused("multi30k", tmp_path / "data", mirror=str(mirror))
        assert "val.de does not have the published digest" in said
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


# --- archives made to do harm --------------------------------------------------------------------------------------


@fault(
    "archive members with .., absolute paths, links, devices", "passed over; nothing is written but the expected files"
)
def test_names_in_an_archive_are_never_paths(tmp_path, cifar_members):
    """Entries outside the folder, links and devices: nothing is written but the expected members."""
    outside = ("../evil", f"{tmp_path}/absolute-evil", f"{FOLDER}/../../evil", "data_batch_1")
    evil = [(entry(name), b"evil") for name in outside]
    for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.CHRTYPE, "device")):
        evil.append((entry(f"{FOLDER}/{name}", kind, "../../outside"), b""))
    mirror = fill(tmp_path / "mirror", {ARCHIVE: tar_gz(cifar_members, evil)})
    fetch.ensure("cifar10", tmp_path / "deep/data", "real", str(mirror))
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if not p.is_dir()}
    expected = {f"deep/data/cifar10/{name}" for name in (*cifar_members, "ready.json")}
    assert written == expected | {f"mirror/{ARCHIVE}", "deep/data/.cifar10.lock"}


@fault("a link or a larger file under an expected name", "`... is not the published file`")
def test_link_or_larger_member_is_refused(tmp_path, cifar_members):
    link = entry(f"{FOLDER}/data_batch_1", tarfile.SYMTYPE, "/etc/passwd")
    for evil in ((link, b""), (entry(f"{FOLDER}/data_batch_1"), cifar_members["data_batch_1"] + b"!")):
        mirror = fill(tmp_path / "mirror", {ARCHIVE: tar_gz(cifar_members, [evil])})
        message = refused("cifar10", tmp_path / "data", mirror=str(mirror))
        assert "data_batch_1 in cifar-10-python.tar.gz is not the published file" in message
        assert not (tmp_path / "data/cifar10").exists()  # nothing was written, so not even the folder stays


@fault(
    "a pickle that runs code, in the archive", "`... does not have the published digest`; it is not written, nor run"
)
def test_code_in_an_archive_never_reaches_disk(tmp_path, cifar_members):
    marker = tmp_path / "ran"
    evil = code_running_pickle(marker, len(cifar_members["data_batch_1"]))
    mirror = fill(tmp_path / "mirror", {ARCHIVE: tar_gz({**cifar_members, "data_batch_1": evil})})
    said = refused("cifar10", tmp_path / "data", mirror=str(mirror))
    assert "data_batch_1 does not have the published digest" in said
    assert not marker.exists() and not (tmp_path / "data/cifar10/data_batch_1").exists()


@fault("an archive damaged at any place (fuzzed)", "one line, or the published files; nothing else is written")
@settings(max_examples=150)
@given(in_headers, edits, st.booleans())
def test_damaged_archive(headers, anywhere, repaired):
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


def test_undamaged_archive_unpacks(tmp_path):
    """The archive that the test above damages is valid before the damage."""
    archive.unpack(io.BytesIO(gzip.compress(with_checksums(PLAIN_TAR))), DOWNLOAD, WANTED, tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == MEMBERS
    assert [PLAIN_TAR[at + 257 : at + 262] for at in (0, 1536)] == [b"ustar"] * 2


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        param(
            *(header(b"L", b"00000000001") * 3000, "truncated or damaged"),
            id="names-in-names",
            marks=fault("an archive of names of names of names", "`... is truncated or damaged`"),
        ),
        param(
            *(header(b"0", b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7), "far more"),
            id="larger-than-any-disk",
            marks=fault("an archive member of 2^63 bytes", "`unpacks to far more than it should`, at once"),
        ),
        param(
            header(b"x", b"00000000031") + b"99999999999999999999 size=1\n".ljust(512, b"\0") + header(b"0", b"0"),
            "truncated or damaged",
            id="length-no-machine-counts",
            marks=fault("an archive header of a length no machine counts", "`... is truncated or damaged`"),
        ),
        param(
            header(b"0", b"\xff" * 12) * 3,
            "lacks|truncated or damaged",  # newer versions of tarfile refuse it, older ones skip it
            id="negative",
            marks=fault("an archive member of negative size", "`... lacks ...` or `... is truncated or damaged`"),
        ),
        param(
            *(b"".join(header(kind, b"0") for kind in (b"3", b"4", b"6", b"1", b"2")), "lacks"),
            id="devices",
            marks=fault("an archive of devices, a pipe and links", "`... lacks ...`; none of them is made"),
        ),
    ],
)
def test_archive_made_to_break_its_reader(tmp_path, blocks, why):
    with pytest.raises(archive.SourceError, match=why) as caught:
        archive.unpack(io.BytesIO(gzip.compress(blocks + bytes(1024))), DOWNLOAD, WANTED, tmp_path)
    one_line(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_limited_reader_stops_exactly():
    reader = archive._Limited(io.BytesIO(b"12345"), 5)
    assert reader.read(3) + reader.read(10) == b"12345"
    with pytest.raises(archive.SourceError):
        archive._Limited(io.BytesIO(b"12345"), 4).read()
