"""Appendix, model cards, changelog and citation are current, complete, and agree with the code and results."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt
from PIL import Image, ImageChops

from checkout import REPOSITORY as ROOT
from checkout import load_script
from onepage.errors import UserError
from onepage.files import read_json
from onepage.runs import settings
from onepage.verification.claims import load_claims
from tests.test_docs import helped_targets, text_of

WRITTEN = tuple(f"docs/{name}.md" for name in ("artifact", "model-card-cls", "model-card-mt", "results", "settings"))
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "env/README.md",
    *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md"))),
)


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    return load_script(ROOT / "docs" / "write.py")


def test_documents_are_what_is_written_now(writer: ModuleType) -> None:
    for name, text in (writer.render() | writer.benchmarks()).items():
        assert text == text_of(f"docs/{name}"), f"docs/{name} is stale: PYTHONPATH=code .venv/bin/python docs/write.py"
    assert {f"docs/{name}" for name in writer.DOCUMENTS} == set(WRITTEN)
    assert writer.readme() == text_of("README.md"), "the README's table is stale: docs/write.py"
    for marks in ("<!-- x:end -->\n<!-- x:begin -->\n", "<!-- x:begin -->\n"):
        with pytest.raises(ValueError, match="unpack"):
            writer.put(marks, "x", "content")
    assert (
        ImageChops.difference(
            writer.strip().convert("RGB"), Image.open(ROOT / "docs/page-strip.png").convert("RGB")
        ).getbbox()
        is None
    )


def test_another_result_gives_other_documents(
    writer: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A reference result with another accuracy, seven seeds and a GPU changes the documents."""
    claims = {claim.task: claim for claim in load_claims(ROOT / "report/claims.toml") if claim.references}
    assert {"cls", "mt"} <= claims.keys()
    for task, claim in claims.items():
        for named in claim.references[1:]:  # unchanged
            shutil.copytree(ROOT / "report/reference" / named.result, tmp_path / named.result, dirs_exist_ok=True)
        folder = tmp_path / claim.references[0].result
        (folder / task).mkdir(parents=True, exist_ok=True)
        kept = ROOT / "report/reference" / claim.references[0].result
        (folder / "claims.json").write_bytes((kept / "claims.json").read_bytes())
        found = {name: read_json(kept / task / f"{name}.json") for name in ("metrics", "provenance", "seeds")}
        if task == "cls":
            found["metrics"]["test"]["accuracy"] = 0.54321
            found["metrics"]["device"] = "cuda"
            found["provenance"]["host"]["gpu"] = "Some GPU"
            worse = found["seeds"][0]["measures"] | {"test accuracy": 0.5}
            found["seeds"] = [*found["seeds"][:1] * 6, found["seeds"][0] | {"measures": worse}]
        for name, content in found.items():
            (folder / task / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(writer, "REFERENCES", tmp_path)
    written = writer.render()
    card = written["model-card-cls.md"]
    assert "Some GPU" in card and "| test accuracy |" in card and "(n = 7)" in card
    assert "| single image | 54.3 % |" in card
    assert written["artifact.md"].count("(7 seeds)") == 1
    assert written["model-card-mt.md"] == text_of("docs/model-card-mt.md")


def test_a_claim_without_a_reference_is_named(writer: ModuleType) -> None:
    claim = load_claims(ROOT / "report/claims.toml", "stand_in")[0]
    with pytest.raises(UserError, match=f"claim {claim.id} names no reference result"):
        writer.task_of(claim)


def test_tasks_without_a_result_are_left_out(writer: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = writer.reference(writer.PAGE), writer.readme()
    monkeypatch.setattr(writer, "TASKS", writer.TASKS | {"mlp": "a perceptron"})
    assert (writer.reference(writer.PAGE), writer.readme()) == before


def test_numbers_are_those_of_claims_and_metrics() -> None:
    """The values are read again here, without the writer."""
    appendix = text_of("docs/artifact.md")
    for claim in tomllib.loads(text_of("report/claims.toml"))["claim"]:
        percent = claim["task"] == "cls"
        rows = [line for line in appendix.splitlines() if line.startswith(f"| {claim['id']}: {claim['text']} |")]
        if not claim.get("references"):
            continue
        for row, named in zip(rows, claim["references"], strict=True):
            value, low, high = (f"{x * (100 if percent else 1):.1f}" for x in (named["value"], *named["band"]))
            assert f" {value}" in row and f" {low} to {high}" in row
        kept = ROOT / "report/reference" / claim["references"][0]["result"]
        metrics = read_json(kept / claim["task"] / "metrics.json")
        card = text_of(f"docs/model-card-{claim['task']}.md")
        assert f"{metrics['model']['parameters']:,} parameters" in card and f"seed {metrics['seed']}" in card
        if percent:
            assert f"| single image | {100 * metrics['test']['accuracy']:.1f} % |" in card
            for part in metrics["test"]["per_class"]:
                assert f"| {part['name']} | {part['n']} | {100 * part['recall']:.1f} % |" in card
        else:
            for part in metrics["tests"].values():
                score, (low, high) = part["bleu"]["score"], part["bleu"]["interval"]
                assert f"| {part['n']:,} | {score:.1f} ({low:.1f} to {high:.1f}) |" in card


def test_cards_have_the_sections_of_the_paper() -> None:
    """The cards have the sections and the order of Mitchell et al. 2019, figure 1."""
    sections = ["Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"]
    sections += ["Quantitative analyses", "Ethical considerations", "Caveats and recommendations"]
    for task in ("cls", "mt"):
        card = text_of(f"docs/model-card-{task}.md")
        assert re.findall(r"^## (.*)$", card, re.MULTILINE) == sections
        assert "licence" in card.split("## Ethical")[1] and "Out of scope" in card.split("## Factors")[0]


def test_appendix_has_the_sections_that_committees_ask_for() -> None:
    sections = re.findall(r"^## (.*)$", text_of("docs/artifact.md"), re.MULTILINE)
    asked = ["Abstract", "Checklist", "Description", "Installation", "Experiment workflow"]
    asked += ["Check without training", "Kick the tires", "Evaluation and expected results", "Customisation", "Notes"]
    assert [section.split(":")[0] for section in sections] == asked


def commands(document: str) -> list[list[str]]:
    """The words of each make command in inline code or shell blocks."""
    fenced = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
    text = text_of(document)
    lines = [line for kind, block in fenced.findall(text) if kind == "sh" for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", fenced.sub("", text))
    found = [re.search(r"(?:^| )make ((?:[a-z]|[A-Z_]+=).*)", line.split("#")[0]) for line in lines]
    return [call[1].split() for call in found if call]


def test_commands_are_targets_with_known_variables() -> None:
    seen = [words for document in (*WRITTEN, "CHANGELOG.md") for words in commands(document)]
    assert len(seen) >= 20
    for words in seen:
        assert {word for word in words if "=" not in word} <= helped_targets(), words
        assert {word.split("=")[0] for word in words if "=" in word} <= settings.BY_NAME.keys(), words


@pytest.mark.parametrize("document", DOCUMENTS)
def test_tables_are_whole(document: str) -> None:
    text = text_of(document)
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    columns, table = 0, -1
    for token in tokens:
        if token.type == "table_open":
            table = token.map[0] if token.map else -1
        if token.type == "tr_open" and token.map:
            cells = len(re.findall(r"(?<!\\)\|", re.sub(r"`[^`]*`", "", text.splitlines()[token.map[0]]))) - 1
            columns = cells if token.map[0] == table else columns
            assert cells == columns, text.splitlines()[token.map[0]]
    tables = [token.map[0] for token in tokens if token.type == "table_open" and token.map]
    rules = [number for number, line in enumerate(text.splitlines()) if line.startswith("|---")]
    assert [number - 1 for number in rules] == tables


def test_changelog_keeps_its_form() -> None:
    """Keep a Changelog 1.1.0: unreleased first, versions from new to old, changes under the six headings."""
    text = text_of("CHANGELOG.md")
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert text.startswith("# Changelog\n") and heads[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", head) for head in heads[1:]]
    assert all(released)
    numbers = [tuple(map(int, head.groups())) for head in released if head]
    assert numbers == sorted(set(numbers), reverse=True)
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert ".".join(map(str, numbers[0])) == version
    kinds = re.findall(r"^### (.*)$", text, re.MULTILINE)
    assert kinds and set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert re.search(r"^- ", text, re.MULTILINE) and not re.search(r"^\* ", text, re.MULTILINE)


SCHEMAS = {
    "CITATION.cff": ("citation-file-format", [("license: MIT", "license: mine"), ("type: software", "type: page")]),
    ".github/workflows/ci.yml": ("github-workflows", [("runs-on:", "run-on:"), ("timeout-minutes: 45", "timeout: 45")]),
    ".github/ISSUE_TEMPLATE/bug.yml": ("github-issue-forms", [("type: textarea", "type: area")]),
    ".github/ISSUE_TEMPLATE/result.yml": ("github-issue-forms", [("type: textarea", "type: area")]),
    ".github/ISSUE_TEMPLATE/config.yml": ("github-issue-config", [("blank_issues_enabled", "blank_issues")]),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_forms_and_citation_fit_their_schemas(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """check-jsonschema accepts each file and rejects changed copies."""
    monkeypatch.syspath_prepend(str(Path(sys.prefix) / "compare"))
    program = pytest.importorskip("check_jsonschema", reason="no check-jsonschema here: make setup-compare")
    schema, changes = SCHEMAS[name]
    text, copy = text_of(name), tmp_path / "copy.yml"
    for old, new in [("", ""), *changes]:
        assert old in text
        copy.write_text(text.replace(old, new, 1), encoding="utf-8")
        done = CliRunner().invoke(program.main, ["--builtin-schema", f"vendor.{schema}", str(copy)])
        assert (done.exit_code == 0) is (old == new), done.output
