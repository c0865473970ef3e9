"""Synthetic runs with their page, kept as a reference result by the command, for the tests of reference results."""

import hashlib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import synthetic_data
import synthetic_page
from checkout import REPOSITORY
from edits import edit
from onepage.commands.main import main
from onepage.verification import pictures, reference
from onepage.verification.claims import load_claims

CLAIMS_FILE = REPOSITORY / "report" / "claims.toml"
CLAIMS = load_claims(CLAIMS_FILE)
Case = tuple[Path, Path, Path]  # out, cls run, mt run


def prepare(page: Case, patch: pytest.MonkeyPatch) -> None:
    """Data that match the runs, ablations, and small pictures."""
    synthetic_data.pretend(patch, *page[1:])
    synthetic_page.ablations(*page[1:])
    patch.setattr(pictures, "DPI", 20)


def run(command: str, case: Case, *more: str) -> Result:
    places = [*case[1:], "--out", case[0], "--claims", CLAIMS_FILE]
    first = more if command == "reference" else ()  # its name
    return CliRunner().invoke(main, [command, *first, *map(str, places), *(more if not first else ())])


def written(case: Case, name: str = "two-cores") -> Path:
    result = run("reference", case, name)
    assert result.exit_code == 0, result.output
    return case[0] / "report/reference" / name


def resign(folder: Path) -> None:
    """Update the manifest to match the files, as a careful forger would."""
    files = {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in reference._files(folder)}
    edit(folder / "manifest.json", lambda m: m.update(files=files))
