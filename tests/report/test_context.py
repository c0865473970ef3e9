"""The page's text and its Markdown state this run's numbers, and print every character literally."""

import html
import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import synthetic_run
from onepage.errors import UserError
from onepage.report import context, escape
from onepage.report.inputs import load_page
from onepage.runs import seeds
from onepage.runs.words import NBSP, percent
from onepage.verification.pictures import PICTURE
from page_cases import (
    Case,
    accuracies,
    captions,
    change_run,
    elsewhere,
    insights,
    markdown_of,
    plain_text,
    values_of,
    write_case,
)

PAGE = Path(__file__).resolve().parents[2] / "report/page.toml"


def test_insights_are_this_runs_figures(real: Case) -> None:
    metrics = json.loads((real[1] / "metrics.json").read_text())
    pairs = metrics["test"]["top_confusions"][:3]
    wrong = metrics["test"]["n"] - metrics["test"]["correct"]
    text = insights(real, most=99)["Errors cluster."]
    assert text.startswith(", ".join(f"{pair['true']} → {pair['predicted']}" for pair in pairs))
    assert f"{percent(sum(pair['count'] for pair in pairs) / wrong, 0)} of all errors" in text


def test_captions_are_of_this_runs_pictures(real: Case) -> None:
    metrics = json.loads((real[1] / "metrics.json").read_text())
    test, said = metrics["test"], captions(real)
    top = test["top_confusions"][0]
    assert said["confusion_matrix"] == f"Outlined: {top['true']} → {top['predicted']}, both ways."


def score_by_length(case: Case, scores: Sequence[float], longest: Sequence[int | None], n: int = 40) -> None:
    """Set the BLEU of each length group of the headline set to ``scores``; groups end at ``longest`` source words."""
    groups = [
        {"min": before + 1, "max": last, "n": n, "bleu": score, "interval": [score - 2, score + 2]}  # type: ignore[operator]
        for before, last, score in zip((0, *longest), longest, scores, strict=False)
    ]
    change_run(case, "mt", lambda metrics: metrics["tests"][metrics["headline"]].update(bleu_by_length=groups))


def test_titles_state_findings_of_the_run(real: Case) -> None:
    values = values_of(real)
    titles = {f["name"]: f["title"] for s in values["sections"] for row in s["rows"] for f in row}
    test = json.loads((real[1] / "metrics.json").read_text())["test"]
    top, names = test["top_confusions"][0], [row["name"] for row in test["per_class"]]
    true, predicted = names.index(top["true"]), names.index(top["predicted"])
    both = test["confusion"][true][predicted] + test["confusion"][predicted][true]
    assert titles["confusion_matrix"].endswith(f": {both} of {test['n'] - test['correct']} errors")
    assert titles["preds_grid"] == f"{test['correct']:,} correct: the most confident"
    assert titles["attention_heads"] == "12 of 12 heads focus on a subword"  # as drawing counted them
    head = [section["headline"] for section in values["sections"]]
    assert values["title"].startswith(f"{head[0]['value']} % and {head[1]['value']} BLEU after ")
    assert values["title"].endswith(" of training on two CPU cores")


def test_what_was_not_measured_is_not_said(fresh: Case) -> None:
    def one_test_no_errors(metrics: dict[str, Any]) -> None:
        name = metrics["headline"]
        metrics["tests"] = {name: metrics["tests"][name] | {"bleu_by_length": [], "bleu_lc_norm_tok": None}}
        metrics["tests"][name]["bleu"]["brevity_penalty"] = 1.0

    change_run(fresh, "mt", one_test_no_errors)
    change_run(fresh, "cls", lambda metrics: metrics["test"].update(top_confusions=[], correct=metrics["test"]["n"]))
    titles = set(insights(fresh))
    assert titles <= {
        "The network is overconfident.",
        "The test confirms validation.",
        "Not measured:",
        "Outputs are short.",
    }
    assert "Not measured:" in titles
    said = captions(fresh)
    assert said["miscls_grid"] == "There is no mistake to show."
    assert "lc.norm.tok" not in said["bleu_report"]


