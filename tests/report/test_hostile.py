"""Hostile LaTeX, Markdown, HTML and typst in every recorded text of a run: the page shows it as plain text."""

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from onepage.files import HOME
from onepage.report import escape, interactive
from page_cases import Case, explore, html_of, markdown_of, source_of, write_figures
from page_reader import read

AIMED = (
    r"\immediate\write18{touch pwned}\input{/etc/passwd}^^5cinput $\catcode`\%=12$ "
    '<script>alert("pwned")</script><img src=x onerror=pwned()> ![x](file:///etc/passwd) [y](javascript:pwned()) '
    '#read("/etc/passwd") #eval("pwned") <!-- | ``` </details>'
)
# these values control how the page is made: others would change or prevent it
KEPT = {"task", "set", "src", "tgt", "headline", "kind", "device", "precision", "started", "finished", "commit"}


def aimed(value: Any, key: str = "") -> Any:
    """``value`` with the hostile text at the end of every string in it."""
    if isinstance(value, dict):
        return {name: aimed(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [aimed(inner, key) for inner in value]
    return value + AIMED if isinstance(value, str) and key not in KEPT else value


@pytest.fixture
def hostile(fresh: Case) -> Case:
    """Two runs with hostile text in every recorded string, and pictures that match them."""
    for task, run in zip(("cls", "mt"), fresh[1:], strict=True):
        for name in ("metrics.json", "provenance.json", "run.json"):
            path = run / name
            path.write_text(json.dumps(aimed(json.loads(path.read_text()))))
        write_figures(fresh[0], task, run)
    return fresh


@pytest.mark.fault("\\write18, \\input and the like in every recorded text, LaTeX", "no command of it is in the source")
def test_recorded_texts_are_no_latex(hostile: Case) -> None:
    source = source_of(hostile, "latex")
    assert source.count("pwned") > 10  # it is there, as text
    for command in (r"\write18", r"\immediate\write", r"\input{/etc", "^^5c", r"\catcode`\%=12"):
        assert command not in source
    template = (HOME / "report/templates/report.tex.j2").read_text()
    known = set(re.findall(r"\\[A-Za-z]+", template)) | set(re.findall(r"\\[A-Za-z]+", "".join(escape._LATEX.values())))
    commands = set(re.findall(r"\\[A-Za-z]+", source))
    assert commands <= known | set(re.findall(r"\\[A-Za-z]+", r"\textbackslash \mbox \leq \geq \approx"))


@pytest.mark.fault(
    "HTML, links and pictures in every recorded text, Markdown", "none of them is in what a reader's program makes"
)
def test_recorded_texts_are_no_markdown_and_no_html(hostile: Case) -> None:
    source = markdown_of(hostile)
    assert source.count("pwned") > 10
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    inner = [child for token in tokens for child in token.children or []]
    html = [token.content for token in [*tokens, *inner] if token.type.startswith("html_")]
    assert html and not any("pwned" in part or "script" in part for part in html)
    assert sum(part.count("<details>") for part in html) == sum(part.count("</details>") for part in html)
    places = [str(child.attrs.get(name)) for child in inner for name in ("src", "href") if name in child.attrs]
    places += [place for part in html for place in re.findall(r'(?:src|href)="([^"]*)"', part)]
    known = re.compile(r"(\.\./|https://)[A-Za-z0-9_./-]+|#[a-z0-9-]+|report\.pdf")
    assert places and all(map(known.fullmatch, places)), places


@pytest.mark.fault("HTML and scripts in every recorded text, report.html", "the same elements as without; all is text")
def test_recorded_texts_are_no_html(hostile: Case) -> None:
    with np.load(hostile[2] / "predictions.npz") as arrays:
        texts = {
            name: np.char.add(values, AIMED) if values.dtype.kind == "U" else values for name, values in arrays.items()
        }
    np.savez_compressed(hostile[2] / "predictions.npz", **texts)
    explore(hostile)
    page = read(html_of(hostile))
    assert page.text.count("pwned") > 10 and len(re.findall("pwned", page.data)) > 100
    template = (HOME / "report/templates/report.html.j2").read_text()
    assert {name for name, _ in page.elements} <= set(re.findall(r"<([a-z0-9]+)", template))
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on") or key == "style"], (name, attributes)
        for key in ("src", "href"):
            assert re.fullmatch(r"#[a-z-]+|data:,|data:image/webp;base64,[A-Za-z0-9+/=]+", attributes.get(key, "#a"))
    assert [name for name, _ in page.elements].count("script") == 2
    assert not re.search("[<>&]", page.data) and "</script" in json.dumps(json.loads(page.data))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.fault("#read and #eval in every recorded text, typst", "they stand inside strings")
def test_recorded_texts_are_no_typst(hostile: Case) -> None:
    source = source_of(hostile, "typst")
    assert source.count("pwned") > 10
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', source)  # with every string literal emptied
    assert "pwned" not in outside and "#read" not in outside and "#eval" not in outside


@pytest.mark.fault("any text in the typst page (fuzzed)", "one string, which typst prints as it stands")
@given(st.text(st.characters(exclude_categories=()), max_size=60) | st.text('"\\\\#;()[]{}$/*', max_size=20))
def test_any_text_in_typst_is_one_string(text: str) -> None:
    written = escape.typst(text, lambda character: True)
    assert re.fullmatch(r'#"(?:[^"\\]|\\["\\])*";', written)
    assert re.sub(r"\\(.)", r"\1", written[2:-2]) == escape.visible(text)


@pytest.mark.fault("any text in report.html (fuzzed)", "shown as it stands, in an element, an attribute and the data")
@given(st.text(st.characters(exclude_categories=()), max_size=60) | st.text("<>&\"'`/!-=\\u", max_size=20))
def test_any_text_in_html_is_text(text: str) -> None:
    shown, block = escape.html(text), interactive.json_block({"a": [text]})
    page = read(f'<p title="{shown}">{shown}</p><script type="application/json">{block}</script>')
    assert [name for name, _ in page.elements] == ["p", "script"]
    assert page.elements[0][1]["title"] == page.text == escape.visible(text)
    assert block.isascii() and json.loads(page.data) == {"a": [escape.visible(text)]}
