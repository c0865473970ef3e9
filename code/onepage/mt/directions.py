"""Every direction of translation that was trained under a page's profile, as one table for the Markdown.

Rows come from the metrics.json files that lie beside the page's own run, and from nothing else. Standard library only.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage.errors import UserError
from onepage.files import read_json
from onepage.runs import provenance
from onepage.runs.words import NONE, interval, number


def table(run: Path, metrics: Mapping[str, Any], page: Mapping[str, Any]) -> list[list[str]]:
    """A row for each test set of each direction and seed: the page's direction first, then by name; seeds ascending.

    ``run`` is the page's translation run, ``metrics`` its metrics.json, ``page`` page.toml. [] where no other direction
    has been evaluated, or the page's own data is generated.
    """
    own = (metrics["src"], metrics["tgt"])
    found = _evaluated(run, metrics)
    if metrics["generated"] or all((other["src"], other["tgt"]) == own for other in found):
        return []
    found.sort(key=lambda other: ((other["src"], other["tgt"]) != own, other["src"], other["tgt"], other["seed"]))
    return [_row(other, name, test, page) for other in found for name, test in other["tests"].items()]


def _evaluated(run: Path, metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """metrics.json of ``run`` and of all runs on the same real set and profile: runs/mt/<set>-<src>-<tgt>/<profile>/.

    One that cannot be read, lacks a score, or lies where another run belongs, is passed over.
    """
    found: list[Mapping[str, Any]] = [metrics]
    for path in sorted(run.resolve().parents[2].glob(f"*/{metrics['profile']}/seed*/metrics.json")):
        if path.parent == run.resolve():
            continue
        try:
            other = read_json(path)
            place = "/".join(("mt", *path.parent.parts[-3:]))
            if other["generated"] or other["set"] != metrics["set"] or provenance.label(other) != place:
                continue
            for name, test in other["tests"].items():
                _row(other, name, test, {})
        except (UserError, KeyError, TypeError, ValueError, AttributeError, IndexError):
            continue
        found.append(other)
    return found


def _row(metrics: Mapping[str, Any], name: str, test: Mapping[str, Any], page: Mapping[str, Any]) -> list[str]:
    """Direction, seed, test set, n, BLEU, its 95 % interval, chrF2, TER, lc.norm.tok."""
    names = page.get("languages", {})
    direction = " → ".join(names.get(metrics[side], metrics[side]) for side in ("src", "tgt"))
    others = [number(test[key]["score"], 1) if test.get(key) else NONE for key in ("ter", "bleu_lc_norm_tok")]
    return [
        direction,
        str(metrics["seed"]),
        page.get("tests", {}).get(name, name),
        number(test["n"]),
        number(test["bleu"]["score"], 1),
        interval(test["bleu"]["interval"], 1),
        number(test["chrf2"]["score"], 1),
        *others,
    ]
