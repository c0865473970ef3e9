"""The inputs of the page: one clear line for a run or picture that is missing, stale, altered or of another task."""

import json

import pytest

from onepage.errors import UserError
from onepage.report import inputs, render
from page_cases import Case, values_of


def test_a_missing_run_says_how_to_run_it(fresh: Case) -> None:
    out, cls_run, mt_run = fresh
    with pytest.raises(UserError, match=r"cls was not run .*; run: make cls"):
        render.render(out, [out / "runs/none", mt_run], "latex")
    (mt_run / "metrics.json").unlink()
    with pytest.raises(UserError, match=r"mt was not run .*; run: make mt"):
        render.render(out, [cls_run, mt_run], "latex")


def test_a_run_of_the_other_task_is_refused(fresh: Case) -> None:
    with pytest.raises(UserError, match="is of task 'mt', not 'cls'"):
        values_of((fresh[0], fresh[2], fresh[1]))


def test_one_run_of_each_section_is_needed(fresh: Case) -> None:
    for runs in (fresh[1:2], (*fresh[1:], fresh[1])):
        with pytest.raises(UserError, match=f"one run of each of cls, mt, in this order; it was given {len(runs)}"):
            render.render(fresh[0], runs, "latex")


def test_missing_tampered_and_stale_pictures_are_each_named(fresh: Case) -> None:
    picture = fresh[0] / "figures/cls/gradcam_0.pdf"
    content = picture.read_bytes()
    picture.unlink()
    with pytest.raises(UserError, match=r"gradcam_0\.pdf is missing"):
        values_of(fresh)
    picture.write_bytes(content + b"%")
    with pytest.raises(UserError, match=r"gradcam_0\.pdf is not the picture that was drawn"):
        values_of(fresh)
    picture.write_bytes(content)
    path = fresh[2] / "metrics.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(UserError, match=r"was not drawn from .*make mt"):
        values_of(fresh)
    (fresh[0] / "figures/cls/figures.json").unlink()
    with pytest.raises(UserError, match=r"cls was not drawn .*; run: make cls"):
        values_of(fresh)


def test_undrawn_and_badly_named_pictures_are_errors(fresh: Case) -> None:
    path = fresh[0] / "figures/cls/figures.json"
    manifest = json.loads(path.read_text())
    rows = manifest["figures"]
    manifest["figures"] = [row for row in rows if row["name"] != "preds_grid"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="preds_grid was not drawn"):
        values_of(fresh)
    manifest["figures"] = [*rows, rows[0] | {"name": "../../x"}]
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="is not the name of a picture"):
        values_of(fresh)


def test_an_unknown_name_in_the_prose_is_named() -> None:
    with pytest.raises(UserError, match="'nonsense'"):
        inputs.fill("{nonsense}", {"a": "b"}, "cls.objective")


def test_alternatives_follow_the_figures_there_are() -> None:
    entry = {"title": "t", "text": "x", "with": {"a": {"text": "with a"}}, "without": {"b": {"title": "without b"}}}
    found = [inputs.chosen(entry, dict.fromkeys(names, "1")) for names in ("b", "ab", "")]
    assert [(e["title"], e["text"]) for e in found] == [("t", "x"), ("t", "with a"), ("without b", "x")]
