"""Pictures and page name their run. Checks fail if it has changed, is missing, or is another run."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

import synthetic_run
from edits import edit, touch
from onepage.commands.main import main
from onepage.errors import UserError
from onepage.verification import provenance as checked

Case = tuple[Path, Path, Path]  # out, cls run, mt run


def rewrite(
    picture: Path, text: Callable[[str], str], pixels: Callable[[Image.Image], Image.Image] = lambda image: image
) -> None:
    """Save a PNG again with another short form, or other pixels."""
    with Image.open(picture) as image:
        about = PngImagePlugin.PngInfo()
        about.add_itxt("Source", text(image.text["Source"]))  # type: ignore[attr-defined]
        pixels(image).save(picture, pnginfo=about)


def states(page: Case) -> dict[str, str]:
    return {row.id: row.state for row in checked.check_files(page[0], page[1:])}


def reasons(page: Case) -> str:
    return " ".join(row.reason for row in checked.check_files(page[0], page[1:]) if row.state == "FAIL")


def provenance(page: Case, file: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["provenance", str(page[0] / file), "--out", str(page[0])])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "file", ["figures/cls/one.png", "figures/cls/one.pdf", "figures/mt/one.png", "report/report.pdf"]
)
def test_file_prints_its_provenance_and_matches(file: str, page: Case) -> None:
    code, output = provenance(page, file)
    assert code == 0
    run = "mt/multi30k-en-de/quick/seed0" if "cls" not in file else "cls/cifar10/quick/seed0"
    assert f"run        {run}" in output and "commit" in output and "hardware   Example CPU" in output
    matches = output.splitlines()[-1]
    assert matches.startswith("matches ") and matches.endswith(" on disk") and run in matches


@pytest.mark.fault("a picture or page whose run has changed", "it no longer matches, exit status 1")
@pytest.mark.parametrize("file", ["figures/cls/one.png", "figures/cls/one.pdf", "report/report.pdf"])
def test_file_of_a_changed_run_does_not_match(file: str, page: Case) -> None:
    touch(page[1] / "metrics.json")
    code, output = provenance(page, file)
    assert code == 1 and "cls/cifar10/quick/seed0 has other numbers now" in output
    assert "run        cls/cifar10/quick/seed0" in output  # it is still printed
    assert states(page) == {"cls-figures": "FAIL", "mt-figures": "PASS", "page": "FAIL"}
    assert "run: make cls" in reasons(page)


def test_file_of_a_missing_run_does_not_match(page: Case) -> None:
    shutil.rmtree(page[2])
    code, output = provenance(page, "figures/mt/one.pdf")
    assert code == 1 and "mt/multi30k-en-de/quick/seed0 is not among the runs" in output
    assert states(page) == {"cls-figures": "PASS", "mt-figures": "FAIL", "page": "FAIL"}


def test_pictures_may_be_of_another_run_on_disk(page: Case) -> None:
    other = synthetic_run.write_cls_run(page[0] / "runs/cls/cifar10/quick/seed1", seed=1)
    assert {row.id: row.state for row in checked.check_files(page[0], [other, page[2]])}["cls-figures"] == "PASS"


def test_run_elsewhere_is_found_where_it_is_given(page: Case, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(page[1], moved)
    assert {row.state for row in checked.check_files(page[0], [moved, page[2]])} == {"PASS"}
    assert states(page)["cls-figures"] == "FAIL"


@pytest.mark.fault("an edited picture", "make verify fails")
@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_edited_picture_is_found(kind: str, page: Case) -> None:
    picture = page[0] / f"figures/cls/one.{kind}"
    if kind == "png":
        rewrite(picture, lambda text: text, lambda image: image.point(lambda value: value // 2))
    else:
        picture.write_bytes(picture.read_bytes() + b"% edited\n")
    code, output = provenance(page, f"figures/cls/one.{kind}")
    assert code == 1 and "its bytes are not those that were written" in output
    assert states(page)["cls-figures"] == "FAIL"


@pytest.mark.fault("a picture that claims another run", "make verify fails")
def test_picture_that_claims_another_run_is_found(page: Case) -> None:
    """Even with a matching figures.json, the provenance in the picture decides."""
    picture = page[0] / "figures/cls/one.png"
    rewrite(picture, lambda text: text.replace("seed0", "seed7"))
    digest = checked.sha256_file(picture)
    edit(picture.parent / "figures.json", lambda listed: listed["figures"][0].update(sha256_png=digest))
    assert "cls/cifar10/quick/seed7 is not among the runs" in reasons(page)


def test_picture_missing_or_without_provenance_fails(page: Case) -> None:
    """A picture of the user's that is not listed does not fail."""
    folder = page[0] / "figures/mt"
    Image.new("RGB", (2, 2)).save(folder / "mine.png")
    (folder / "broken.png").write_bytes(b"not a picture")
    assert states(page)["mt-figures"] == "PASS"
    Image.new("RGB", (2, 2)).save(folder / "one.png")
    assert "figures/mt/one.png: names no run" in reasons(page)
    (folder / "one.png").unlink()
    assert "figures/mt/one.png: is missing" in reasons(page)


