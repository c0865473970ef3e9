"""The short form that pictures and page carry: written and read back, and nothing else taken for it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import synthetic_run
from onepage.runs import lineage

DIGEST = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run.write_mt_run(tmp_path_factory.mktemp("mt"), generated=True)


def read(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text(encoding="utf-8"))


def test_the_short_form_names_everything_that_decides_the_result(run: Path) -> None:
    metrics = read(run, "metrics.json")
    (fields,) = lineage.parse(lineage.short_form(metrics, DIGEST, read(run, "provenance.json")))
    assert fields["run"] == "mt/toy-translation-en-de/quick/seed0" == lineage.label(metrics)
    assert fields["metrics"] == DIGEST and fields["commit"] == metrics["commit"] and fields["seed"] == "0"
    assert metrics["recipe_hash"].startswith(fields["recipe"]) and metrics["data_digest"].startswith(fields["data"])
    assert fields["hardware"] == "Example CPU" and fields["arithmetic"] == "cpu fp32 2 threads"
    assert "torch 2.13.0+cpu" in fields["versions"] and fields["generated"] == "data"


def test_local_changes_a_gpu_and_what_is_not_known_are_said(run: Path) -> None:
    metrics = read(run, "metrics.json")
    on_gpu = lineage.short_form(
        metrics | {"device": "cuda", "dirty": True}, DIGEST, {"host": {"gpu": "G; 1", "cpu": "C"}}
    )
    (fields,) = lineage.parse(on_gpu)
    assert fields["hardware"] == "G, 1" and fields["commit"].endswith(" (with local changes)")
    (fields,) = lineage.parse(lineage.short_form(metrics | {"commit": None, "dirty": None}, DIGEST, {}))
    assert fields["hardware"] == "not recorded" and fields["commit"] == "unknown"


def test_a_page_holds_one_for_each_task(run: Path) -> None:
    form = lineage.short_form(read(run, "metrics.json"), DIGEST, {})
    both = lineage.parse(f"{form}; {form.replace('run mt/', 'run cls/', 1)}")
    assert [fields["run"].partition("/")[0] for fields in both] == ["mt", "cls"]


@given(st.text())
def test_other_text_is_no_short_form(text: str) -> None:
    assert lineage.parse(text) == []
    assert lineage.parse(f"run {text}; metrics 12") == []
