"""Pictures and page lead back to their run, and are found out when it has changed, gone, or was never theirs."""

import json
import shutil
from pathlib import Path

import pypdf
import pytest
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

import synthetic_page
import synthetic_run
from onepage.commands.main import main
from onepage.errors import UserError
from onepage.verification import provenance as checked

Case = tuple[Path, Path, Path]  # out, cls run, mt run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return synthetic_page.write(tmp_path_factory.mktemp("made"))


@pytest.fixture
def case(made: Case, tmp_path: Path) -> Case:
    """A copy to break."""
    out = tmp_path / "out"
    shutil.copytree(made[0], out)
    return out, out / made[1].relative_to(made[0]), out / made[2].relative_to(made[0])


def states(case: Case) -> dict[str, str]:
    return {row.id: row.state for row in checked.check_files(case[0], case[1:])}


def reasons(case: Case) -> str:
    return " ".join(row.reason for row in checked.check_files(case[0], case[1:]) if row.state == "FAIL")


def provenance(case: Case, file: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["provenance", str(case[0] / file), "--out", str(case[0])])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "file", ["figures/cls/one.png", "figures/cls/one.pdf", "figures/mt/one.png", "report/report.pdf"]
)
def test_file_prints_its_provenance_and_matches(file: str, case: Case) -> None:
    code, output = provenance(case, file)
    assert code == 0
    run = "mt/multi30k-en-de/quick/seed0" if "cls" not in file else "cls/cifar10/quick/seed0"
    assert f"run        {run}" in output and "commit" in output and "hardware   Example CPU" in output
    matches = output.splitlines()[-1]
    assert matches.startswith("matches ") and matches.endswith(" on disk") and run in matches


@pytest.mark.fault("a picture or page whose run has changed", "it no longer matches, exit status 1")
@pytest.mark.parametrize("file", ["figures/cls/one.png", "figures/cls/one.pdf", "report/report.pdf"])
def test_file_of_a_changed_run_does_not_match(file: str, case: Case) -> None:
    path = case[1] / "metrics.json"
    path.write_text(path.read_text() + "\n")
    code, output = provenance(case, file)
    assert code == 1 and "cls/cifar10/quick/seed0 has other numbers now" in output
    assert "run        cls/cifar10/quick/seed0" in output  # it is printed all the same
    assert states(case) == {"cls-figures": "FAIL", "mt-figures": "PASS", "page": "FAIL"}
    assert "run: make cls" in reasons(case)


def test_file_of_a_missing_run_does_not_match(case: Case) -> None:
    shutil.rmtree(case[2])
    code, output = provenance(case, "figures/mt/one.pdf")
    assert code == 1 and "mt/multi30k-en-de/quick/seed0 is not among the runs" in output
    assert states(case) == {"cls-figures": "PASS", "mt-figures": "FAIL", "page": "FAIL"}


def test_pictures_may_be_of_another_run_on_disk(case: Case) -> None:
    other = synthetic_run.write_cls_run(case[0] / "runs/cls/cifar10/quick/seed1", seed=1)
    assert {row.id: row.state for row in checked.check_files(case[0], [other, case[2]])}["cls-figures"] == "PASS"


def test_run_elsewhere_is_found_where_it_is_given(case: Case, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(case[1], moved)
    assert {row.state for row in checked.check_files(case[0], [moved, case[2]])} == {"PASS"}
    assert states(case)["cls-figures"] == "FAIL"


@pytest.mark.fault("an edited picture", "make verify fails")
@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_edited_picture_is_found(kind: str, case: Case) -> None:
    picture = case[0] / f"figures/cls/one.{kind}"
    if kind == "png":
        with Image.open(picture) as image:
            about = PngImagePlugin.PngInfo()
            about.add_itxt("Source", image.text["Source"])
            image.point(lambda value: value // 2).save(picture, pnginfo=about)
    else:
        picture.write_bytes(picture.read_bytes() + b"% edited\n")
    code, output = provenance(case, f"figures/cls/one.{kind}")
    assert code == 1 and "its bytes are not those that were written" in output
    assert states(case)["cls-figures"] == "FAIL"


@pytest.mark.fault("a picture that claims another run", "make verify fails")
def test_picture_that_claims_another_run_is_found(case: Case) -> None:
    """With figures.json made to fit: what the picture itself carries decides."""
    picture, listed = case[0] / "figures/cls/one.png", case[0] / "figures/cls/figures.json"
    with Image.open(picture) as image:
        about = PngImagePlugin.PngInfo()
        about.add_itxt("Source", image.text["Source"].replace("seed0", "seed7"))
        image.save(picture, pnginfo=about)
    content = json.loads(listed.read_text())
    content["figures"][0]["sha256_png"] = checked.sha256_file(picture)
    listed.write_text(json.dumps(content))
    assert "cls/cifar10/quick/seed7 is not among the runs" in reasons(case)


def test_picture_missing_or_without_provenance_fails(case: Case) -> None:
    """One of somebody else's, which is not on the list, does not."""
    folder = case[0] / "figures/mt"
    Image.new("RGB", (2, 2)).save(folder / "mine.png")
    (folder / "broken.png").write_bytes(b"not a picture")
    assert states(case)["mt-figures"] == "PASS"
    Image.new("RGB", (2, 2)).save(folder / "one.png")
    assert "figures/mt/one.png: names no run" in reasons(case)
    (folder / "one.png").unlink()
    assert "figures/mt/one.png: is missing" in reasons(case)


def test_stray_picture_of_another_run_is_found(case: Case) -> None:
    shutil.copy(case[0] / "figures/cls/one.png", case[0] / "figures/cls/stray.png")
    assert states(case)["cls-figures"] == "PASS"
    path = case[1] / "metrics.json"
    path.write_text(path.read_text() + "\n")
    (case[0] / "figures/cls/figures.json").unlink()
    assert "stray.png" in reasons(case) or "(and" in reasons(case)


@pytest.mark.fault("an edited page", "make verify fails")
def test_edited_page_is_found(case: Case) -> None:
    path = case[0] / "report/report.md"
    path.write_text(path.read_text().replace("87", "97"))
    assert "report/report.md: its bytes are not those that were written" in reasons(case)


def test_nothing_drawn_is_nothing_to_check(case: Case, tmp_path: Path) -> None:
    assert checked.check_files(tmp_path / "none", case[1:]) == []


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
def test_hostile_name_of_a_run_reads_nothing(name: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = case[0] / "figures/cls/one.png"
    with Image.open(picture) as image:
        about = PngImagePlugin.PngInfo()
        about.add_itxt("Source", image.text["Source"].replace("cls/cifar10/quick/seed0", name))
        image.save(picture, pnginfo=about)
    monkeypatch.setattr(checked, "sha256_file", lambda path: pytest.fail(f"{path} was read"))
    result = CliRunner().invoke(main, ["provenance", str(picture), "--out", str(case[0])])
    assert result.exit_code == 1 and "does not say where it comes from" in result.output


def test_list_of_another_program_is_one_error(case: Case) -> None:
    (case[0] / "figures/cls/figures.json").write_text('{"figures": [1]}')
    with pytest.raises(UserError, match=r"figures\.json is not one of this program"):
        checked.listed(case[0] / "figures/cls")
    assert states(case)["cls-figures"] == "FAIL"