def test_stray_picture_of_another_run_is_found(page: Case) -> None:
    shutil.copy(page[0] / "figures/cls/one.png", page[0] / "figures/cls/stray.png")
    assert states(page)["cls-figures"] == "PASS"
    touch(page[1] / "metrics.json")
    for name in ("figures.json", "one.png", "one.pdf"):
        (page[0] / "figures/cls" / name).unlink()
    assert "figures/cls/stray.png: " in reasons(page)


@pytest.mark.fault("an edited page", "make verify fails")
def test_edited_page_is_found(page: Case) -> None:
    path = page[0] / "report/report.md"
    path.write_text(path.read_text().replace("87", "97"))
    assert "report/report.md: its bytes are not those that were written" in reasons(page)


def test_nothing_drawn_is_nothing_to_check(page: Case, tmp_path: Path) -> None:
    assert checked.check_files(tmp_path / "none", page[1:]) == []


def blank_pdf(path: Path) -> None:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(9, 9)
    writer.add_metadata({"/Subject": "a cat; run away; metrics none"})
    writer.write(path)


def truncated_png(path: Path) -> None:
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("cat.png", lambda path: Image.new("RGB", (2, 2)).save(path), "does not say where it comes from"),
        ("cat.pdf", blank_pdf, "does not say where it comes from"),
        ("cat.txt", lambda path: path.write_text("run x"), "is neither PNG nor PDF"),
        ("cut.png", truncated_png, "is damaged"),
        ("cut.pdf", lambda path: path.write_bytes(b"%PDF-1.7\nnothing"), "is damaged"),
        ("none.png", lambda path: None, "cannot be read (No such file or directory)"),
        ("dir.png", lambda path: path.mkdir(), "cannot be read"),
    ],
)
def test_file_of_another_program_gets_one_line(name: str, write, says: str, tmp_path: Path) -> None:
    write(tmp_path / name)
    result = CliRunner().invoke(main, ["provenance", str(tmp_path / name), "--out", str(tmp_path)])
    assert result.exit_code == 1 and says in result.output and result.output.count("\n") == 1


@pytest.mark.fault("a picture naming a run outside the folder", "nothing is read there")
@pytest.mark.parametrize("name", ["../../../etc", "/etc", "cls/../../seed0", "cls/a/b/seed0/..", "cls/a\0/b/seed0", ""])
def test_hostile_name_of_a_run_reads_nothing(name: str, page: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = page[0] / "figures/cls/one.png"
    rewrite(picture, lambda text: text.replace("cls/cifar10/quick/seed0", name))
    monkeypatch.setattr(checked, "sha256_file", lambda path: pytest.fail(f"{path} was read"))
    result = CliRunner().invoke(main, ["provenance", str(picture), "--out", str(page[0])])
    assert result.exit_code == 1 and "does not say where it comes from" in result.output


def test_list_of_another_program_is_one_error(page: Case) -> None:
    (page[0] / "figures/cls/figures.json").write_text('{"figures": [1]}')
    with pytest.raises(UserError, match=r"figures\.json is not from this program"):
        checked.listed(page[0] / "figures/cls")
    assert states(page)["cls-figures"] == "FAIL"
