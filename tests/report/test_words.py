"""The page's words and its Markdown: this run's figures, and every character as itself."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

import synthetic_run
from onepage.errors import UserError
from onepage.report import context, escape, facts
from page_cases import Case, change_run, markdown_of, plain_text, values_of


def _insights(case: Case) -> dict[str, str]:
    return {item["title"]: item["text"] for item in values_of(case)["insights"]["items"]}


def _captions(case: Case) -> dict[str, str]:
    return {f["name"]: f["text"] for s in values_of(case)["sections"] for row in s["rows"] for f in row}


def test_insights_are_this_runs_figures(real: Case) -> None:
    metrics = json.loads((real[1] / "metrics.json").read_text())
    pairs = metrics["test"]["top_confusions"][:3]
    wrong = metrics["test"]["n"] - metrics["test"]["correct"]
    text = _insights(real)["Errors cluster."]
    assert text.startswith(", ".join(f"{pair['true']} → {pair['predicted']}" for pair in pairs))
    assert f"{facts.percent(sum(pair['count'] for pair in pairs) / wrong, 0)} of all {wrong} errors" in text


def test_captions_say_what_to_see_in_this_runs_pictures(real: Case) -> None:
    metrics = json.loads((real[1] / "metrics.json").read_text())
    test, captions = metrics["test"], _captions(real)
    top = test["top_confusions"][0]
    assert f"Most confused: {top['true']} → {top['predicted']}, {top['count']} of" in captions["confusion_matrix"]
    true, predicted = (metrics["class_names"].index(top[key]) for key in ("true", "predicted"))
    assert captions["confusion_matrix"].endswith(f"; back, {test['confusion'][predicted][true]}.")


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ((40.0, 39.0, 20.0, 18.0), "The score falls most, from 39.0 to 20.0, at 17–24 source words."),
        ((30.0, 34.0, 33.5, 32.0), "The score falls most, from 33.5 to 32.0, at 25 or more source words."),
        ((30.0, 34.0, 33.5, 40.0), "The score is highest, 40.0, at 25 or more source words."),  # no fall with length
        ((30.0,), "The outputs also score chrF2"),
        ((), "The outputs also score chrF2"),
    ],
)
def test_the_caption_of_bleu_names_the_length_where_it_falls(scores: tuple[float, ...], says: str, fresh: Case) -> None:
    bounds = [(1, 8), (9, 16), (17, 24), (25, None)]

    def change(metrics: dict[str, Any]) -> None:
        metrics["tests"][metrics["headline"]]["bleu_by_length"] = [
            {"min": low, "max": high, "n": 40, "bleu": score}
            for (low, high), score in zip(bounds, scores, strict=False)
        ]

    change_run(fresh, "mt", change)
    caption = _captions(fresh)["bleu_report"]
    assert caption.startswith(says) and (says.endswith(".") or caption.endswith(" on test 2016."))


@pytest.mark.parametrize(
    ("accuracy", "value", "verdict"),
    [
        (0.8995, "89.95", "9.95 points above the floor of 80 %"),  # and not 90.0
        (0.79996, "79.99", "0.01 points below the floor of 80 %"),  # and not 80.00 beside FAIL
        (0.8, "80.00", "0.00 points above the floor of 80 %"),
    ],
)
def test_the_headline_is_cut_and_not_rounded(accuracy: float, value: str, verdict: str, fresh: Case) -> None:
    change_run(fresh, "cls", lambda metrics: metrics["test"].update(accuracy=accuracy))
    headline = values_of(fresh)["sections"][0]["headline"]
    assert headline["value"] == value
    assert headline["verdict"].replace(facts.NBSP, " ") == verdict


def test_of_generated_data_the_headline_only_names_the_floor_of_the_real_set(generated: Case) -> None:
    verdicts = [section["headline"]["verdict"] for section in values_of(generated)["sections"]]
    assert verdicts == [f"floor 80{facts.NBSP}%, on CIFAR-10", "floor 15 BLEU, on Multi30k"]


@pytest.mark.parametrize("joules", [None, {}, {"RAPL package-0": 7200.0}])
def test_energy_is_measured_or_said_not_to_be(joules: dict[str, float] | None, fresh: Case) -> None:
    for run in fresh[1:]:
        values = json.loads((run / "provenance.json").read_text())
        values["train"]["energy_joules"] = joules
        (run / "provenance.json").write_text(json.dumps(values))
    footer = {item["label"]: item["value"] for item in values_of(fresh)["footer"]}
    assert footer["Energy"] == (f"4.0{facts.NBSP}Wh (RAPL package-0)" if joules else "not measured")


def test_what_was_not_measured_is_not_said(fresh: Case) -> None:
    def one_test_no_errors(metrics: dict[str, Any]) -> None:
        name = metrics["headline"]
        metrics["tests"] = {name: metrics["tests"][name] | {"bleu_by_length": [], "bleu_lc_norm_tok": None}}
        metrics["tests"][name]["bleu"]["brevity_penalty"] = 1.0

    change_run(fresh, "mt", one_test_no_errors)
    change_run(fresh, "cls", lambda metrics: metrics["test"].update(top_confusions=[], correct=metrics["test"]["n"]))
    titles = set(_insights(fresh))
    assert titles == {"Calibration.", "Generalisation.", "Search helps.", "Not measured:"}
    captions = _captions(fresh)
    assert captions["miscls_grid"] == "There is no mistake to show."
    assert "lc.norm.tok" not in captions["bleu_report"]


@pytest.mark.parametrize(
    ("scores", "title"),
    [((40.0, 35.0, 30.0), "Long sentences are harder."), ((30.0, 35.0, 40.0), "No fall with length.")],
)
def test_bleu_over_length_is_said_as_it_goes(scores: tuple[float, ...], title: str, fresh: Case) -> None:
    def change(metrics: dict[str, Any]) -> None:
        bounds = [(1, 8), (9, 16), (17, None)]
        metrics["tests"][metrics["headline"]]["bleu_by_length"] = [
            {"min": low, "max": high, "n": 40, "bleu": score} for (low, high), score in zip(bounds, scores, strict=True)
        ]

    change_run(fresh, "mt", change)
    text = _insights(fresh)[title]
    assert "40.0" in text and "30.0" in text and "17 or more" in text


def test_a_search_that_loses_is_not_said_to_help(fresh: Case) -> None:
    change_run(fresh, "mt", lambda m: m["tests"][m["headline"]].update(bleu_greedy=99.0))
    assert "Search does not help." in _insights(fresh) and "Search helps." not in _insights(fresh)


def test_the_page_says_which_claim_fails(fresh: Case) -> None:
    change_run(fresh, "cls", lambda metrics: metrics["test"].update(accuracy=0.79))
    states = {claim["id"]: claim["state"] for claim in values_of(fresh)["claims"]}
    assert states == {"cls-accuracy": "FAIL", "mt-bleu": "PASS"}


def test_the_footer_and_command_follow_both_runs(fresh: Case) -> None:
    change_run(fresh, "mt", lambda metrics: metrics.update(seed=3, commit=None, dirty=None, commit_time=None, tgt="fr"))
    values = values_of(fresh)
    footer = {item["label"]: item["value"] for item in values["footer"]}
    assert footer["Seed"] == "cls 0, one run; mt 3, one run"
    assert "mt none recorded" in footer["Commit"]
    assert values["reproduce"]["steps"][0][0] == "make all"
    assert values["commit_time"] == 1_767_225_600


def test_an_unknown_name_in_the_prose_is_named() -> None:
    with pytest.raises(UserError, match="'nonsense'"):
        context.fill("{nonsense}", {"a": "b"}, "cls.objective")


def test_recipe_words_find_nested_and_flat_settings() -> None:
    assert facts.recipe_words({"optimiser": {"name": "sgd", "learning_rate": 0.2}, "batch_size": 128}) == (
        "SGD, rate 0.2, 128 images a batch"
    )
    assert facts.recipe_words({"optimizer": "adamw", "peak_lr": 4e-3, "batch_tokens": 1536}) == (
        "AdamW, rate 0.004, 1,536 tokens a batch"
    )
    muon = {"optimiser": "muon", "learning_rate": 4e-3, "muon_learning_rate": 0.02, "batch_tokens": 1536}
    assert facts.recipe_words(muon) == "Muon, rate 0.02, 1,536 tokens a batch"
    assert facts.recipe_words({"epochs": 3}) == ""


def test_signed_and_duration_read_well() -> None:
    assert [facts.signed(x) for x in (1.25, -0.3, 0.01, -0.01)] == ["+1.2", "−0.3", "±0.0", "±0.0"]
    assert [facts.duration(x) for x in (45, 412.5, 7500)] == [
        f"45{facts.NBSP}s", f"6{facts.NBSP}min 52{facts.NBSP}s", f"2{facts.NBSP}h 05{facts.NBSP}min",
    ]  # fmt: skip


# --- Markdown ----------------------------------------------------------------------------------------------------


def test_markdown_shows_the_same_figures_and_every_picture_resolves(real: Case) -> None:
    source = markdown_of(real)
    plain = plain_text(source)
    values = values_of(real)
    for section in values["sections"]:
        assert section["headline"]["value"] in plain and section["objective"] in plain
        for row in section["rows"]:
            for figure in row:
                assert figure["text"] in plain and figure["alt"] in plain
    links = re.findall(r"\]\((\.\./figures/[^)]+)\)", source)
    drawn = {p.stem for p in (real[0] / "figures").rglob("*.png")}
    assert {Path(link).stem for link in links} == drawn and len(links) == len(drawn)
    assert all((real[0] / "report" / link).resolve().is_file() for link in links)


def test_markdown_tables_keep_their_columns_and_details_hold_the_rest(real: Case) -> None:
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
    assert sum(block.count("<details>") for block in html) == sum(block.count("</details>") for block in html) == 6
    inline_html = {c.content for t in tokens for c in t.children or [] if c.type == "html_inline"}
    assert inline_html == {"<code>", "</code>"}


def test_markdown_sets_calibration_and_views_of_the_test_images_side_by_side(fresh: Case) -> None:
    test = json.loads((fresh[1] / "metrics.json").read_text())["test"]
    rows = [line.split(" | ") for line in markdown_of(fresh).replace("&#160;", " ").splitlines()]
    after = test["calibrated"]
    found = {
        name: next(row for row in rows if row[0].startswith(f"| {name}"))
        for name in ("single image", "at temperature", test["tta"]["method"], test["tta_shifts"]["method"])
    }
    for name, part in (("single image", test), ("at temperature", after)):
        assert found[name][3:] == [f"{part['nll']:.3f}", f"{part['brier']:.3f}", f"{100 * part['ece']:.2f} % |"]
    for part in (test["tta"], test["tta_shifts"]):
        low, high = part["accuracy_interval"]
        shown = [f"{100 * part['accuracy']:.2f} %", f"{100 * low:.2f} % to {100 * high:.2f} %", "–", "–", "– |"]
        assert found[part["method"]][1:] == shown
    pair = test["top_confusions"][0]
    assert f"Most frequent mistakes: {pair['true']} → {pair['predicted']} {pair['count']} (" in plain_text(
        markdown_of(fresh)
    )


def test_a_run_evaluated_before_shifts_were_averaged_has_its_page_without_them(fresh: Case) -> None:
    def older(metrics: dict[str, Any]) -> None:
        del metrics["test"]["tta_shifts"], metrics["test"]["reliability"], metrics["test"]["calibrated"]["reliability"]

    labels = [fact["label"] for fact in values_of(fresh)["sections"][0]["facts"]]
    change_run(fresh, "cls", older)
    without = [fact["label"] for fact in values_of(fresh)["sections"][0]["facts"]]
    assert [label for label in labels if label not in without] == ["mirror, shifts"]
    assert "six views" not in markdown_of(fresh)


def test_markdown_has_what_bleu_is_made_of_for_every_test_set(real: Case) -> None:
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


def test_markdown_of_generated_data_says_so_first_and_passes_nothing(generated: Case) -> None:
    plain = plain_text(markdown_of(generated))
    assert "Generated stand-in data" in plain and plain.index("Generated stand-in") < plain.index("Objective")
    assert "PASS" not in plain and plain.count("NOT CHECKED") == 4


@pytest.mark.parametrize(
    ("cls", "mt", "said"), [(60, 90, " BUDGET_MIN=60,90"), (5, 5, " BUDGET_MIN=5"), (0, 90, " BUDGET_MIN=0,90")]
)
def test_the_command_names_each_tasks_budget(cls: int, mt: int, said: str, fresh: Case) -> None:
    for task, minutes in (("cls", cls), ("mt", mt)):
        own = {"profile": f"full-budget{minutes}", "budget_minutes": minutes} if minutes else {"profile": "full"}
        change_run(fresh, task, lambda metrics, own=own: metrics.update(own))  # type: ignore[misc]
    assert values_of(fresh)["reproduce"]["steps"][0][0] == f"make all PROFILE=full{said} SEED=0 DATA=real"
