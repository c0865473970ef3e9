"""Applies the code blocks of docs/example-task.md to a copy of the repository.

Three kinds of blocks change files: "`path`, new:" and a whole file; "`path`, at its end:" and the lines to append;
"`path`:" and lines with ``-`` and ``+``, whose old lines must occur in that file exactly once. The last old line may be
the beginning of a longer line. A block without a path belongs to the path before it.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"(?:^`([^`\n]+)`(, new|, at its end)?:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One code block: its file, its kind ("new", "end", "diff" or "sh"), and its text."""

    path: str
    kind: str
    text: str


def blocks(document: str) -> list[Block]:
    """The code blocks of a document in order; raises ValueError for a block of unknown kind."""
    found, path = [], ""
    for named, how, language, text in _BLOCK.findall(document):
        path = named or path
        kind = {", new": "new", ", at its end": "end"}.get(how, language)
        if kind not in ("new", "end", "diff", "sh") or (kind in ("new", "end") and not named):
            raise ValueError(f"a block of {language} says neither which file it is nor what it changes: {text[:60]}")
        found.append(Block(path, kind, text))
    if document.count("\n```") != 2 * len(found):
        raise ValueError("a code block is not read")
    return found


def apply(block: Block, place: Path) -> None:
    """Apply one block to the files in ``place``; raises ValueError if it does not fit them."""
    file = place / block.path
    if block.kind == "new":
        if file.exists():
            raise ValueError(f"{block.path} is there already")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")
    elif block.kind == "end":
        file.write_text(file.read_text(encoding="utf-8") + block.text, encoding="utf-8")
    elif block.kind == "diff":
        file.write_text(changed(file.read_text(encoding="utf-8"), block), encoding="utf-8")


def changed(text: str, block: Block) -> str:
    """``text`` with the block's old lines replaced by its new ones."""
    lines = block.text.splitlines()
    if any(line[:1] not in ("-", "+", " ") for line in lines) or not any(line[0] in "-+" for line in lines):
        raise ValueError(f"{block.path}: every line starts with -, + or a space, and one at least with - or +")
    old = "\n".join(line[1:] for line in lines if line[0] != "+")
    new = "\n".join(line[1:] for line in lines if line[0] != "-")
    if f"\n{text}".count(f"\n{old}") != 1:
        raise ValueError(f"{block.path}: these lines stand there {text.count(old)} times, not once:\n{old}")
    return f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]
