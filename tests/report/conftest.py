"""Runs to make pages of: on real data, on generated data, and a copy to break."""

import shutil
from pathlib import Path

import pytest

from page_cases import Case, write_case


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return write_case(tmp_path_factory.mktemp("generated"), generated=True)


@pytest.fixture
def fresh(tmp_path: Path, real: Case) -> Case:
    """A copy to break."""
    out = tmp_path / "out"
    shutil.copytree(real[0], out)
    return out, out / real[1].relative_to(real[0]), out / real[2].relative_to(real[0])
