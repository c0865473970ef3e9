"""Getting a data set onto the disk, complete and verified: ``make data``.

In this order: what is in ``data/<set>/`` already; ``DATA_MIRROR`` (a folder or a URL prefix); the public sources of
sources.py, those that answer a probe of at most 20 s. With DATA=auto the generated stand-in follows where none of
these serves; DATA=real fails instead; DATA=generated asks for the stand-in. Members are verified and written one by
one, the ready file last, so an interrupted fetch leaves nothing that is trusted and nothing to fetch twice.
"""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from onepage.data import archive, download, ready, sources, toy_images, toy_translation
from onepage.data.archive import SourceError
from onepage.data.download import megabytes
from onepage.data.places import TEMPORARY, Source, check_space, locked, mirror_sources, public_sources
from onepage.errors import UserError

PROBE_SECONDS = 20.0  # for all probing of one set together
_TOYS = {"cls": toy_images, "mt": toy_translation}


@dataclass(frozen=True)
class SourceStatus:
    """Where a set could come from. ``state``: "cached", "mirror", "reachable" or "not reachable"."""

    name: str
    where: str
    state: str
    detail: str


@dataclass
class _Attempt:
    """One try at a real set: which members are still missing, who served, and what went wrong where."""

    plan: sources.RealSet
    folder: Path
    console: Console
    missing: list[str]
    served: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def say(self, text: str, style: str | None = None) -> None:
        _say(self.console, f"{_label(self.plan)}: {text}", style)

    def fail(self, source: Source, why: str) -> None:
        """Keep the first thing that went wrong with a source: it goes into the message if nothing serves."""
        self.failures.setdefault(source.name, why)


def check_settings(task: str, mode: str, src: str, tgt: str) -> None:
    """Raise UserError for settings that ``ensure`` cannot use."""
    if mode not in ("auto", "real", "generated"):
        raise UserError(f"DATA={mode} is not known; choose auto, real or generated")
    if task not in sources.REAL_SET:
        raise UserError(f"{task} is not a task; choose cls or mt")
    if task == "mt":
        sources.check_languages(src, tgt)


def ensure(
    task: str, data_dir: Path, mode: str = "auto", mirror: str | None = None, src: str = "en", tgt: str = "de"
) -> str:
    """Make the set of ``task`` ("cls" or "mt") complete below ``data_dir``; returns the set's name.

    ``mode``: "auto", "real" or "generated"; ``mirror``: a folder or a URL prefix. Prints what it does.
    Raises UserError on a bad setting, a full disk, and, with mode "real", when no source serves the set.
    """
    data_dir = Path(data_dir)
    check_settings(task, mode, src, tgt)
    console = Console(highlight=False, soft_wrap=True)
    if mode == "generated":
        return _ensure_generated(task, data_dir, console)

    plan = sources.real_set(task, src, tgt)
    if ready.is_complete(data_dir / plan.name / plan.ready, plan.digests):
        _say(console, f"{_label(plan)}: complete in {data_dir / plan.name}")
        return plan.name
    with locked(data_dir, plan.name, lambda text: _say(console, text)) as folder:
        failures = _fetch(plan, folder, mirror, console)
    if failures is None:
        return plan.name
    tried = "; ".join(f"{name}: {why}" for name, why in failures.items())
    if mode == "real":
        raise UserError(
            f"no source serves {_label(plan)} (tried {tried}); set DATA_MIRROR to a folder or URL that holds "
            f"{plan.downloads[0].path}, or DATA=generated for the stand-in"
        )
    stand_in = sources.GENERATED_SET[task]
    _say(console, f"{_label(plan)}: no source serves it (tried {tried})", "yellow")
    _say(console, f"*** GENERATED STAND-IN: {stand_in} takes the place of {plan.name} ***", "bold yellow")
    return _ensure_generated(task, data_dir, console)


def source_status(
    task: str,
    data_dir: Path,
    mirror: str | None = None,
    src: str = "en",
    tgt: str = "de",
    timeout: float = PROBE_SECONDS,
) -> list[SourceStatus]:
    """Every place the real set of ``task`` could come from, in the order ``ensure`` takes them; fetches nothing.

    Asks all addresses at once, for one file of the set each, ``timeout`` seconds in all.
    """
    plan = sources.real_set(task, src, tgt)
    folder = Path(data_dir) / plan.name
    complete = ready.is_complete(folder / plan.ready, plan.digests)
    detail = f"{_label(plan)} complete, {megabytes(plan.size)}" if complete else f"{_label(plan)} is not there"
    result = [SourceStatus("data folder", str(folder), "cached" if complete else "not reachable", detail)]
    candidates = mirror_sources(mirror) + public_sources(plan)
    first = plan.downloads[0]
    answers = download.probe({source.name: source.url(first) for source in candidates if not source.folder}, timeout)
    for source in candidates:
        why = source.lacks(plan) if source.folder else answers[source.name]
        state = "not reachable" if why else "mirror" if source.name == "DATA_MIRROR" else "reachable"
        where = source.where if source.folder else source.url(first)
        result.append(SourceStatus(source.name, where, state, why or f"serves {first.path}"))
    return result


