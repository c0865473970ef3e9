"""Escaping: any text prints as itself in LaTeX, Markdown, HTML and typst, and is never executed.

``environment(escape)`` makes a Jinja2 environment whose ``finalize`` escapes every value that a template prints, unless
the value is ``Safe``: a template cannot forget to escape. Characters that a format or its font cannot set are printed
in a visible form, ``[U+200B]``; so are control, zero-width and direction-changing characters, which would hide or
reorder the text around them.
"""

import re
import unicodedata
from collections.abc import Callable
from html import escape as html_escape
from pathlib import Path
from typing import Any

import jinja2

# Unicode categories that have no shape of their own: controls, formats, surrogates, private, unassigned, separators.
_SHAPELESS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINER = "\u200d"  # zero-width joiner: kept inside an emoji sequence or a word of a joining script


class Safe(str):
    """Markup that a template may print unchanged: the result of escaping, never a text from data."""


def code_point(character: str) -> str:
    """The visible form of one character: ``[U+200B]``."""
    return f"[U+{ord(character):04X}]"


def visible(text: str) -> str:
    """``text`` with every shapeless character in its visible form (a joiner between two non-ASCII characters stays)."""
    if text.isascii() and text.isprintable():
        return text
    parts = []
    for i, character in enumerate(text):
        if character == _JOINER and 0 < i < len(text) - 1 and min(ord(text[i - 1]), ord(text[i + 1])) > 0x2FF:
            parts.append(character)
        elif unicodedata.category(character) in _SHAPELESS:
            parts.append(code_point(character))
        else:
            parts.append(character)
    return "".join(parts)


# --- LaTeX -----------------------------------------------------------------------------------------------------------

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    # Bracket and star would be read as an argument where they follow a command such as \\.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "\u00a0": r"\nobreakspace{}",
    "\u2010": "-",
    "\u2011": r"\mbox{-}",
}
# The characters of the page's font, which figures/fonts/onepage.tex defines for pdfLaTeX; any other character would be
# an error.
LATEX_SETTABLE = (set(range(0xA1, 0x180)) - {0xAD}) | {ord(c) for c in "‒–—―‖‘’‚“”„†‡•…‰‹›€←↑→↓−≈≠≤≥▁\ufffd"}
# Two of these in a row would join into another character (-- into a dash, ,, into a quotation mark, ...).
_LIGATURES = {"-", ",", "'", "`", "<", ">", "!", "?"}


def latex(text: str) -> Safe:
    """LaTeX (pdfLaTeX, in the page's face) that prints ``text``; composed to NFC first: it has no combining marks."""
    parts: list[str] = []
    previous = ""
    for character in unicodedata.normalize("NFC", text):
        if character == previous and character in _LIGATURES:
            parts.append("{}")
        if character == " " and previous in ("", " "):
            parts.append(r"\ ")
        elif character in _LATEX:
            parts.append(_LATEX[character])
        elif " " <= character <= "~" or ord(character) in LATEX_SETTABLE:
            parts.append(character)
        else:
            parts.append("{[}" + code_point(character)[1:-1] + "{]}")
        previous = character
    return Safe("".join(parts))


# --- Markdown --------------------------------------------------------------------------------------------------------

# Numeric character references instead of backslashes, because they mean the same in a paragraph, in a cell of a table,
# in a link's text, in raw HTML and in an HTML attribute.
_MARKDOWN = set("&<>\"'`*_[]\\|~#$^{}@")


def markdown(text: str) -> Safe:
    """CommonMark (and GFM, and HTML) that shows ``text``: in a paragraph, a table's cell, a link or an attribute.

    Not for code spans between backticks, where references are not decoded: use ``<code>``.
    """
    shown = visible(text)
    parts: list[str] = []
    for i, character in enumerate(shown):
        at_edge = i == 0 or i == len(shown) - 1
        escaped = (
            character in _MARKDOWN
            or (character.isspace() and (at_edge or shown[i - 1].isspace() or character != " "))
            or (i == 0 and character in "-+=")  # a list or a heading's underline; below, a numbered list
            or (character in ".)" and shown[:i].isascii() and shown[:i].isdigit() and not shown[i + 1 : i + 2].strip())
            or (character == ":" and shown[i + 1 : i + 3] == "//")  # a bare address becomes a link
            or (character == "." and shown[max(0, i - 3) : i].lower() == "www")
        )
        parts.append(f"&#{ord(character)};" if escaped else character)
    return Safe("".join(parts))


# --- HTML ------------------------------------------------------------------------------------------------------------


def html(text: str) -> Safe:
    """HTML that shows ``text``: between tags, or in an attribute between quotation marks."""
    return Safe(html_escape(visible(text)))


# --- typst -----------------------------------------------------------------------------------------------------------


def typst_string(text: str, settable: Callable[[str], bool]) -> Safe:
    """A typst string literal, for code such as ``alt: ...``; unsettable characters in their visible form."""
    shown = "".join(c if settable(c) else code_point(c) for c in visible(text))
    return Safe('"' + re.sub(r'[\\"]', lambda match: "\\" + match[0], shown) + '"')


def typst(text: str, settable: Callable[[str], bool]) -> Safe:
    """Typst markup that prints ``text``: a string in code, which markup rules never read.

    The semicolon ends the expression, so that a following ``.`` or ``(`` is not taken as part of it.
    """
    return Safe(f"#{typst_string(text, settable)};")


# --- templates -------------------------------------------------------------------------------------------------------


def environment(folder: Path, escape: Callable[[str], Safe]) -> jinja2.Environment:
    """A Jinja2 environment over ``folder`` that escapes whatever a template prints.

    Delimiters are ``<< value >>``, ``<% statement %>``, ``<# comment #>`` in every format; no format uses them itself.
    A missing name, ``None`` and a value that is neither text nor a whole number stop the rendering.
    """

    def finalize(value: Any) -> str:
        if isinstance(value, jinja2.Undefined):
            return str(value)  # raises: StrictUndefined
        if isinstance(value, Safe):
            return value
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return escape(str(value))
        raise TypeError(f"a template prints text or whole numbers, not {value!r}: format it in the context")

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        finalize=finalize,
        undefined=jinja2.StrictUndefined,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
