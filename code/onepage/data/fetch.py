"""Getting a data set onto the disk, complete and verified: ``make data``.

The order of sources: existing files in ``data/<set>/``; ``DATA_MIRROR`` (a folder or a URL prefix); the public sources
of sources.py that answer a probe of at most 20 s. If none of these serves the set, DATA=auto uses the generated
stand-in, and DATA=real fails; DATA=generated always uses the stand-in. Members are verified and written one by one, the
ready file last: after an interruption, no unverified file is trusted, and no verified one is fetched twice.
"""

import contextlib
import importlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from onepage.data import archive, download, ready, sources
from onepage.data.archive import SourceError
from onepage.data.download import megabytes
from onepage.data.folder import TEMPORARY, check_space, locked
from onepage.data.sources import DataSet, Download
from onepage.errors import UserError
from onepage.terminal.progress import console

PROBE_SECONDS = 20.0  # for all probes of one set together


@dataclass(frozen=True)
class Source:
    """A mirror folder, a mirror URL prefix, or public host number ``host`` of every download."""

    name: str
    folder: Path | None = None
    prefix: str | None = None
    host: int = 0

    @property
    def where(self) -> str:
        """Its name in messages: the address of a mirror, the host of a public source."""
        return str(self.folder or self.prefix or self.name)

    def url(self, item: Download) -> str:
        """The address of one file; for sources that are not a folder."""
        return f"{self.prefix}/{item.path}" if self.prefix else item.urls[self.host]

    def holds(self, item: Download) -> bool:
        """False if a mirror folder lacks the file; a URL is only asked when it is used."""
        return self.folder is None or (self.folder / item.path).is_file()

    def lacks(self, wanted: DataSet) -> str:
        """A short text on the files of the set that a mirror folder lacks; "" if it has all."""
        if self.folder is not None and not self.folder.is_dir():
            return "is not a folder"
        lacking = [item.path for item in wanted.downloads if not self.holds(item)]
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        return f"lacks {lacking[0]}{more}" if lacking else ""


@dataclass(frozen=True)
class SourceStatus:
    """Where a set could come from. ``state``: "cached", "mirror", "reachable" or "not reachable"."""

    name: str
    where: str
    state: str
    detail: str


def ensure(
    name: str, data_dir: Path, mode: str = "auto", mirror: str | None = None, src: str = "en", tgt: str = "de"
) -> str:
    """Complete the set ``name``, or its stand-in, below ``data_dir``; returns the name of the one that is there.

    ``mode``: "auto", "real" or "generated"; ``mirror``: a folder or a URL prefix. Prints what it does.
    Raises UserError on an unknown set or language, a full disk and, with mode "real", if no source serves the set.
    """
    data_dir = Path(data_dir)
    wanted = sources.get(name, src, tgt)
    if mode == "generated" and wanted.stand_in:
        wanted = sources.get(wanted.stand_in)
    if wanted.generator:
        return _generate(wanted, data_dir)
    if ready.is_complete(data_dir / name / wanted.ready, wanted.digests):
        _say(f"{_key(wanted)}: complete in {data_dir / name}")
        return name
    with locked(data_dir, name, _say) as folder:
        fetch = _Fetch(wanted, folder)
        fetch.run(mirror)
    if not fetch.missing:
        return name
    tried = "; ".join(f"{source}: {why}" for source, why in fetch.failures.items())
    tried += f"){download.proxy_hint(tried)}"
    if mode == "real":
        needed = next(item.path for item in wanted.downloads if {m.name for m in item.members} & {*fetch.missing})
        raise UserError(
            f"no source serves {_key(wanted)} (tried {tried}; set DATA_MIRROR to a folder or URL that holds "
            f"{needed}, or DATA=generated for the stand-in"
        )
    _say(f"{_key(wanted)}: no source serves it (tried {tried}", "yellow")
    _say(f"*** GENERATED STAND-IN: {wanted.stand_in} replaces {name} ***", "bold yellow")
    return _generate(sources.get(wanted.stand_in), data_dir)


def source_status(
    name: str,
    data_dir: Path,
    mirror: str | None = None,
    src: str = "en",
    tgt: str = "de",
    timeout: float = PROBE_SECONDS,
) -> list[SourceStatus]:
    """All sources of a real set, in the order in which ``ensure`` tries them; fetches nothing.

    Probes all addresses at once with one file of the set each, for ``timeout`` seconds in total.
    """
    wanted = sources.get(name, src, tgt)
    folder = Path(data_dir) / name
    complete = ready.is_complete(folder / wanted.ready, wanted.digests)
    detail = f"{_key(wanted)} complete, {megabytes(wanted.size)}" if complete else f"{_key(wanted)} is not there"
    result = [SourceStatus("data folder", str(folder), "cached" if complete else "not reachable", detail)]
    candidates, first = _mirror(mirror) + _public(wanted), wanted.downloads[0]
    for source, why in _ask(candidates, wanted, timeout).items():
        state = "not reachable" if why else "mirror" if source.name == "DATA_MIRROR" else "reachable"
        where = source.where if source.folder else source.url(first)
        result.append(SourceStatus(source.name, where, state, why or f"serves {first.path}"))
    return result


def _mirror(mirror: str | None) -> list[Source]:
    """DATA_MIRROR as a list of at most one source."""
    if not mirror:
        return []
    if urlsplit(mirror).scheme in ("http", "https"):
        return [Source("DATA_MIRROR", prefix=mirror.rstrip("/"))]
    return [Source("DATA_MIRROR", folder=Path(mirror).expanduser())]