@pytest.mark.parametrize(
    ("scores", "n", "said"),
    [
        ((40.0, 35.0, 30.0), 120, True),
        ((40.0, 35.0, 30.0), 40, False),  # too few
        ((32.0, 31.0, 30.0), 120, False),  # intervals overlap
        ((30.0, 35.0, 40.0), 120, False),
    ],
)
def test_length_is_a_finding_only_beyond_chance(scores: tuple[float, ...], n: int, said: bool, fresh: Case) -> None:
    score_by_length(fresh, scores, (8, 16, None), n)
    text = insights(fresh, most=99).get("Long sentences are harder.", "")
    assert bool(text) == said
    assert not said or all(part in text for part in ("40.0", "30.0", "17 or more", "n = 120"))


@pytest.mark.parametrize(
    ("greedy", "p", "titles"),
    [
        (30.0, 0.004, {"Beam search helps."}),
        (99.0, 0.004, {"Beam search does not help."}),
        (30.0, 0.2, set()),
    ],
)
def test_search_is_a_finding_only_if_significant(greedy: float, p: float, titles: set[str], fresh: Case) -> None:
    change_run(fresh, "mt", lambda m: m["tests"][m["headline"]].update(bleu_greedy=greedy, bleu_greedy_p=p))
    found = insights(fresh, most=99)
    assert {title for title in found if title.startswith("Beam")} == titles
    assert all("p = 0.004" in found[title] for title in titles)


@pytest.mark.parametrize(
    ("validation", "title"), [(0.0, "Test and validation differ."), (None, "The test confirms validation.")]
)
def test_generalisation_is_said_as_it_is(validation: float | None, title: str, fresh: Case) -> None:
    def change(metrics: Any) -> None:
        metrics["val"]["accuracy"] = metrics["test"]["accuracy"] if validation is None else validation

    change_run(fresh, "cls", change)
    assert title in insights(fresh, most=99)


def test_the_page_says_which_claim_fails(fresh: Case) -> None:
    change_run(fresh, "cls", lambda metrics: metrics["test"].update(accuracy=0.79))
    states = {claim["id"]: claim["state"] for claim in values_of(fresh)["claims"]}
    assert states == {"cls-accuracy": "FAIL", "mt-bleu": "PASS"}


def test_only_parts_on_generated_data_are_marked(real: Case, tmp_path: Path) -> None:
    case = write_case(tmp_path, generated=True)
    shutil.copytree(real[0] / "figures/cls", tmp_path / "figures/cls", dirs_exist_ok=True)
    values = values_of((tmp_path, real[1], case[2]))
    assert values["band"] == ("Generated stand-in data: toy-translation (mt). These scores say nothing about Multi30k.")
    marks = {
        section["task"]: {figure["text"].startswith("Generated data.") for row in section["rows"] for figure in row}
        for section in values["sections"]
    }
    assert marks == {"cls": {False}, "mt": {True}}
    marked = {item["title"]: item["text"].startswith("(Generated data.)") for item in values["insights"]["items"]}
    assert marked["Outputs are short."] and not marked["Errors cluster."]


def test_metrics_without_a_number_are_an_error(fresh: Case) -> None:
    change_run(fresh, "cls", lambda metrics: metrics["test"].pop("ece"))
    with pytest.raises(UserError, match="ece"):
        values_of(fresh)


def test_markdown_shows_all_figures_and_pictures(real: Case) -> None:
    source = markdown_of(real)
    plain = plain_text(source)
    values = values_of(real)
    for section in values["sections"]:
        assert section["headline"]["value"] in plain and section["objective"] in plain
        for row in section["rows"]:
            for figure in row:
                assert figure["text"] in plain and figure["alt"] in plain
    links = [link for link, *_ in PICTURE.findall(source)]
    drawn = {p.stem for p in (real[0] / "figures").rglob("*.png")}
    assert {Path(link).stem for link in links} == drawn and len(links) == len(drawn)
    assert all((real[0] / "report" / link).resolve().is_file() for link in links)