def _fetch(plan: sources.RealSet, folder: Path, mirror: str | None, console: Console) -> dict[str, str] | None:
    """Fetch what is missing from the first sources that serve it; None when complete, else what failed where."""
    bad, _ = ready.damaged(folder, plan.digests, None)
    attempt = _Attempt(plan, folder, console, bad)
    damaged = [name for name in bad if (folder / name).exists()]
    if damaged:
        attempt.say(f"{', '.join(damaged)} damaged in {folder}; fetched again", "yellow")

    if attempt.missing:
        for source in mirror_sources(mirror):
            if source.folder:
                why = source.lacks(plan)
            else:
                why = download.probe({"": source.url(plan.downloads[0])}, PROBE_SECONDS / 2)[""]
            if why:
                attempt.say(f"DATA_MIRROR {mirror}: {why}", "yellow")
                attempt.fail(source, why)
            if source.folder or not why:  # a folder that lacks some of the files still serves the others
                _take_all(attempt, source)
    public = public_sources(plan)
    if attempt.missing and public:
        attempt.say(f"asking {', '.join(source.name for source in public)}")
        limit = PROBE_SECONDS / 2 if mirror else PROBE_SECONDS
        answers = download.probe({source.name: source.url(plan.downloads[0]) for source in public}, limit)
        for source in public:
            if answers[source.name]:
                attempt.fail(source, answers[source.name])
            elif attempt.missing:
                _take_all(attempt, source)
    if attempt.missing:
        return attempt.failures
    served = ", ".join(attempt.served) or "verified in place"
    ready.write(folder / plan.ready, plan.name, served, plan.digests)
    attempt.say(f"{len(plan.members)} files, {megabytes(plan.size)}, every digest agrees; in {folder}")
    return None


def _take_all(attempt: _Attempt, source: Source) -> None:
    """Take from one source all it serves of what is missing."""
    lacking = [item for item in attempt.plan.downloads if any(m.name in attempt.missing for m in item.members)]
    wanted = [item for item in lacking if source.holds(item)]
    if not wanted:
        return
    size = sum(item.size for item in wanted)
    unpacked = sum(member.size for item in wanted for member in item.members)
    check_space(attempt.folder, unpacked + (0 if source.folder else max(item.size for item in wanted)))
    what = wanted[0].path if len(wanted) == 1 else f"{len(wanted)} files"
    how = "reading" if source.folder else "downloading"
    attempt.say(f"{how} {what} ({megabytes(size)}; {megabytes(unpacked)} unpacked) from {source.where}")
    started, taken = time.monotonic(), 0
    for item in wanted:
        try:
            _take(attempt, source, item)
            taken += item.size
        except SourceError as error:
            attempt.say(f"{source.name}: {error}", "yellow")
            attempt.fail(source, str(error))
            if error.lost:
                break
    if taken:
        seconds = max(time.monotonic() - started, 1e-3)
        attempt.served.append(source.where)
        attempt.say(f"{megabytes(taken)} in {seconds:.1f} s ({megabytes(taken / seconds)}/s)")


def _take(attempt: _Attempt, source: Source, item: sources.Download) -> None:
    """Take one download from one source: what it holds of the missing members is written once verified.

    Raises SourceError when something is then still missing.
    """
    wanted = [member for member in item.members if member.name in attempt.missing]
    try:
        if source.folder:
            try:
                file = open(source.folder / item.path, "rb")  # noqa: SIM115 (closed by the with below)
            except OSError as error:
                raise SourceError(f"{item.path}: {error.strerror or error}") from error
            with file:
                archive.unpack(file, item, wanted, attempt.folder)
        else:
            # The archive is gone with this folder, whatever happens; only its verified members stay.
            with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=attempt.folder) as temporary:
                path = download.fetch_url(source.url(item), Path(temporary), item, attempt.console)
                with open(path, "rb") as file:
                    archive.unpack(file, item, wanted, attempt.folder)
    finally:
        bad, _ = ready.damaged(attempt.folder, {member.name: member.sha256 for member in wanted}, None)
        served = {member.name for member in wanted} - set(bad)
        attempt.missing = [name for name in attempt.missing if name not in served]


def _ensure_generated(task: str, data_dir: Path, console: Console) -> str:
    """The generated stand-in of ``task``, made again when its generator's version or its digests differ."""
    toy, name = _TOYS[task], sources.GENERATED_SET[task]
    path = data_dir / name / sources.ready_name(name)
    if ready.is_complete(path, version=toy.VERSION):
        _say(console, f"{name}: complete in {path.parent} (generated)")
        return name
    with locked(data_dir, name, lambda text: _say(console, text)) as folder:
        if not ready.is_complete(path, version=toy.VERSION):
            started = time.monotonic()
            check_space(folder, toy.DISK_BYTES)
            ready.write(path, name, f"generated, version {toy.VERSION}", toy.write(folder), toy.VERSION)
            seconds = time.monotonic() - started
            _say(console, f"{name}: generated in {seconds:.1f} s ({megabytes(toy.DISK_BYTES)}); in {folder}")
    return name


def _label(plan: sources.RealSet) -> str:
    """The set's name, with its pair where it has one: "cifar10", "multi30k-en-de"."""
    return plan.name + plan.ready.removeprefix("ready").removesuffix(".json")


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False)
