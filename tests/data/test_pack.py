"""The data of `make bundle`: the bundle serves as a mirror, and contains only files with the right digest."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from data_fakes import fill
from onepage.commands import bundle
from onepage.data import fetch, pack, sources
from onepage.errors import UserError

pytestmark = pytest.mark.usefixtures("small_toys")


@pytest.fixture
def mirror(tmp_path: Path, cifar_archive: bytes, multi30k_files: dict[str, bytes]) -> Path:
    return fill(tmp_path / "mirror", {sources.CIFAR10_ARCHIVE: cifar_archive, **multi30k_files})


def packed(tmp_path: Path, *arguments: object) -> tuple[Path, str]:
    """Run the command with a new folder; returns that folder, and what was printed."""
    folder = tmp_path / "bundle"
    words = ["--to", folder, f"DATA_DIR={tmp_path / 'data'}", *arguments]
    result = CliRunner().invoke(bundle.pack, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_what_is_packed_serves_as_a_mirror(tmp_path: Path, mirror: Path) -> None:
    folder, said = packed(tmp_path, f"DATA_MIRROR={mirror}", "SRC=de", "TGT=fr")
    for name in ("cifar10", "multi30k"):
        assert fetch.ensure(name, tmp_path / "there", "real", str(folder), "de", "fr") == name
        for member in sources.get(name, "de", "fr").members:
            there, here = (tmp_path / where / name / member.name for where in ("there", "data"))
            assert there.read_bytes() == here.read_bytes()
    assert "make all BUNDLE=" in said and "non-commercial" in said


def test_packing_again_gives_the_same_bytes(tmp_path: Path, mirror: Path) -> None:
    def contents() -> dict[str, bytes]:
        folder, _ = packed(tmp_path, f"DATA_MIRROR={mirror}")
        return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    first = contents()
    assert len(first) == 1 + 10 + 3  # CIFAR-10, five splits in two languages, three references
    assert contents() == first


def test_generated_data_need_no_packing(tmp_path: Path) -> None:
    folder, said = packed(tmp_path, "DATA=generated")
    assert not folder.exists() and "non-commercial" not in said


@pytest.mark.fault("a data file damaged since it was fetched, in make bundle", "`... is corrupt ...`; it is not packed")
def test_what_lacks_its_digest_is_not_packed(tmp_path: Path, mirror: Path) -> None:
    fetch.ensure("cifar10", tmp_path / "data", "real", str(mirror))
    member = tmp_path / "data/cifar10/test_batch"
    content = bytearray(member.read_bytes())
    content[-20] ^= 1
    member.write_bytes(content)
    with pytest.raises(UserError, match="test_batch is corrupt"):
        pack.pack(sources.get("cifar10"), tmp_path / "data", tmp_path / "bundle", print)
    assert not list((tmp_path / "bundle").iterdir())