def test_markdown_tables_keep_their_columns(real: Case) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown_of(real))
    width, cells = 0, 0
    for token in tokens:
        if token.type == "thead_open":
            width = 0
        if token.type == "th_open":
            width += 1
        if token.type == "tr_open":
            cells = 0
        if token.type == "td_open":
            cells += 1
        if token.type == "tr_close" and cells:
            assert cells == width
    html = [token.content for token in tokens if token.type == "html_block"]
    assert sum(block.count("<details>") for block in html) == sum(block.count("</details>") for block in html) == 7
    inline_html = {c.content for t in tokens for c in t.children or [] if c.type == "html_inline"}
    assert {part for part in inline_html if not PICTURE.fullmatch(part)} == {"<code>", "</code>"}


def test_markdown_describes_a_picture_briefly_and_below_it_whole(fresh: Case) -> None:
    first, more = f"Two curves fall {'and fall ' * 22}to 1.62 nats.", "The third rises."
    alternatives = {"curves_cls": f"{first} {more} {'It rises again. ' * 5}".strip(), "gradcam_1": "cat " * 99 + "cat"}
    for path in (fresh[0] / "figures").glob("*/figures.json"):
        manifest = json.loads(path.read_text())
        for row in manifest["figures"]:
            row["alt"] = alternatives.get(row["name"], row["alt"])
        path.write_text(json.dumps(manifest))
    source = markdown_of(fresh)
    pictures = {Path(link).stem: (html.unescape(alt), size) for link, alt, size in PICTURE.findall(source)}
    assert max(len(alt) for alt, _ in pictures.values()) <= 250
    assert pictures["curves_cls"] == (f"{first} {more}", ' width="558"')  # whole sentences
    assert pictures["gradcam_1"][0].endswith("cat…") and pictures["gradcam_0"][1] == ' width="270"'
    for alt in alternatives.values():
        assert f"<details><summary>In words</summary>{alt}</details>" in source
    assert source.count("In words") == len(alternatives)


def test_markdown_has_calibration_and_views(fresh: Case) -> None:
    test = json.loads((fresh[1] / "metrics.json").read_text())["test"]
    rows = [line.split(" | ") for line in markdown_of(fresh).replace("&#160;", " ").splitlines()]
    after = test["calibrated"]
    found = {
        name: next(row for row in rows if row[0].startswith(f"| {name}"))
        for name in ("single image", "at temperature", test["tta"]["method"])
    }
    for name, part in (("single image", test), ("at temperature", after)):
        assert found[name][3:] == [f"{part['nll']:.3f}", f"{part['brier']:.3f}", f"{100 * part['ece']:.1f} % |"]
    low, high = test["tta"]["accuracy_interval"]
    shown = [f"{100 * test['tta']['accuracy']:.1f} %", f"{100 * low:.1f} % to {100 * high:.1f} %", "–", "–", "– |"]
    assert found[test["tta"]["method"]][1:] == shown
    pair = test["top_confusions"][0]
    assert f"Most frequent mistakes: {pair['true']} → {pair['predicted']} {pair['count']} (" in plain_text(
        markdown_of(fresh)
    )


def test_markdown_has_what_bleu_is_made_of(real: Case) -> None:
    tests = json.loads((real[2] / "metrics.json").read_text())["tests"]
    rows = [line.strip("| ").split(" | ") for line in markdown_of(real).splitlines()]
    head = next(k for k, row in enumerate(rows) if row[0] == "test set" and "4-grams" in row)
    for row, test in zip(rows[head + 2 :], tests.values(), strict=False):
        bleu = test["bleu"]
        shown = [*(f"{value:.1f}" for value in bleu["precisions"]), f"{bleu['brevity_penalty']:.3f}"]
        assert row[1:] == [*shown, f"{bleu['hypothesis_length']:,}", f"{bleu['reference_length']:,}"]


@pytest.mark.fault("decoded text aimed at Markdown and HTML", "it prints as itself")
def test_hostile_sentences_in_markdown_print_as_themselves(real: Case) -> None:
    metrics = json.loads((real[2] / "metrics.json").read_text())
    outputs = [row["output"] for row in metrics["examples"]]
    assert any(synthetic_run.HOSTILE in output for output in outputs)
    plain = plain_text(markdown_of(real))
    assert all(escape.visible(output) in plain for output in outputs)


def test_markdown_of_generated_data_says_so_first(generated: Case) -> None:
    plain = plain_text(markdown_of(generated))
    assert "Generated stand-in data" in plain and plain.index("Generated stand-in") < plain.index("Objective")
    assert "PASS" not in plain and plain.count("NOT CHECKED") == 4


