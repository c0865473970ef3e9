"""The commands of single stages."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from onepage import tasks
from onepage.commands.main import main
from onepage.figures.sheet import Book
from synthetic_run import write_cls_run


@pytest.mark.fault("a drawing that does not close its Book", "`the drawing did not write ...`")
@pytest.mark.parametrize("before", [None, "{}"])
def test_a_drawing_without_a_manifest_fails(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = write_cls_run(tmp_path / "run"), tmp_path / "figures"
    out.mkdir()
    if before is not None:
        (out / "figures.json").write_text(before, encoding="utf-8")
    task = tasks.get("cls")
    monkeypatch.setattr(task.module("explore"), "parts", lambda run: [])
    monkeypatch.setattr(task.module("draw"), "draw", lambda run, folder: Book(run, folder))
    done = CliRunner().invoke(main, ["draw", str(run), "--figures", str(out)])
    assert done.exit_code == 1 and "the drawing did not write" in done.output
    monkeypatch.setattr(task.module("draw"), "draw", lambda run, folder: Book(run, folder).close())
    assert CliRunner().invoke(main, ["draw", str(run), "--figures", str(out)]).exit_code == 0
