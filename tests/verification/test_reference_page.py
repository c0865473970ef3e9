"""A complete reference result, with LaTeX and with typst: drawn, rendered, verified and stored."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import synthetic_data
import synthetic_page
import synthetic_run
from claimed import unclaimed
from onepage.cls.draw import draw as draw_cls
from onepage.commands.main import main
from onepage.mt.draw import draw as draw_mt
from onepage.report.render import render
from onepage.verification import reference
from onepage.verification.claims import load_claims
from page_cases import ENGINES, Case

CLAIMS_FILE = Path(__file__).resolve().parents[2] / "report" / "claims.toml"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Two runs with all their pictures."""
    out = tmp_path_factory.mktemp("drawn")
    cls_run = synthetic_run.write_cls_run(out / "runs" / synthetic_page.LABELS["cls"])
    mt_run = synthetic_run.write_mt_run(out / "runs" / synthetic_page.LABELS["mt"], layers=1, heads=2)
    synthetic_page.ablations(cls_run, mt_run)
    draw_cls(cls_run, out / "figures/cls")
    draw_mt(mt_run, out / "figures/mt")
    return out, cls_run, mt_run


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_real_page_is_checked_kept_and_shown(engine: str, drawn: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic_data.pretend(monkeypatch, *drawn[1:])
    render(drawn[0], drawn[1:], engine)
    places = [*drawn[1:], "--out", drawn[0], "--claims", CLAIMS_FILE]
    result = CliRunner().invoke(main, ["reference", f"{engine}-page", *map(str, places)])
    assert result.exit_code == 0, result.output
    for name in ("cls-figures", "mt-figures", "page"):
        assert re.search(rf"^{name}  .*  PASS  ", result.output, re.MULTILINE)
    folder = drawn[0] / "report/reference" / f"{engine}-page"
    assert reference.problems(folder) == unclaimed(folder, load_claims(CLAIMS_FILE)) == []
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 3_000_000
    made = (drawn[0] / "report/page.png").is_file()  # rendering writes it if a program here can
    assert made or not (shutil.which("pdftoppm") or engine == "typst")
    assert (folder / "page.png").is_file() == made and ("page.png is left out" in result.output) == (not made)
    if made:
        with Image.open(folder / "page.png") as page:
            assert page.size == pytest.approx((1240, 1754), abs=2)  # A4 at 150 dpi
    text = (folder / "report.md").read_text(encoding="utf-8")
    for task in ("cls", "mt"):
        listed = json.loads((drawn[0] / "figures" / task / "figures.json").read_text())["figures"]
        kept = {path.stem for path in (folder / "pictures" / task).iterdir()}
        assert kept == {entry["name"] for entry in listed}
        assert all(f'<img src="pictures/{task}/{name}.png" alt="' in text for name in kept)
    page = CliRunner().invoke(main, ["provenance", str(drawn[0] / "report/report.pdf"), "--out", str(drawn[0])])
    assert page.exit_code == 0 and "versions   matplotlib 3.11.2, numpy 2.4.6, python 3.11.7" in page.output
    assert json.loads((folder / "manifest.json").read_text())["engine"] == engine
