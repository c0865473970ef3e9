"""The short form of where a result comes from: one line that every picture and the page carry in their metadata.

Written here when a picture is drawn or the page is set, read back here by ``tracing``. It names the run by its
path under runs/ and by the digest of the metrics shown; the rest is for a reader who has the file alone. Standard
library only.
"""

import re
from collections.abc import Mapping
from typing import Any

NOT_RECORDED = "not recorded"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RUN = re.compile(r"(cls|mt)/(?!\.)[^/\0]+/(?!\.)[^/\0]+/seed\d+")  # what ``label`` gives: no part begins with a dot


def label(metrics: Mapping[str, Any]) -> str:
    """The run as its path under runs/ names it: ``mt/multi30k-en-de/quick/seed0``."""
    languages = f"-{metrics['src']}-{metrics['tgt']}" if metrics["task"] == "mt" else ""
    return f"{metrics['task']}/{metrics['set']}{languages}/{metrics['profile']}/seed{metrics['seed']}"


def processor(metrics: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    """The model of the GPU or CPU that trained, as provenance.json has it."""
    host = provenance.get("host") or {}
    name = host.get("gpu") if metrics["device"] != "cpu" and host.get("gpu") else host.get("cpu")
    return str(name or NOT_RECORDED)


def short_form(metrics: Mapping[str, Any], digest: str, provenance: Mapping[str, Any]) -> str:
    """One line of fields ``name value`` with "; " between them.

    ``digest`` is the SHA-256 of metrics.json; it stands in full, recipe and data with their first twelve digits.
    """
    versions = ", ".join(f"{name} {version}" for name, version in sorted(metrics["versions"].items()))
    fields = [
        f"run {label(metrics)}",
        f"commit {metrics['commit'] or 'unknown'}{' (with local changes)' if metrics['dirty'] else ''}",
        f"recipe {metrics['recipe_hash'][:12]}",
        f"data {metrics['data_digest'][:12]}",
        f"seed {metrics['seed']}",
        f"metrics {digest}",
        f"hardware {processor(metrics, provenance).replace(';', ',')}",
        f"arithmetic {metrics['device']} {metrics['precision']} {metrics['threads']} threads"
        + (f" {metrics['processes']} processes" if metrics.get("processes") else ""),
        f"versions {versions}",
    ]
    return "; ".join(fields + (["generated data"] if metrics["generated"] else []))


def parse(text: str) -> list[dict[str, str]]:
    """The fields of each short form in ``text``, {name: value}; [] where there is none.

    A page holds one for each task, joined by "; ": each begins with its field ``run``. One whose run or digest does not
    have the form of ours is none: a name out of a file becomes a path below runs/, and must not lead elsewhere.
    """
    found: list[dict[str, str]] = []
    for field in text.split("; "):
        name, _, value = field.partition(" ")
        if name == "run":
            found.append({})
        if found:
            found[-1][name] = value
    return [
        fields for fields in found if _RUN.fullmatch(fields["run"]) and _DIGEST.fullmatch(fields.get("metrics", ""))
    ]