def test_a_name_of_both_tasks_needs_the_task_s_name(fresh: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """{parameters} alone could be those of either."""
    text = {"title": "Sizes differ.", "text": "{cls_parameters}"}
    page = load_page(PAGE)
    page |= {"insights": page["insights"] | {"order": ["sizes"], "sizes": text}}
    monkeypatch.setattr(context, "load_page", lambda path: page)
    assert "Sizes differ." in insights(fresh)
    text["text"] = "{parameters}"
    assert "Sizes differ." not in insights(fresh)


def test_rows_of_pictures_are_side_by_side() -> None:
    sections = [{"task": "a", "rows": [[]]}, {"task": "b", "rows": []}]
    with pytest.raises(UserError, match=r"differ in number \({'a': 1, 'b': 0}\)"):
        context._grid(sections)


def test_the_markdown_lists_every_seed(three: Case) -> None:
    text = plain_text(markdown_of(three))
    values = accuracies(three)
    (table,) = (table for table in values_of(three)["tables"] if table.title == "Every seed: cls")
    assert table.columns == ["", "seed 0", "seed 1", "seed 2", "mean", "sd (n − 1)"]
    names = ["test accuracy", "test accuracy with mirror image"]
    assert [row[0] for row in table.rows] == [*(f"{name}, %" for name in names), "weights"]
    assert table.rows[0][1:] == [f"{v:.2f}" for v in (*values, statistics.fmean(values), statistics.stdev(values))]
    assert all(cell in text for row in table.rows for cell in row)
    assert "(sd, n = 3 seeds)" in text and "Every seed: cls" in markdown_of(three)


def test_one_seed_is_one_seed(real: Case, tmp_path: Path) -> None:
    """A seeds.json with one seed leaves every byte of the page unchanged."""
    case = elsewhere(real, tmp_path / "out")
    before = markdown_of(case)
    for run in case[1:]:
        seeds.write(run)
    assert markdown_of(case) == before
    assert "seed 0 (n = 1)" in plain_text(before).replace(NBSP, " ")
    assert "seeds)" not in before and "Every seed" not in before


@pytest.mark.fault("a seeds.json older than its run", "`... is older than ...; ...`")
def test_seeds_of_other_numbers_are_refused(three: Case, tmp_path: Path) -> None:
    case = elsewhere(three, tmp_path / "out")
    change_run(case, "cls", lambda metrics: metrics["test"].update(accuracy=0.99))
    with pytest.raises(UserError, match=r"seeds\.json is older than seed0"):
        values_of(case)


# --- the headline -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accuracy", "value", "verdict"),
    [
        (0.8995, "90.0", "10.0 points above the floor of 80 %"),
        (0.79996, "79.996", "0.004 points below the floor of 80 %"),  # not 80.0 beside FAIL
        (0.8, "80.0", "0.0 points above the floor of 80 %"),
    ],
)
def test_a_headline_below_its_floor_reads_below(accuracy: float, value: str, verdict: str, fresh: Case) -> None:
    change_run(fresh, "cls", lambda metrics: metrics["test"].update(accuracy=accuracy))
    headline = values_of(fresh)["sections"][0]["headline"]
    assert headline["value"] == value
    assert headline["verdict"].replace(NBSP, " ") == verdict


def test_generated_data_only_names_the_real_floor(generated: Case) -> None:
    verdicts = [section["headline"]["verdict"] for section in values_of(generated)["sections"]]
    assert verdicts == [f"floor 80{NBSP}%, on CIFAR-10", "floor 15 BLEU, on Multi30k"]


def test_beside_the_headline_stand_mean_deviation_and_n(three: Case) -> None:
    values = accuracies(three)
    assert len(values) == 3
    cls, mt = (section["headline"] for section in values_of(three)["sections"])
    mean, sd = (f"{part(values):.2f}" for part in (statistics.fmean, statistics.stdev))
    assert cls["seeds"] == f"mean {mean} ± {sd} (sd, n = 3 seeds)"
    assert cls["value"] == f"{values[0]:.1f}" and mt["seeds"] == ""
