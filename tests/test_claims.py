"""The claims of report/claims.toml on this machine's trained runs; `make test` sets where they are."""

import os
from pathlib import Path

import pytest

from onepage import verify

REPOSITORY = Path(__file__).resolve().parents[1]
CLAIMS = verify.load_claims(REPOSITORY / "report" / "claims.toml")


@pytest.mark.claims
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_claim_holds(claim):
    place = {name: os.environ.get(f"CLAIMED_{name}") for name in ("OUT", "DATA", "CLS_RUN", "MT_RUN")}
    if not all(place.values()):
        pytest.skip("no trained runs named; make test names them")
    out, data, cls_run, mt_run = (Path(place[name]) for name in ("OUT", "DATA", "CLS_RUN", "MT_RUN"))
    (result,) = verify.check([claim], out, data, cls_run, mt_run)
    if result.state == verify.NOT_CHECKED and os.environ.get("STRICT") != "1":
        pytest.skip(f"NOT CHECKED: {result.reason}")
    assert result.state == verify.PASS, f"{result.state}: {result.reason}"
