"""What of report/claims.toml a reference result contradicts."""

import json
from collections.abc import Sequence
from pathlib import Path

from onepage.verification import comparison, reference
from onepage.verification.claims import PASS, Claim, at, is_number


def unclaimed(folder: Path, claims: Sequence[Claim]) -> list[str]:
    """Contradictions between a result and the claims of its tasks, or their ``references``."""
    wrong = []
    rows = {row["id"]: row for row in json.loads((folder / "claims.json").read_text(encoding="utf-8"))}
    for claim in claims:
        if not (folder / claim.task).is_dir():
            continue
        files = (folder / claim.task / name for name in ("metrics.json", "seeds.json"))
        metrics, seeds = (json.loads(file.read_text(encoding="utf-8")) for file in files)
        row, value = rows.get(claim.id), at(metrics, claim.metric)
        if row is None or row["state"] != PASS:
            wrong.append(f"claim {claim.id} is not PASS in claims.json")
        elif not is_number(value) or not abs(value - row["measured"]) <= comparison.NOISE:
            wrong.append(f"claims.json and metrics.json differ in {claim.id}")
        elif not value >= claim.minimum:
            wrong.append(f"{claim.id} is below what is claimed: {claim.show(value)}")
        elif row["minimum"] != claim.minimum or row["text"] != claim.text:
            wrong.append(f"claims.json has an older form of {claim.id}; write the result again: make reference")
        for named in claim.references:
            if named.result == folder.name and (named.value, named.band) != comparison.claimed(claim, metrics, seeds):
                wrong.append(f"claim {claim.id} has another reference than this: {reference.toml(claim, folder)}")
    return wrong
