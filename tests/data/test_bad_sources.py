"""What a broken or hostile source can do: nothing, and the next source serves."""

import gzip
import io
import tarfile
import threading
from pathlib import Path

import pytest

from data_fakes import code_running_pickle, fill, nothing_trusted, refused, tar_gz
from onepage.data import archive, download, fetch, sources
from onepage.data.images import load_images

ARCHIVE = sources.CIFAR10_ARCHIVE
fault = pytest.mark.fault


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param("missing", id="missing", marks=fault("404", "`answers ...`; the next source serves")),
        pytest.param(
            "html", id="html", marks=fault("HTML with status 200", "`... is a web page`; the next source serves")
        ),
        pytest.param(
            "truncated",
            id="truncated",
            marks=fault("half an archive, sent as a whole", "`... is truncated or damaged`; the next source serves"),
        ),
        pytest.param(
            "tampered",
            id="tampered",
            marks=fault(
                "a member with another digest", "`... does not have the published digest`; the next source serves"
            ),
        ),
        pytest.param(
            "other", id="other", marks=fault("another file", "`... is not a gzip archive`; the next source serves")
        ),
        pytest.param(
            "bomb",
            id="bomb",
            marks=fault("an archive that swells", "`unpacks to far more than it should`; the next source serves"),
        ),
    ],
)
def test_data_bad_mirror_is_passed_over(
    tmp_path, cifar_archive, cifar_members, make_site, monkeypatch, capsys, bad, dead_url
):
    tampered = {**cifar_members, "data_batch_3": cifar_members["data_batch_3"][:-5] + b"xxxx."}
    large = tarfile.TarInfo("padding")
    body = {
        "missing": (404, b"gone"),
        "html": b"<!doctype html><title>Sign in to this network</title>" + b" " * 500,
        "truncated": cifar_archive[: len(cifar_archive) // 2],
        "tampered": tar_gz(tampered),
        "other": b"GIF89a" + bytes(500),
        "bomb": tar_gz(cifar_members, [(large, bytes(5_000_000))]),
    }[bad]
    bad_site, good_site = make_site({ARCHIVE: body}), make_site({ARCHIVE: cifar_archive})
    monkeypatch.setattr(sources, "CIFAR10_URLS", tuple(f"{url}/{ARCHIVE}" for url in (dead_url, bad_site.url)))
    if bad == "bomb":
        assert sum(map(len, cifar_members.values())) * 2 + (1 << 20) < 5_000_000
    # Alone it serves nothing, and nothing of it is trusted ...
    message = refused("cls", tmp_path)
    why = {
        "missing": "answers 404",
        "html": "web page",
        "truncated": "truncated or damaged",
        "tampered": "data_batch_3 does not have the published digest",
        "other": "is not a gzip archive",
        "bomb": "far more",
    }[bad]
    assert why in message and "connection refused" in message and "DATA=generated" in message
    assert "DATA_MIRROR" in message
    assert nothing_trusted(tmp_path / "cifar10")
    for name in cifar_members:  # members that agreed may stay; nothing else may
        path = tmp_path / "cifar10" / name
        assert not path.exists() or path.read_bytes() == cifar_members[name]
    # ... and with a good source after it, that one serves.
    monkeypatch.setattr(sources, "CIFAR10_URLS", (*sources.CIFAR10_URLS, f"{good_site.url}/{ARCHIVE}"))
    assert fetch.ensure("cls", tmp_path, "real") == "cifar10"
    assert load_images(tmp_path, "cifar10").train_images.shape == (100, 3, 32, 32)


@fault(
    "a damaged, another or no text file",
    "`... is truncated or damaged`, `... does not have the published digest`, `... is a web page`",
)
@pytest.mark.parametrize(
    ("member", "body", "why"),
    [
        ("val.de", None, "truncated or damaged"),
        ("val.en", gzip.compress(b"x" * 10_000), "val.en does not have the published digest"),
        ("val.en", b"<html>", "val.en is a web page"),
    ],
)
def test_data_bad_text_file(tmp_path, multi30k_files, member, body, why):
    path = f"multi30k/{member}.gz"
    mirror = fill(tmp_path / "mirror", {**multi30k_files, path: body or multi30k_files[path][:-9]})
    assert why in refused("mt", tmp_path / "data", mirror=str(mirror))
    assert nothing_trusted(tmp_path / "data/multi30k")
    assert not (tmp_path / "data/multi30k" / member).exists()


@fault("the last bytes of a file are wrong", "`... is truncated or damaged`")
def test_data_damaged_end_of_gzip_is_noticed(tmp_path, multi30k_files):
    """All bytes arrive, but gzip's own check at the end fails: digests decide, and the file is refused either way."""
    files = dict(multi30k_files)
    files["multi30k/val.de.gz"] = files["multi30k/val.de.gz"][:-8] + bytes(8)
    assert "truncated or damaged" in refused("mt", tmp_path, mirror=str(fill(tmp_path / "mirror", files)))


@fault("500 or 503, then fine", "asked again, and it serves")
def test_data_server_error_is_tried_again(tmp_path, cifar_archive, make_site, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 2)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    site = make_site({ARCHIVE: cifar_archive})
    monkeypatch.setattr(download, "probe", lambda urls, timeout: dict.fromkeys(urls, ""))

    class Failing(dict):
        def get(self, path, default=None):
            return (503, b"busy") if len(site.asked) < 3 else super().get(path, default)

    site.pages = Failing(site.pages)
    assert fetch.ensure("cls", tmp_path, "real", site.url) == "cifar10"
    assert len(site.asked) == 3


@fault("an answer without end", "`sends far more than the file should have`")
def test_data_endless_answer_is_given_up(tmp_path, cifar_archive, make_site, monkeypatch):
    monkeypatch.setattr(sources, "CIFAR10_ARCHIVE_SIZE", 1000)
    site = make_site({ARCHIVE: cifar_archive + bytes(3_000_000)})
    assert "far more" in refused("cls", tmp_path, mirror=site.url)


@fault("a name server that never answers", "`no answer`, after 20 s at most")
def test_data_probe_takes_no_longer_than_it_may(monkeypatch):
    monkeypatch.setattr(download, "_ask", lambda url, timeout: threading.Event().wait(5) or "")
    started = download.time.monotonic()
    assert download.probe({"a": "x", "b": "y"}, 0.2) == {"a": "no answer", "b": "no answer"}
    assert download.time.monotonic() - started < 2


@fault(
    "archive members with .., absolute paths, links, devices", "passed over; nothing is written but the expected files"
)
def test_data_names_in_an_archive_are_never_paths(tmp_path, cifar_members):
    """Entries outside the folder, links and devices: nothing is written but the expected members."""
    evil = []
    for name in ("../evil", "/tmp/onepage-evil", f"{sources.CIFAR10_FOLDER}/../../evil", "data_batch_1"):
        evil.append((tarfile.TarInfo(name), b"evil"))
    for kind, name in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "hard"), (tarfile.CHRTYPE, "device")):
        info = tarfile.TarInfo(f"{sources.CIFAR10_FOLDER}/{name}")
        info.type, info.linkname = kind, "../../outside"
        evil.append((info, b""))
    mirror = fill(tmp_path / "mirror", {ARCHIVE: tar_gz(cifar_members, evil)})
    data = tmp_path / "deep/data"
    fetch.ensure("cls", data, "real", str(mirror))
    written = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if not p.is_dir()}
    expected = {f"deep/data/cifar10/{name}" for name in (*cifar_members, "ready.json")}
    assert written == expected | {f"mirror/{ARCHIVE}", "deep/data/.cifar10.lock"}
    assert not Path("/tmp/onepage-evil").exists()


