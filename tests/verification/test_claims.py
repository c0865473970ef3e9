"""The claims of report/claims.toml on this machine's trained runs; `make test` sets where they are."""

import os
from pathlib import Path

import pytest

from onepage.verification import verify

REPOSITORY = Path(__file__).resolve().parents[2]
FILE = REPOSITORY / "report" / "claims.toml"


def places():
    """Where make test says that output, data and the two runs lie."""
    named = [os.environ.get(f"CLAIMED_{name}") for name in ("OUT", "DATA", "CLS_RUN", "MT_RUN")]
    if not all(named):
        pytest.skip("no trained runs named; make test names them")
    return [Path(name) for name in named]


@pytest.mark.claims
@pytest.mark.parametrize("claim", verify.load_claims(FILE), ids=lambda claim: claim.id)
def test_claim_holds(claim):
    out, data, cls_run, mt_run = places()
    (result,) = verify.check([claim], out, data, cls_run, mt_run)
    if result.state == verify.NOT_CHECKED and os.environ.get("STRICT") != "1":
        pytest.skip(f"NOT CHECKED: {result.reason}")
    assert result.state == verify.PASS, f"{result.state}: {result.reason}"


@pytest.mark.claims
@pytest.mark.parametrize("claim", verify.load_claims(FILE, "stand_in"), ids=lambda claim: claim.id)
def test_floor_of_a_generated_set_holds_where_it_was_trained_on(claim):
    out, data, cls_run, mt_run = places()
    if claim not in verify.stand_ins(FILE, [cls_run, mt_run]):
        pytest.skip(f"not trained on {claim.set}")
    (result,) = verify.check([claim], out, data, cls_run, mt_run)
    assert result.state == verify.PASS, f"{result.state}: {result.reason}"
