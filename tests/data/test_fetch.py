"""Fetching: which source serves, what an interrupted fetch leaves, and when the stand-in takes over."""

import gzip
import os
import threading

import pytest

from data_fakes import fill, nothing_trusted, refused, sha256
from onepage.data import archive, fetch, ready, sources, toy_translation
from onepage.data.images import load_images
from onepage.data.translation import load_translation
from onepage.errors import UserError

ARCHIVE = sources.CIFAR10_ARCHIVE
pytestmark = pytest.mark.usefixtures("small_toys")


def test_data_mirror_folder_serves_and_the_cache_needs_no_source(tmp_path, cifar_archive, cifar_members, capsys):
    mirror = fill(tmp_path / "mirror", {ARCHIVE: cifar_archive})
    data = tmp_path / "data"
    assert fetch.ensure("cls", data, "auto", str(mirror)) == "cifar10"
    assert {p.name for p in (data / "cifar10").iterdir()} == {*cifar_members, "ready.json"}  # no archive is kept
    record = ready.read(data / "cifar10/ready.json")
    assert record.files == {name: sha256(content) for name, content in cifar_members.items()}
    assert record.source == str(mirror) and not record.generated
    assert "every digest agrees" in capsys.readouterr().out
    # Now without any source: the data folder is enough, in both modes.
    assert fetch.ensure("cls", data, "real", None) == "cifar10"
    assert fetch.ensure("cls", data, "auto", str(tmp_path / "gone")) == "cifar10"
    assert "complete in" in capsys.readouterr().out


def test_data_complete_set_is_trusted_by_size_and_time_then_by_content(tmp_path, cifar_archive, monkeypatch):
    mirror = fill(tmp_path / "mirror", {ARCHIVE: cifar_archive})
    data = tmp_path / "data"
    fetch.ensure("cls", data, "real", str(mirror))
    hashed = []
    original = ready.files.sha256_file
    monkeypatch.setattr(ready.files, "sha256_file", lambda path: hashed.append(path.name) or original(path))
    fetch.ensure("cls", data, "real", None)
    assert hashed == []
    os.utime(data / "cifar10/data_batch_2", ns=(1, 1))
    fetch.ensure("cls", data, "real", None)
    assert hashed == ["data_batch_2"]
    fetch.ensure("cls", data, "real", None)  # the new time was recorded
    assert hashed == ["data_batch_2"]


@pytest.mark.fault("a damaged file in data/", "`... damaged in ...; fetched again`, it alone")
def test_data_damaged_file_alone_is_replaced(tmp_path, cifar_archive, cifar_members, capsys):
    mirror = fill(tmp_path / "mirror", {ARCHIVE: cifar_archive})
    data = tmp_path / "data"
    fetch.ensure("cls", data, "real", str(mirror))
    before = (data / "cifar10/data_batch_1").stat().st_mtime_ns
    (data / "cifar10/test_batch").write_bytes(b"rot")
    assert "no source" in refused("cls", data)
    fetch.ensure("cls", data, "real", str(mirror))
    assert (data / "cifar10/test_batch").read_bytes() == cifar_members["test_batch"]
    assert (data / "cifar10/data_batch_1").stat().st_mtime_ns == before
    assert "test_batch damaged" in capsys.readouterr().out


def test_data_mirror_url_serves(tmp_path, cifar_archive, multi30k_files, make_site):
    site = make_site({f"sets/{ARCHIVE}": cifar_archive, **{f"sets/{k}": v for k, v in multi30k_files.items()}})
    assert fetch.ensure("cls", tmp_path, "real", f"{site.url}/sets/") == "cifar10"
    assert fetch.ensure("mt", tmp_path, "real", f"{site.url}/sets", "de", "fr") == "multi30k"
    assert sorted(p.name for p in (tmp_path / "multi30k").glob("ready*")) == ["ready-de-fr.json"]
    assert len(load_translation(tmp_path, "multi30k", "de", "fr").splits["train"][0]) == 12
    assert not any(".en" in path for path in site.asked)  # only what the pair needs


def test_data_second_pair_takes_only_what_is_new(tmp_path, multi30k_files, make_site):
    site = make_site(dict(multi30k_files))
    fetch.ensure("mt", tmp_path, "real", site.url, "en", "de")
    site.asked.clear()
    fetch.ensure("mt", tmp_path, "real", site.url, "en", "fr")
    fetched = set(site.asked[1:])  # the first is the probe
    assert fetched and all(path.endswith((".fr.gz", ".fr")) for path in fetched)
    digests = {load_translation(tmp_path, "multi30k", "en", tgt).digest for tgt in ("de", "fr")}
    assert len(digests) == 2