@fault("a link or a larger file under an expected name", "`... is not the published file`")
def test_data_member_that_is_a_link_or_too_large_is_refused(tmp_path, cifar_members):
    link = tarfile.TarInfo(f"{sources.CIFAR10_FOLDER}/data_batch_1")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    large = tarfile.TarInfo(f"{sources.CIFAR10_FOLDER}/data_batch_1")
    for entry in ((link, b""), (large, cifar_members["data_batch_1"] + b"!")):
        mirror = fill(tmp_path / "mirror", {ARCHIVE: tar_gz(cifar_members, [entry])})
        message = refused("cls", tmp_path / "data", mirror=str(mirror))
        assert "data_batch_1 in cifar-10-python.tar.gz is not the published file" in message
        assert not (tmp_path / "data/cifar10").exists()  # nothing was written, so not even the folder stays


@fault(
    "a pickle that runs code, in the archive", "`... does not have the published digest`; it is not written, nor run"
)
def test_data_code_in_an_archive_never_reaches_the_disk(tmp_path, cifar_members):
    marker = tmp_path / "ran"
    evil = code_running_pickle(marker, len(cifar_members["data_batch_1"]))
    mirror = fill(tmp_path / "mirror", {ARCHIVE: tar_gz({**cifar_members, "data_batch_1": evil})})
    assert "data_batch_1 does not have the published digest" in refused("cls", tmp_path / "data", mirror=str(mirror))
    assert not marker.exists() and not (tmp_path / "data/cifar10/data_batch_1").exists()


def test_data_limited_reader_stops_exactly():
    reader = archive._Limited(io.BytesIO(b"12345"), 5)
    assert reader.read(3) + reader.read(10) == b"12345"
    with pytest.raises(archive.SourceError):
        archive._Limited(io.BytesIO(b"12345"), 4).read()
