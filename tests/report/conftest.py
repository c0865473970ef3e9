"""Runs for pages: on real data, on generated data, and a copy that a test may damage."""

from pathlib import Path

import pytest

import synthetic_run
from onepage.runs import seeds
from page_cases import Case, elsewhere, write_case


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("generated"), generated=True)


@pytest.fixture
def fresh(tmp_path: Path, real: Case) -> Case:
    """A copy that a test may damage."""
    return elsewhere(real, tmp_path / "out")


@pytest.fixture(scope="session")
def three(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Three seeds of cls and one of mt; the page shows seed 0."""
    case = write_case(tmp_path_factory.mktemp("three"))
    for seed in (1, 2):
        synthetic_run.write_cls_run(case[1].parent / f"seed{seed}", seed=seed, error_rate=0.12 + seed / 100)
    for run in case[1:]:
        seeds.write(run)
    return case
