"""Fetching: which source serves, what an interrupted fetch leaves, and when the stand-in takes over."""

import gzip
import os

import pytest

from data_fakes import fill, nothing_trusted, refused, sha256
from onepage.data import archive, fetch, ready, sources, toy_translation
from onepage.data.images import load_images
from onepage.data.translation import load_translation
from onepage.errors import UserError

ARCHIVE = sources.CIFAR10_ARCHIVE
fault = pytest.mark.fault
pytestmark = pytest.mark.usefixtures("small_toys")


def test_mirror_folder_serves_then_the_data_folder(tmp_path, cifar_mirror, cifar_members, capsys):
    data = tmp_path / "data"
    assert fetch.ensure("cifar10", data, "auto", cifar_mirror) == "cifar10"
    assert {p.name for p in (data / "cifar10").iterdir()} == {*cifar_members, "ready.json"}  # no archive is kept
    record = ready.read(data / "cifar10/ready.json")
    assert record.files == {name: sha256(content) for name, content in cifar_members.items()}
    assert record.source == cifar_mirror and not record.generated
    assert "every digest agrees" in capsys.readouterr().out
    # Now without any source: the data folder is enough, in both modes.
    assert fetch.ensure("cifar10", data, "real", None) == "cifar10"
    assert fetch.ensure("cifar10", data, "auto", str(tmp_path / "gone")) == "cifar10"
    assert "complete in" in capsys.readouterr().out


def test_complete_set_is_hashed_only_after_changes(cifar, monkeypatch):
    """Size and time are trusted; a file with another time is hashed once, and its new time is recorded."""
    hashed = []
    original = ready.files.sha256_file
    monkeypatch.setattr(ready.files, "sha256_file", lambda path: hashed.append(path.name) or original(path))
    fetch.ensure("cifar10", cifar, "real", None)
    assert hashed == []
    os.utime(cifar / "cifar10/data_batch_2", ns=(1, 1))
    for _ in range(2):
        fetch.ensure("cifar10", cifar, "real", None)
        assert hashed == ["data_batch_2"]


@fault("a damaged file in data/", "`... damaged in ...; fetching again`, it alone")
def test_damaged_file_alone_is_replaced(cifar, cifar_mirror, cifar_members, capsys):
    before = (cifar / "cifar10/data_batch_1").stat().st_mtime_ns
    (cifar / "cifar10/test_batch").write_bytes(b"rot")
    assert "no source" in refused("cifar10", cifar)
    fetch.ensure("cifar10", cifar, "real", cifar_mirror)
    assert (cifar / "cifar10/test_batch").read_bytes() == cifar_members["test_batch"]
    assert (cifar / "cifar10/data_batch_1").stat().st_mtime_ns == before
    assert "test_batch damaged" in capsys.readouterr().out


def test_mirror_url_serves(tmp_path, cifar_archive, multi30k_files, make_site):
    site = make_site({f"sets/{ARCHIVE}": cifar_archive, **{f"sets/{k}": v for k, v in multi30k_files.items()}})
    assert fetch.ensure("cifar10", tmp_path, "real", f"{site.url}/sets/") == "cifar10"
    assert fetch.ensure("multi30k", tmp_path, "real", f"{site.url}/sets", "de", "fr") == "multi30k"
    assert sorted(p.name for p in (tmp_path / "multi30k").glob("ready*")) == ["ready-de-fr.json"]
    assert len(load_translation(tmp_path, "multi30k", "de", "fr").splits["train"][0]) == 12
    assert not any(".en" in path for path in site.asked)  # only what the pair needs


def test_second_pair_takes_only_what_is_new(tmp_path, multi30k_files, make_site):
    site = make_site(dict(multi30k_files))
    fetch.ensure("multi30k", tmp_path, "real", site.url, "en", "de")
    site.asked.clear()
    fetch.ensure("multi30k", tmp_path, "real", site.url, "en", "fr")
    fetched = set(site.asked[1:])  # the first is the probe
    assert fetched and all(path.endswith((".fr.gz", ".fr")) for path in fetched)
    digests = {load_translation(tmp_path, "multi30k", "en", tgt).digest for tgt in ("de", "fr")}
    assert len(digests) == 2


def test_server_that_unpacks_gzip_serves(tmp_path, multi30k_files, make_site):
    pages = {path: gzip.decompress(body) if path.endswith(".gz") else body for path, body in multi30k_files.items()}
    assert fetch.ensure("multi30k", tmp_path, "real", make_site(pages).url) == "multi30k"


@fault("no source answers", "`*** GENERATED STAND-IN: ...`")
@pytest.mark.parametrize("real", ["cifar10", "multi30k"])
def test_auto_without_a_source_takes_the_stand_in(
    tmp_path, real, cifar_members, multi30k_files, capsys, dead_url, monkeypatch
):
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{dead_url}/{ARCHIVE}",))
    monkeypatch.setattr(sources, "MULTI30K_PREFIXES", (dead_url,))
    name = fetch.ensure(real, tmp_path, "auto", str(tmp_path / "no-mirror"), "fr", "de")
    assert name == {"cifar10": "toy-images", "multi30k": "toy-translation"}[real]
    out = capsys.readouterr().out
    assert "GENERATED STAND-IN" in out and "connection refused" in out and "is not a folder" in out
    assert not (tmp_path / real).exists()


@fault("sources answer, but serve something else", "`*** GENERATED STAND-IN: ...`")
def test_auto_when_every_download_fails(tmp_path, cifar_members, make_site, monkeypatch, capsys):
    """The source answers the probe, but serves another file."""
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{make_site({ARCHIVE: b'nothing of use'}).url}/{ARCHIVE}",))
    assert fetch.ensure("cifar10", tmp_path, "auto") == "toy-images"
    out = capsys.readouterr().out
    assert "is not a gzip archive" in out and "GENERATED STAND-IN" in out


