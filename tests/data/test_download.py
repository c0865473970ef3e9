"""Downloads from servers that stall, break off or lie: verified data from the next source, or one message."""

import re
import threading
import time

import pytest

from data_fakes import ANSWERS, Reply, refused
from onepage.data import download, fetch, ready, sources
from onepage.data.images import load_images

ARCHIVE = sources.CIFAR10_ARCHIVE
fault, param = pytest.mark.fault, pytest.param

# The program's limits are 10 to 60 seconds. These keep their order, because the first that expires sets the message.
SHORT = [("CONNECT_SECONDS", 0.5), ("READ_SECONDS", 0.5), ("SLOWEST_AFTER", 0.9)]


WHY = {
    "stalls": "timed out",
    "answers-nothing": "no answer|timed out|slower than",  # whichever limit a busy machine meets first
    "drips": "slower than",
    "drips-headers": "slower than",
    "resets": "connection broken",
    "breaks-off": "connection broken",
    "redirects-to-itself": "redirects without end",
    "redirects-to-a-file": "file:///etc/passwd",
    "redirects-nowhere": "URL",
    "speaks-no-http": "no connection",
    "damages-its-chunks": "connection broken",
    "packs-what-is-not-packed": "sends what cannot be unpacked",
    "packs-a-bomb": "far more than the file should have",
}


@pytest.mark.parametrize(
    "answer",
    [
        param("stalls", id="stalls", marks=fault("a server stalls halfway", "`timed out`; the next source serves")),
        param(
            "answers-nothing",
            id="answers-nothing",
            marks=fault("a server never answers", "`timed out`; the next source serves"),
        ),
        param(
            "drips",
            id="drips",
            marks=fault("a byte comes now and then", "`slower than ... kB/s`; the next source serves"),
        ),
        param(
            "drips-headers",
            id="drips-headers",
            marks=fault("headers come a byte now and then", "`slower than ... kB/s`; the next source serves"),
        ),
        param("resets", id="resets", marks=fault("reset halfway", "`connection broken`; the next source serves")),
        param("breaks-off", id="breaks-off", marks=fault("truncated", "`connection broken`; the next source serves")),
        param(
            "redirects-to-itself",
            id="redirects-to-itself",
            marks=fault("a redirect loop", "`redirects without end`; the next source serves"),
        ),
        param(
            "redirects-to-a-file",
            id="redirects-to-a-file",
            marks=fault("a redirect to a file of this machine", "refused, unread; the next source serves"),
        ),
        param(
            "redirects-nowhere",
            id="redirects-nowhere",
            marks=fault("a redirect to no address", "refused; the next source serves"),
        ),
        param(
            "speaks-no-http", id="speaks-no-http", marks=fault("not HTTP", "`no connection`; the next source serves")
        ),
        param(
            "damages-its-chunks",
            id="damages-its-chunks",
            marks=fault("damaged transfer encoding", "`connection broken`; the next source serves"),
        ),
        param(
            "packs-what-is-not-packed",
            id="packs-what-is-not-packed",
            marks=fault("damaged content encoding", "`sends what cannot be unpacked`; the next source serves"),
        ),
        param(
            "packs-a-bomb",
            id="packs-a-bomb",
            marks=fault(
                "a content encoding that swells", "`sends far more than the file should have`; the next source serves"
            ),
        ),
    ],
)
def test_rude_server_is_passed_over(tmp_path, cifar_archive, rude_site, monkeypatch, capsys, answer):
    for name, seconds in SHORT:
        monkeypatch.setattr(download, name, seconds)
    monkeypatch.setattr(sources, "CIFAR10_ARCHIVE_SIZE", len(cifar_archive))
    found = []

    def good(reply: Reply) -> None:
        found.append(sorted(path.name for path in (tmp_path / "cifar10").iterdir()))
        ANSWERS["serves"](reply)

    # the probe gets a good answer, so only the download can find the fault
    rude = rude_site(lambda reply: ANSWERS["serves" if reply.number == 0 else answer](reply), cifar_archive)
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{rude_site(good, cifar_archive)}/{ARCHIVE}",))
    started = time.monotonic()
    assert fetch.ensure("cifar10", tmp_path, "real", rude) == "cifar10"
    assert time.monotonic() - started < 20  # a server cannot prevent or delay the end
    assert re.search(rf"DATA_MIRROR: .*{WHY[answer]}", capsys.readouterr().out)
    assert found[0] == []  # nothing from the rude server was left when the good one was asked
    assert ready.read(tmp_path / "cifar10/ready.json").source.startswith("127.0.0.1")
    assert len(load_images(tmp_path, "cifar10").test_labels) == 20


@fault("a server that does any of this from the start", "the probe says so, in the same words; nothing is downloaded")
def test_probe_finds_out_a_rude_server(cifar_archive, rude_site):
    expected = {
        answer: why for answer, why in WHY.items() if answer not in ("stalls", "drips", "resets", "packs-a-bomb")
    }
    expected |= {"drips-headers": "no answer|timed out", "breaks-off": "^$"}  # its first bytes are good
    urls = {answer: f"{rude_site(ANSWERS[answer], cifar_archive)}/{ARCHIVE}" for answer in expected}
    answers = download.probe(urls, 1.0)
    for answer, why in expected.items():
        assert re.search(why, answers[answer]), answer


@fault("a name server that never answers", "`no answer`, after 20 s at most")
def test_probe_keeps_its_time_limit(monkeypatch):
    monkeypatch.setattr(download, "_ask", lambda url, timeout: threading.Event().wait(5) or "")
    started = time.monotonic()
    assert download.probe({"a": "x", "b": "y"}, 0.2) == {"a": "no answer", "b": "no answer"}
    assert time.monotonic() - started < 2


