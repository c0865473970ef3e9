"""Data sets: their sources and digests, fetching, loading, and the generated stand-ins.

sources (the table of sets) -> fetch (with download, archive, ready, folder) -> data/<set>/ -> images, translation (the
loaders). toy_images and toy_translation generate the stand-ins.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onepage.errors import UserError


def load(data_dir: Path, name: str, src: str = "en", tgt: str = "de") -> Any:
    """Load any set from ``data_dir``: an ImageSet or a TranslationSet.

    Raises UserError if it is missing, incomplete or corrupt.
    """
    from onepage.data import sources

    found = sources.get(name, src, tgt)
    module, function = found.loader.split(".")
    return getattr(importlib.import_module(f"onepage.data.{module}"), function)(data_dir, name, **found.options)


def of_plan(plan: Mapping[str, Any], role: str = "the plan", remedy: str = "restore it, or run: make data") -> Any:
    """Load the set that a plan or run.json names.

    Raises UserError, which names the ``remedy`` and whose data is expected (``role``), if it is another one.
    """
    found = load(Path(plan["data_dir"]), plan["set"], plan.get("src", "en"), plan.get("tgt", "de"))
    here, expected = found.digest, plan["data_digest"]
    if here != expected:
        raise UserError(
            f"the data on disk (digest {here[:12]}) is not the data of {role} (digest {expected[:12]}); {remedy}"
        )
    return found