def test_generated_asks_nobody(tmp_path, cifar_members, make_site, monkeypatch):
    site = make_site()
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{site.url}/{ARCHIVE}",))
    assert fetch.ensure("cifar10", tmp_path, "generated", site.url) == "toy-images"
    assert site.asked == []


def test_generated_again_when_version_or_content_differ(tmp_path, monkeypatch):
    path = tmp_path / "toy-translation/train.en"
    ready_file = tmp_path / "toy-translation/ready-en-de.json"
    fetch.ensure("multi30k", tmp_path, "generated")
    original, first = path.read_bytes(), ready_file.stat().st_mtime_ns
    fetch.ensure("multi30k", tmp_path, "generated")
    assert ready_file.stat().st_mtime_ns == first
    path.write_bytes(b"changed\n")
    fetch.ensure("multi30k", tmp_path, "generated")
    assert path.read_bytes() == original
    monkeypatch.setattr(toy_translation, "VERSION", toy_translation.VERSION + 1)
    before = ready.read(ready_file)
    fetch.ensure("multi30k", tmp_path, "generated")
    assert ready.read(ready_file).version == before.version + 1
    assert ready.read(ready_file).digest == before.digest  # same content, same digest


@fault("Ctrl-C in the middle of a fetch", "what was verified stays, nothing else; the next run goes on")
def test_interrupted_fetch_goes_on(tmp_path, cifar_archive, cifar_members, make_site, monkeypatch):
    site = make_site({ARCHIVE: cifar_archive})
    original, kept = archive._keep, []

    def keep(member, content, folder):
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(member.name)
        original(member, content, folder)

    monkeypatch.setattr(archive, "_keep", keep)
    with pytest.raises(KeyboardInterrupt):
        fetch.ensure("cifar10", tmp_path, "real", site.url)
    folder = tmp_path / "cifar10"
    assert nothing_trusted(folder)
    assert sorted(p.name for p in folder.iterdir()) == sorted(kept)
    with pytest.raises(UserError, match=r"ready\.json"):
        load_images(tmp_path, "cifar10")
    # A kill also leaves a download and a half-written file. Neither is used, and both are removed.
    (folder / ".download-left").mkdir()
    (folder / ".download-left/download").write_bytes(cifar_archive)
    (folder / ".data_batch_4.x.tmp").write_bytes(b"half")
    monkeypatch.setattr(archive, "_keep", lambda *a: kept.append(a[0].name) or original(*a))
    fetch.ensure("cifar10", tmp_path, "real", site.url)
    assert sorted(kept) == sorted(cifar_members)  # no member was kept twice
    assert {p.name for p in folder.iterdir()} == {*cifar_members, "ready.json"}


@fault(
    "an unknown set or language",
    "`... is not a language of Multi30k; ...`, `SRC and TGT are both ...`",
)
@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (("speech", "auto"), "'speech' is not a data set"),
        (("multi30k", "auto", None, "en", "en"), "both en"),
        (("multi30k", "auto", None, "en", "xx"), "TGT=xx"),
        (("multi30k", "generated", None, "xx", "de"), "SRC=xx"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, settings, what):
    name, *more = settings
    with pytest.raises(UserError, match=what):
        fetch.ensure(name, tmp_path, *more)
    assert list(tmp_path.iterdir()) == []


def test_source_status(tmp_path, cifar_archive, cifar_mirror, multi30k_files, make_site, dead_url, monkeypatch):
    good, portal = make_site({ARCHIVE: cifar_archive}), make_site({ARCHIVE: b"<html>sign in</html>"})
    monkeypatch.setattr(sources, "CIFAR10_URLS", tuple(f"{u}/{ARCHIVE}" for u in (good.url, portal.url, dead_url)))
    data = tmp_path / "data"
    states = fetch.source_status("cifar10", data, cifar_mirror, timeout=5)
    assert [s.state for s in states] == ["not reachable", "mirror", "reachable", "not reachable", "not reachable"]
    assert states[3].detail == "answers with a web page" and states[4].detail == "connection refused"
    assert not data.exists()  # the query writes nothing
    fetch.ensure("cifar10", data, "real", cifar_mirror)
    assert [s.state for s in fetch.source_status("cifar10", data, good.url, timeout=5)][:2] == ["cached", "mirror"]
    (lacking,) = [s for s in fetch.source_status("multi30k", data, cifar_mirror, timeout=1) if s.name == "DATA_MIRROR"]
    assert lacking.state == "not reachable" and lacking.detail == "lacks multi30k/train.en.gz and 12 more"


@fault("a mirror that lacks files", "the public source serves those")
def test_incomplete_mirror_serves_what_it_holds(tmp_path, multi30k_files, make_site, monkeypatch):
    held = {path: body for path, body in multi30k_files.items() if "/tok/" not in path}
    mirror = fill(tmp_path / "mirror", held)
    site = make_site({path.removeprefix("multi30k/"): body for path, body in multi30k_files.items()})
    site.pages |= {f"raw/{path}": body for path, body in site.pages.items() if path.endswith(".gz")}
    monkeypatch.setattr(sources, "MULTI30K_PREFIXES", (site.url,))
    assert fetch.ensure("multi30k", tmp_path / "data", "real", str(mirror)) == "multi30k"
    assert [path for path in site.asked if path.startswith("tok/")] == site.asked[1:]
    source = ready.read(tmp_path / "data/multi30k/ready-en-de.json").source
    assert str(mirror) in source and "127.0.0.1" in source
