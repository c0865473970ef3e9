"""Two runs with pictures and a page, a reference result of them, and copies that tests may break."""

import shutil
from pathlib import Path

import pytest

import synthetic_page
from reference_case import Case, prepare, written


@pytest.fixture(scope="session")
def written_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return synthetic_page.write(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(written_page: tuple[Path, Path, Path], tmp_path: Path) -> tuple[Path, Path, Path]:
    """(out, cls run, mt run): a copy that the test may break."""
    made, cls_run, mt_run = written_page
    out = Path(shutil.copytree(made, tmp_path / "out"))
    return out, out / cls_run.relative_to(made), out / mt_run.relative_to(made)


@pytest.fixture
def case(page: Case, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Runs and a page that the test may change, and data that matches the runs."""
    prepare(page, monkeypatch)
    return page


@pytest.fixture(scope="module")
def kept(written_page: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference result of such runs; tests copy it."""
    made, *runs = written_page
    out = Path(shutil.copytree(made, tmp_path_factory.mktemp("kept") / "out"))
    case = (out, *(out / run.relative_to(made) for run in runs))
    with pytest.MonkeyPatch.context() as patch:
        prepare(case, patch)
        return written(case)


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Path:
    """A reference result that the test may change."""
    return Path(shutil.copytree(kept, tmp_path / kept.name))
