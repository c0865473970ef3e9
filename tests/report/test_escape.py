"""Any text prints literally in LaTeX, Markdown and typst, and none acts as markup or code."""

import re
import shutil
import unicodedata
from pathlib import Path

import jinja2
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from onepage.report import escape, pdf

HOSTILE = [
    r"50 % _of_ \input{/etc/passwd} $x_1^2$ ^^41 ~ # & {a}",
    "`code` ``two`` | cell | <script>alert(1)</script> <!-- x --> &amp; &#65;",
    "* star\\ [link](http://a.b) ![x](y) www.a.b # head @label //",
    "-- --- ,, << >> '' !` ?` \"quoted\" fi ffl",
    "zero\u200bwidth right\u202eleft bell\x07 nul\x00 line\nbreak\ttab",
    "naïve Straße Łódź ‘x’ “y” – — € × → ≥",
    "日本語 \U0001f642 текст \ud800",
]
any_text = st.text(st.characters(exclude_categories=()), max_size=60)
ascii_text = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)


def _squeeze(text: str) -> str:
    return re.sub(r"\s", "", text)


# --- LaTeX -------------------------------------------------------------------------------------------------------

# Everything that escaping may write: these commands, escaped signs, and braces around a bracket, a star or nothing.
_LATEX_ALLOWED = re.compile(
    r"\\(?:text[a-z]+|nobreakspace|ensuremath\{\\(?:leq|geq|approx)\}|mbox\{-\})(?:\{\})?|\\[{}$&#%_ ]|\{[][*]?\}"
)


@pytest.mark.fault("any text in the LaTeX page (fuzzed)", "no command of LaTeX is left in it")
@given(any_text)
def test_latex_output_contains_no_active_control(text: str) -> None:
    left = _LATEX_ALLOWED.sub("", escape.latex(text))
    assert not set(left) & set("\\{}$&#%_^~[]*<>|\"'`")
    assert all(c.isprintable() for c in left)


@pytest.mark.fault("any character in the LaTeX page (fuzzed)", "set, or shown as [U+XXXX]")
@given(any_text)
def test_latex_output_is_only_what_t1_can_set(text: str) -> None:
    settable = escape.LATEX_SETTABLE
    assert all(" " <= c <= "~" or ord(c) in settable for c in escape.latex(text))


@given(ascii_text)
def test_latex_of_ascii_is_undone_by_the_reverse_table(text: str) -> None:
    back = {written: sign for sign, written in escape._LATEX.items() if ord(sign) < 128}
    pattern = re.compile("|".join(map(re.escape, sorted([*back, r"\ ", "{}"], key=len, reverse=True))))
    plain = pattern.sub(lambda match: {r"\ ": " ", "{}": ""}.get(match[0], back.get(match[0], "")), escape.latex(text))
    assert plain == text


# --- Markdown ----------------------------------------------------------------------------------------------------


def _shown(tokens: list[Token]) -> str:
    """The text that a reader sees; asserts that no other token comes from markup in the text."""
    inline = [token for token in tokens if token.type == "inline"]
    for token in inline:
        assert {child.type for child in token.children or []} <= {"text", "text_special"}
    return "".join(child.content for token in inline for child in token.children or [])