def _public(wanted: DataSet) -> list[Source]:
    """The public hosts of a set, in order; every download lists the same hosts."""
    return [Source(urlsplit(url).netloc, host=index) for index, url in enumerate(wanted.downloads[0].urls)]


def _ask(candidates: list[Source], wanted: DataSet, timeout: float) -> dict[Source, str]:
    """For each source "" if it serves the set, otherwise a short reason."""
    urls = {source.name: source.url(wanted.downloads[0]) for source in candidates if not source.folder}
    answers = download.probe(urls, timeout)
    return {source: source.lacks(wanted) if source.folder else answers[source.name] for source in candidates}


@dataclass
class _Fetch:
    """One try at a real set: members still missing, sources that served, and the first failure of each source."""

    wanted: DataSet
    folder: Path
    missing: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def say(self, text: str, style: str | None = None) -> None:
        _say(f"{_key(self.wanted)}: {text}", style)

    def run(self, mirror: str | None) -> None:
        """Fetch missing members from the first sources that serve them; once complete, write the ready file."""
        self.missing = ready.damaged(self.folder, self.wanted.digests)
        damaged = [name for name in self.missing if (self.folder / name).exists()]
        if damaged:
            self.say(f"{', '.join(damaged)} damaged in {self.folder}; fetching again", "yellow")
        limit = PROBE_SECONDS / 2 if mirror else PROBE_SECONDS
        for candidates in (_mirror(mirror), _public(self.wanted)):
            if not self.missing or not candidates:
                continue
            if candidates[0].name != "DATA_MIRROR":
                self.say(f"asking {', '.join(source.name for source in candidates)}")
            for source, why in _ask(candidates, self.wanted, limit).items():
                if why:
                    self.failures.setdefault(source.name, why)
                    if source.name == "DATA_MIRROR":
                        self.say(f"DATA_MIRROR {mirror}: {why}", "yellow")
                if source.folder or not why:  # a folder that lacks some files can still serve the others
                    self._take_all(source)
        if not self.missing:
            served = ", ".join(self.served) or "verified in place"
            ready.write(self.folder / self.wanted.ready, self.wanted.name, served, self.wanted.digests)
            count, size = len(self.wanted.members), megabytes(self.wanted.size)
            self.say(f"{count} files, {size}, every digest agrees; in {self.folder}")

    def _take_all(self, source: Source) -> None:
        """Fetch from one source all missing members that it serves."""
        lacking = [item for item in self.wanted.downloads if any(m.name in self.missing for m in item.members)]
        items = [item for item in lacking if source.holds(item)]
        if not items:
            return
        size = sum(item.size for item in items)
        unpacked = sum(member.size for item in items for member in item.members)
        check_space(self.folder, unpacked + (0 if source.folder else max(item.size for item in items)))
        what = items[0].path if len(items) == 1 else f"{len(items)} files"
        how = "reading" if source.folder else "downloading"
        self.say(f"{how} {what} ({megabytes(size)}; {megabytes(unpacked)} unpacked) from {source.where}")
        started, taken = time.monotonic(), 0
        for item in items:
            try:
                self._take(source, item)
                taken += item.size
            except SourceError as error:
                self.say(f"{source.name}: {error}", "yellow")
                self.failures.setdefault(source.name, str(error))
                if error.lost:
                    break
        if taken:
            seconds = max(time.monotonic() - started, 1e-3)
            self.served.append(source.where)
            self.say(f"{megabytes(taken)} in {seconds:.1f} s ({megabytes(taken / seconds)}/s)")

    def _take(self, source: Source, item: Download) -> None:
        """Write the missing members of one download once they are verified; raises SourceError if any stays missing."""
        wanted = [member for member in item.members if member.name in self.missing]
        try:
            with self._opened(source, item) as file:
                archive.unpack(file, item, wanted, self.folder)
        finally:
            bad = ready.damaged(self.folder, {member.name: member.sha256 for member in wanted})
            served = {member.name for member in wanted} - set(bad)
            self.missing = [name for name in self.missing if name not in served]

    @contextlib.contextmanager
    def _opened(self, source: Source, item: Download) -> Iterator[BinaryIO]:
        """The file of one download, open for reading."""
        if source.folder:
            try:
                file = open(source.folder / item.path, "rb")  # noqa: SIM115 (closed by the with below)
            except OSError as error:
                raise SourceError(f"{item.path}: {error.strerror or error}") from error
            with file:
                yield file
            return
        # The archive is removed with this folder, whatever happens; only its verified members stay.
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self.folder) as temporary:
            path = download.fetch_url(source.url(item), Path(temporary), item)
            with open(path, "rb") as file:
                yield file


def _generate(wanted: DataSet, data_dir: Path) -> str:
    """Complete a generated set; generate it again if its generator's version or its digests differ."""
    generator, name = importlib.import_module(f"onepage.data.{wanted.generator}"), wanted.name
    path, version = data_dir / name / wanted.ready, generator.VERSION
    if ready.is_complete(path, version=version):
        _say(f"{name}: complete in {path.parent} (generated)")
        return name
    with locked(data_dir, name, _say) as folder:
        if not ready.is_complete(path, version=version):
            started, size = time.monotonic(), generator.DISK_BYTES
            check_space(folder, size)
            ready.write(path, name, f"generated, version {version}", generator.write(folder), version)
            seconds = time.monotonic() - started
            _say(f"{name}: generated in {seconds:.1f} s ({megabytes(size)}); in {folder}")
    return name


def _key(wanted: DataSet) -> str:
    """The set's name, with its pair where it has one: "cifar10", "multi30k-en-de"."""
    return "-".join((wanted.name, *wanted.options.values()))


def _say(text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False)
