"""The file that ``make export`` writes: a model's weights in safetensors and, in their metadata, its metrics.json.

metrics.json repeats run.json, so the file describes its model as fully as a run folder. The metadata has one entry:
JSON with the text of metrics.json and a digest over it and the tensors.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from onepage.errors import UserError
from onepage.runs.fingerprint import sha256_of

ENTRY = "onepage"


class Exported(NamedTuple):
    """The metadata of a file."""

    metrics: Any
    metrics_sha256: str
    digest: str


def metadata(text: str, weights_digest: str) -> dict[str, str]:
    """The metadata of a file with this text of metrics.json, and tensors of this digest."""
    return {ENTRY: json.dumps({"metrics": text, "digest": digest_of(_sha256(text), weights_digest)})}


def digest_of(metrics_sha256: str, weights_digest: str) -> str:
    """The digest of a file's whole content."""
    return sha256_of({"metrics": metrics_sha256, "weights": weights_digest})


def read(path: Path) -> Exported:
    """The metadata of a file; raises UserError for one that is cut off, or that ``make export`` did not write."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            found = json.loads((file.metadata() or {})[ENTRY])
        return Exported(json.loads(found["metrics"]), _sha256(found["metrics"]), str(found["digest"]))
    except (OSError, SafetensorError, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error!s:.80}"
        raise UserError(f"{path} is not a complete file from make export ({reason}); copy or export it again") from None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
