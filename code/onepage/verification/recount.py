"""The scores of a run counted again from its predictions.npz and from digest-checked data.

The task's module ``recount`` counts; here its arrays are read. Neither reads a score from metrics.json or uses the code
that computed them; ``verify`` compares.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onepage import tasks
from onepage.tasks import Recount


def recount(task: str, metrics: Mapping[str, Any], predictions: Path, data_dir: Path) -> Recount:
    """The scores of the run of ``task`` that ``metrics`` names.

    Raises UserError where the data is not here or damaged, ValueError for predictions that cannot be read.
    """
    found: Recount = tasks.get(task).module("recount").recount(metrics, data_dir, _arrays(predictions))
    return found


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz, without pickle."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(str(error)) from error