def test_data_server_that_unpacks_gzip_on_the_way_serves(tmp_path, multi30k_files, make_site):
    pages = {path: gzip.decompress(body) if path.endswith(".gz") else body for path, body in multi30k_files.items()}
    assert fetch.ensure("mt", tmp_path, "real", make_site(pages).url) == "multi30k"


@pytest.mark.fault("no source answers", "`*** GENERATED STAND-IN: ...`")
@pytest.mark.parametrize("task", ["cls", "mt"])
def test_data_auto_without_a_source_takes_the_stand_in_and_says_so(
    tmp_path, task, cifar_members, multi30k_files, capsys, dead_url, monkeypatch
):
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{dead_url}/{ARCHIVE}",))
    monkeypatch.setattr(sources, "MULTI30K_PREFIXES", (dead_url,))
    name = fetch.ensure(task, tmp_path, "auto", str(tmp_path / "no-mirror"), "fr", "de")
    assert name == {"cls": "toy-images", "mt": "toy-translation"}[task]
    out = capsys.readouterr().out
    assert "GENERATED STAND-IN" in out and "connection refused" in out and "is not a folder" in out
    assert not (tmp_path / sources.REAL_SET[task]).exists()


@pytest.mark.fault("sources answer, but serve something else", "`*** GENERATED STAND-IN: ...`")
def test_data_auto_when_every_download_fails(tmp_path, cifar_members, make_site, monkeypatch, capsys):
    """The source answers the probe, but what it serves is not the archive."""
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{make_site({ARCHIVE: b'nothing of use'}).url}/{ARCHIVE}",))
    assert fetch.ensure("cls", tmp_path, "auto") == "toy-images"
    out = capsys.readouterr().out
    assert "is not a gzip archive" in out and "GENERATED STAND-IN" in out


def test_data_generated_asks_nobody(tmp_path, cifar_members, make_site, monkeypatch):
    site = make_site()
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{site.url}/{ARCHIVE}",))
    assert fetch.ensure("cls", tmp_path, "generated", site.url) == "toy-images"
    assert site.asked == []


def test_data_generated_again_when_version_or_content_differ(tmp_path, monkeypatch):
    path = tmp_path / "toy-translation/train.en"
    ready_file = tmp_path / "toy-translation/ready-en-de.json"
    fetch.ensure("mt", tmp_path, "generated")
    original, first = path.read_bytes(), ready_file.stat().st_mtime_ns
    fetch.ensure("mt", tmp_path, "generated")
    assert ready_file.stat().st_mtime_ns == first
    path.write_bytes(b"changed\n")
    fetch.ensure("mt", tmp_path, "generated")
    assert path.read_bytes() == original
    monkeypatch.setattr(toy_translation, "VERSION", toy_translation.VERSION + 1)
    before = ready.read(ready_file)
    fetch.ensure("mt", tmp_path, "generated")
    assert ready.read(ready_file).version == before.version + 1
    assert ready.read(ready_file).digest == before.digest  # same content, same digest


@pytest.mark.fault("Ctrl-C in the middle of a fetch", "what was verified stays, nothing else; the next run goes on")
def test_data_interrupted_fetch_leaves_nothing_trusted_and_goes_on(
    tmp_path, cifar_archive, cifar_members, make_site, monkeypatch
):
    site = make_site({ARCHIVE: cifar_archive})
    original, kept = archive._keep, []

    def keep(member, content, folder):
        if len(kept) == 2:
            raise KeyboardInterrupt
        kept.append(member.name)
        original(member, content, folder)

    monkeypatch.setattr(archive, "_keep", keep)
    with pytest.raises(KeyboardInterrupt):
        fetch.ensure("cls", tmp_path, "real", site.url)
    folder = tmp_path / "cifar10"
    assert nothing_trusted(folder)
    assert sorted(p.name for p in folder.iterdir()) == sorted(kept)
    with pytest.raises(UserError, match=r"ready\.json"):
        load_images(tmp_path, "cifar10")
    # What a kill leaves besides: a download and a half-written file. Neither is used, both go.
    (folder / ".download-left").mkdir()
    (folder / ".download-left/download").write_bytes(cifar_archive)
    (folder / ".data_batch_4.x.tmp").write_bytes(b"half")
    monkeypatch.setattr(archive, "_keep", lambda *a: kept.append(a[0].name) or original(*a))
    fetch.ensure("cls", tmp_path, "real", site.url)
    assert sorted(kept) == sorted(cifar_members)  # none was taken twice
    assert {p.name for p in folder.iterdir()} == {*cifar_members, "ready.json"}