@pytest.mark.fault("any text in the Markdown page (fuzzed)", "it prints as itself: no markup, no HTML")
@given(any_text.filter(bool))
def test_markdown_parsed_gives_back_the_text(text: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(escape.markdown(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    assert _shown(tokens) == escape.visible(text)


@pytest.mark.fault("any text in a table of the Markdown page (fuzzed)", "it stays in its cell")
@given(any_text.filter(bool), any_text.filter(bool))
def test_markdown_in_a_table_stays_in_its_cell(left: str, right: str) -> None:
    source = f"| a | b |\n|---|---|\n| {escape.markdown(left)} | {escape.markdown(right)} |\n"
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    assert [_shown([cell]) for cell in cells[2:]] == [escape.visible(left), escape.visible(right)]


@pytest.mark.fault("any text as a picture's alternative (fuzzed)", "it prints as itself")
@given(any_text)
def test_markdown_in_an_image_is_its_alternative_text(text: str) -> None:
    (paragraph,) = [t for t in MarkdownIt("commonmark").parse(f"![{escape.markdown(text)}](a.png)") if t.children]
    (image,) = paragraph.children or []
    assert image.type == "image"
    assert "".join(child.content for child in image.children or []) == escape.visible(text)


# --- visible -----------------------------------------------------------------------------------------------------


def test_what_has_no_shape_is_printed_in_a_visible_form() -> None:
    assert escape.visible("a\u200bb\x07") == "a[U+200B]b[U+0007]"
    assert escape.visible("a\u202eb") == "a[U+202E]b"


def test_a_joiner_is_kept_between_emoji_and_shown_between_letters() -> None:
    family = "\U0001f468\u200d\U0001f469"
    assert escape.visible(family) == family
    assert escape.visible("a\u200db") == "a[U+200D]b"


@pytest.mark.fault("invisible and direction-changing characters (fuzzed)", "shown as [U+XXXX]")
@given(any_text)
def test_visible_leaves_nothing_shapeless_but_joiners(text: str) -> None:
    assert all(unicodedata.category(c) not in escape._SHAPELESS or c == "\u200d" for c in escape.visible(text))


# --- templates ---------------------------------------------------------------------------------------------------


def _render(folder: Path, template: str, **values: object) -> str:
    (folder / "t").write_text(template, encoding="utf-8")
    return escape.environment(folder, escape.latex).get_template("t").render(values)


@pytest.mark.fault("a template that forgets to escape", "escaped all the same")
def test_a_template_cannot_forget_to_escape(tmp_path: Path) -> None:
    assert _render(tmp_path, "<< x >> <% for y in z %><< y >><% endfor %>", x="%", z=["_"]) == r"\% \_"
    assert _render(tmp_path, "<< x + '%' >>", x=escape.Safe("\\")) == r"\textbackslash{}\%"
    assert _render(tmp_path, "<< x >>", x=escape.Safe("\\par")) == "\\par"


def test_a_template_refuses_what_is_missing_or_not_formatted(tmp_path: Path) -> None:
    with pytest.raises(jinja2.UndefinedError):
        _render(tmp_path, "<< nothing >>")
    for value in (None, 0.5, True, ["a"]):
        with pytest.raises(TypeError):
            _render(tmp_path, "<< x >>", x=value)


# --- the engines themselves --------------------------------------------------------------------------------------


@pytest.mark.fault("hostile text through pdflatex", "it prints as itself")
@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("latexmk"), reason="no LaTeX here: make setup-tex")
def test_pdflatex_prints_hostile_text_as_itself(tmp_path: Path) -> None:
    body = "\n\n".join(str(escape.latex(text)) for text in HOSTILE)
    preamble = (
        r"\documentclass{article}\usepackage[T1]{fontenc}\input{glyphtounicode}\pdfgentounicode=1"
        r"\def\fonts{figures/fonts/}\input{\fonts onepage.tex}\begin{document}\raggedright "
    )
    content = pdf.compile_latex(preamble + body + r"\end{document}", {}, 0, tmp_path / "log")
    (tmp_path / "a.pdf").write_bytes(content)
    read = _squeeze(pypdf.PdfReader(tmp_path / "a.pdf").pages[0].extract_text())
    settable = escape.LATEX_SETTABLE | set(range(32, 127)) | {ord(c) for c in escape._LATEX}
    for text in HOSTILE:
        expected = "".join(c if ord(c) in settable else escape.code_point(c) for c in text)
        assert _squeeze(expected) in read, text


@pytest.mark.fault("hostile text through typst", "it prints as itself")
@pytest.mark.slow
def test_typst_prints_hostile_text_as_itself(tmp_path: Path) -> None:
    pytest.importorskip("typst", reason="no typst wheel here")
    settable = pdf.typst_settable()
    body = "\n\n".join(str(escape.typst(text, settable)) + ".first(1)" for text in HOSTILE)
    end = "\n#context [#metadata(counter(page).final().first()) <pages>]"
    setup = '#set text(font: ("Onepage Sans", "DejaVu Sans"), hyphenate: false)\n'
    (tmp_path / "a.pdf").write_bytes(pdf.compile_typst(setup + body + end, {}, 0))
    read = _squeeze(pypdf.PdfReader(tmp_path / "a.pdf").pages[0].extract_text())
    for text in HOSTILE:
        expected = "".join(c if settable(c) else escape.code_point(c) for c in escape.visible(text))
        assert _squeeze(expected) + ".first(1)" in read, text