@fault("500 or 503, then fine", "asked again, and it serves")
def test_server_error_is_tried_again(tmp_path, cifar_archive, make_site, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 2)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    site = make_site({ARCHIVE: cifar_archive})
    monkeypatch.setattr(download, "probe", lambda urls, timeout: dict.fromkeys(urls, ""))

    class Failing(dict):
        def get(self, path, default=None):
            return (503, b"busy") if len(site.asked) < 3 else super().get(path, default)

    site.pages = Failing(site.pages)
    assert fetch.ensure("cifar10", tmp_path, "real", site.url) == "cifar10"
    assert len(site.asked) == 3


@fault("a server fails once halfway", "the same source is asked again, and serves")
def test_broken_connection_is_tried_again(tmp_path, cifar_archive, rude_site, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 1)
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    asked = []

    def answer(reply: Reply) -> None:
        asked.append(reply.number)
        ANSWERS["resets" if reply.number == 1 else "serves"](reply)

    assert fetch.ensure("cifar10", tmp_path, "real", rude_site(answer, cifar_archive)) == "cifar10"
    assert asked == [0, 1, 2]  # the probe, the broken download, the good one


@fault("a server sends small pieces", "taken: bytes are counted, not pieces")
def test_small_chunks_are_no_fault(tmp_path, cifar_archive, rude_site, monkeypatch):
    monkeypatch.setattr(sources, "CIFAR10_ARCHIVE_SIZE", len(cifar_archive))

    def answer(reply: Reply) -> None:
        pieces = [reply.body[at : at + 100] for at in range(0, len(reply.body), 100)]
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        reply.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n")

    assert fetch.ensure("cifar10", tmp_path, "real", rude_site(answer, cifar_archive)) == "cifar10"


@fault("an answer without end", "`sends far more than the file should have`")
def test_endless_answer_is_given_up(tmp_path, cifar_archive, make_site, monkeypatch):
    monkeypatch.setattr(sources, "CIFAR10_ARCHIVE_SIZE", 1000)
    site = make_site({ARCHIVE: cifar_archive + bytes(3_000_000)})
    assert "far more" in refused("cifar10", tmp_path, mirror=site.url)


@fault("the mirror is down", "`connection refused`; the public source serves")
def test_mirror_that_is_down(tmp_path, cifar_archive, make_site, dead_url, monkeypatch, capsys):
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"{make_site({ARCHIVE: cifar_archive}).url}/{ARCHIVE}",))
    assert fetch.ensure("cifar10", tmp_path, "auto", dead_url) == "cifar10"
    assert f"DATA_MIRROR {dead_url}: connection refused" in capsys.readouterr().out
    assert ready.read(tmp_path / "cifar10/ready.json").source.startswith("127.0.0.1")


@pytest.fixture
def proxy(monkeypatch):
    """A function that sets one proxy variable; all others are unset."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch.setenv


@fault("ALL_PROXY names a SOCKS proxy", "`a SOCKS proxy is set, PySocks is not installed`, and what to do")
@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy", "https_proxy"])
def test_socks_proxy_is_named(tmp_path, cifar_members, proxy, monkeypatch, name):
    monkeypatch.setattr(sources, "CIFAR10_URLS", (f"https://127.0.0.1:9/{ARCHIVE}",))
    proxy(name, "socks5h://127.0.0.1:9")
    message = refused("cifar10", tmp_path)
    assert "a SOCKS proxy is set, PySocks is not installed" in message
    assert "; correct or unset the proxy" in message and "set DATA_MIRROR to a folder" in message


@fault("a proxy asks for a password", "`the proxy asks for a name and a password (407)`, and what to do")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_asks_for_a_password(tmp_path, cifar_members, rude_site, proxy, scheme):
    site = rude_site(lambda reply: reply.head(status="407 Proxy Authentication Required", length=0), b"")
    proxy(f"{scheme}_proxy", site)
    message = refused("cifar10", tmp_path, mirror=f"{scheme}://mirror.invalid/data")
    assert "DATA_MIRROR: the proxy asks for a name and a password (407))" in message and "NO_PROXY" in message


@fault("a proxy refuses an address, or is down", "`the proxy answers ...`, `the proxy does not connect`, what to do")
def test_proxy_that_does_not_connect(tmp_path, cifar_members, rude_site, dead_url, proxy, small_toys, capsys):
    mirror = "https://mirror.invalid/data"
    proxy("https_proxy", rude_site(lambda reply: reply.head(status="403 Forbidden", length=0), b""))
    assert "DATA_MIRROR: the proxy answers 403); correct" in refused("cifar10", tmp_path, mirror=mirror)
    proxy("https_proxy", dead_url)
    assert "DATA_MIRROR: the proxy does not connect); correct" in refused("cifar10", tmp_path, mirror=mirror)
    proxy("https_proxy", "foo://127.0.0.1:9")
    assert "; correct or unset the proxy" in refused("cifar10", tmp_path, mirror=mirror)
    assert fetch.ensure("cifar10", tmp_path, "auto", mirror) == "toy-images"
    assert "; correct or unset the proxy" in capsys.readouterr().out


def test_no_proxy_is_not_blamed(tmp_path, cifar_members, dead_url, proxy):
    proxy("NO_PROXY", "*")
    proxy("ALL_PROXY", "socks5h://127.0.0.1:9")
    message = refused("cifar10", tmp_path, mirror=dead_url)
    assert "connection refused" in message and "proxy" not in message