@pytest.mark.fault("three fetches at once in one process", "one downloads, the others find the set complete")
def test_data_two_fetches_at_once(tmp_path, cifar_archive, monkeypatch):
    mirror = fill(tmp_path / "mirror", {ARCHIVE: cifar_archive})
    started, calls, original = threading.Event(), [], archive.unpack

    def unpack(*arguments):
        calls.append(1)
        started.set()
        original(*arguments)

    monkeypatch.setattr(archive, "unpack", unpack)
    names = []
    run = lambda: names.append(fetch.ensure("cls", tmp_path / "data", "real", str(mirror)))  # noqa: E731
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert names == ["cifar10"] * 3 and len(calls) == 1  # the others waited, and found it complete
    assert len(load_images(tmp_path / "data", "cifar10").test_labels) == 20


@pytest.mark.fault("too little disk for a set", "`... needs ..., ... are free; free space or set DATA_DIR`")
def test_data_full_disk_is_said_before_anything_is_fetched(tmp_path, cifar_archive, monkeypatch):
    mirror = fill(tmp_path / "mirror", {ARCHIVE: cifar_archive})
    full = type("usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    for mode in ("auto", "real", "generated"):  # auto does not turn to the stand-in: the user can mend this
        with pytest.raises(UserError, match="free space"):
            fetch.ensure("cls", tmp_path / "data", mode, str(mirror))


@pytest.mark.fault("DATA_DIR is no folder", "`cannot write ...; free space or set DATA_DIR to another folder`")
def test_data_folder_that_cannot_be_written(tmp_path, cifar_archive):
    mirror = fill(tmp_path / "mirror", {ARCHIVE: cifar_archive})
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(UserError, match="DATA_DIR"):
        fetch.ensure("cls", tmp_path / "data", "real", str(mirror))


@pytest.mark.fault(
    "an unknown DATA, task or language",
    "`... is not known; ...`, `... is not a language of Multi30k; ...`, `SRC and TGT are both ...`",
)
def test_data_settings_that_make_no_sense(tmp_path):
    for settings, what in (
        (("cls", tmp_path, "perhaps"), "DATA=perhaps"),
        (("speech", tmp_path), "speech"),
        (("mt", tmp_path, "auto", None, "en", "en"), "both en"),
        (("mt", tmp_path, "auto", None, "en", "xx"), "TGT=xx"),
        (("mt", tmp_path, "generated", None, "xx", "de"), "SRC=xx"),
    ):
        with pytest.raises(UserError, match=what):
            fetch.ensure(*settings)
    assert list(tmp_path.iterdir()) == []


def test_data_source_status(tmp_path, cifar_archive, multi30k_files, make_site, dead_url, monkeypatch):
    good, portal = make_site({ARCHIVE: cifar_archive}), make_site({ARCHIVE: b"<html>sign in</html>"})
    monkeypatch.setattr(sources, "CIFAR10_URLS", tuple(f"{u}/{ARCHIVE}" for u in (good.url, portal.url, dead_url)))
    mirror = fill(tmp_path / "mirror", {ARCHIVE: cifar_archive})
    states = fetch.source_status("cls", tmp_path / "data", str(mirror), timeout=5)
    assert [s.state for s in states] == ["not reachable", "mirror", "reachable", "not reachable", "not reachable"]
    assert states[3].detail == "answers with a web page" and states[4].detail == "connection refused"
    assert not (tmp_path / "data").exists()  # asking changes nothing
    fetch.ensure("cls", tmp_path / "data", "real", str(mirror))
    assert fetch.source_status("cls", tmp_path / "data", good.url, timeout=5)[0].state == "cached"
    assert fetch.source_status("cls", tmp_path / "data", good.url, timeout=5)[1].state == "mirror"
    (lacking,) = [s for s in fetch.source_status("mt", tmp_path, str(mirror), timeout=1) if s.name == "DATA_MIRROR"]
    assert lacking.state == "not reachable" and lacking.detail == "lacks multi30k/train.en.gz and 12 more"


@pytest.mark.fault("a mirror that lacks files", "the public source serves those")
def test_data_incomplete_mirror_folder_serves_what_it_holds(tmp_path, multi30k_files, make_site, monkeypatch):
    held = {path: body for path, body in multi30k_files.items() if "/tok/" not in path}
    mirror = fill(tmp_path / "mirror", held)
    site = make_site({path.removeprefix("multi30k/"): body for path, body in multi30k_files.items()})
    site.pages |= {f"raw/{path}": body for path, body in site.pages.items() if path.endswith(".gz")}
    monkeypatch.setattr(sources, "MULTI30K_PREFIXES", (site.url,))
    assert fetch.ensure("mt", tmp_path / "data", "real", str(mirror)) == "multi30k"
    assert [path for path in site.asked if path.startswith("tok/")] == site.asked[1:]
    source = ready.read(tmp_path / "data/multi30k/ready-en-de.json").source
    assert str(mirror) in source and "127.0.0.1" in source
