"""Data sets: their sources and digests, fetching, loading, and the generated stand-ins.

sources (the table of sets) -> fetch (with download, archive, ready, folder) -> data/<set>/ -> images, translation (the
loaders). toy_images and toy_translation generate the stand-ins.
"""

import importlib
from pathlib import Path
from typing import Any


def load(data_dir: Path, name: str, src: str = "en", tgt: str = "de") -> Any:
    """Load any set from ``data_dir``: an ImageSet or a TranslationSet.

    Raises UserError if it is missing, incomplete or corrupt.
    """
    from onepage.data import sources

    found = sources.get(name, src, tgt)
    module, function = found.loader.split(".")
    return getattr(importlib.import_module(f"onepage.data.{module}"), function)(data_dir, name, **found.options)
