"""Two runs with pictures and a page, and a copy that tests may break."""

import shutil
from pathlib import Path

import pytest

import synthetic_page


@pytest.fixture(scope="session")
def written_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return synthetic_page.write(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(written_page: tuple[Path, Path, Path], tmp_path: Path) -> tuple[Path, Path, Path]:
    """(out, cls run, mt run): a copy that the test may break."""
    made, cls_run, mt_run = written_page
    out = Path(shutil.copytree(made, tmp_path / "out"))
    return out, out / cls_run.relative_to(made), out / mt_run.relative_to(made)
