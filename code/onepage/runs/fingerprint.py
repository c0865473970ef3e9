"""Fingerprints of Python files: digests that ignore comments, docstrings and formatting. Standard library only.

A file is read as tokens, without those that only change its look. Comments can therefore be edited without training
again, while any other change gives another digest. The digest is the same on Python 3.11 to 3.14: from 3.12 on, the
tokenizer splits f-strings, and this module joins their tokens again.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from onepage.files import HOME, move

PACKAGE = Path(__file__).resolve().parents[1]
_LAYOUT = ("COMMENT", "NL", "ENCODING", "ENDMARKER")
_OPEN, _CLOSE = "([{", ")]}"


def tokens(source: str) -> list[str]:
    """The tokens of Python source that can change its effect, each as text; raises SyntaxError for other text.

    Left out are statements that are only a string (docstrings), and the comma before a closing bracket, unless it is
    the only one in the bracket and makes a tuple.
    """
    import io
    import tokenize  # slow to import, as ast is: only where a file's content is new

    lines = source.splitlines(keepends=True)
    try:
        found = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except tokenize.TokenError as error:
        raise SyntaxError(str(error)) from error
    texts: list[str] = []
    statement: list[str] = []
    only_strings = True
    commas: list[int] = []  # number of commas in each open bracket
    depth, start = 0, (0, 0)  # of nested f-strings, and where the outermost begins
    for token in found:
        name = tokenize.tok_name[token.type]
        if name in ("FSTRING_START", "TSTRING_START"):
            start, depth = (start if depth else token.start), depth + 1
            continue
        if name in ("FSTRING_END", "TSTRING_END"):
            depth -= 1
            if not depth:
                statement.append(_between(lines, start, token.end))
                only_strings = False
            continue
        if depth or name in _LAYOUT:
            continue
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            texts.append(name)
        elif token.type == tokenize.NEWLINE:
            texts += [] if only_strings else [*statement, "NEWLINE"]
            statement, only_strings = [], True
        else:
            if token.string in _OPEN:
                commas.append(0)
            elif token.string == "," and commas:
                commas[-1] += 1
            elif token.string in _CLOSE and commas and commas.pop() > 1 and statement[-1:] == [","]:
                statement.pop()
            statement.append(token.string)
            only_strings = only_strings and token.type == tokenize.STRING
    return texts


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    """The source from one place to another, (line from 1, column)."""
    part = lines[start[0] - 1 : end[0]]
    part[-1] = part[-1][: end[1]]
    part[0] = part[0][start[1] :]
    return "".join(part)


def imports(source: str) -> list[str]:
    """Dotted names of this package that the source imports, at any place in it: modules, and names in modules."""
    import ast

    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            found.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE.name)
    return sorted(found)


class Fingerprints:
    """Fingerprints of files. Each file is read once; a cache file stores the fingerprints by SHA-256 of the content."""

    def __init__(self, cache: Path | None = None):
        self.cache, self.changed = cache, False
        self.known: dict[str, Any] = {}
        self.files: dict[Path, tuple[str, list[str]]] = {}
        self.modules: dict[str, Path | None] = {}
        try:
            kept = json.loads(cache.read_text(encoding="utf-8")) if cache else {}
            self.known = kept if isinstance(kept, dict) else {}
        except (OSError, ValueError):
            pass

    def of(self, path: Path) -> tuple[str, list[str]]:
        """(digest, dotted imports) of a file; a file that is not Python has the digest of its bytes, and no imports."""
        if path not in self.files:
            self.files[path] = self._of(path)
        return self.files[path]

    def _of(self, path: Path) -> tuple[str, list[str]]:
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        if path.suffix != ".py":
            return sha256, []
        entry = self.known.get(sha256)
        if not (isinstance(entry, list) and len(entry) == 2):
            try:
                source = content.decode("utf-8")
                entry = [hashlib.sha256("\0".join(tokens(source)).encode()).hexdigest(), imports(source)]
            except (SyntaxError, ValueError):
                entry = [sha256, []]  # not valid Python: its bytes count
            self.known[sha256], self.changed = entry, True
        return entry[0], entry[1]

    def digest(self, paths: Iterable[Path]) -> str:
        """SHA-256 over the names and fingerprints of files."""
        total = hashlib.sha256()
        for path in sorted(paths):
            name = path.relative_to(HOME).as_posix() if path.is_relative_to(HOME) else path.name
            total.update(f"{name} {self.of(path)[0]}\n".encode())
        return total.hexdigest()

    def closure(self, entries: Iterable[Path], without: Iterable[str] = ()) -> set[Path]:
        """``entries`` and every file of the package that they import, directly or not.

        ``without``: files and folders below the package (``files.py``, ``terminal/*``), neither listed nor followed.
        """
        patterns, package = set(without), f"{PACKAGE.as_posix()}/"
        folders = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("/*"))
        reached, todo = set(), list(entries)
        counted = set()
        while todo:
            path = todo.pop()
            if path in reached:
                continue
            reached.add(path)
            local = path.as_posix().removeprefix(package)
            if path.name == "__init__.py" or local in patterns or local.startswith(folders):
                continue
            counted.add(path)
            todo += [module for name in self.of(path)[1] if (module := self._module(name))]
        return counted

    def _module(self, name: str) -> Path | None:
        """The file of a dotted name; None if it names something inside a module."""
        if name not in self.modules:
            file = f"{PACKAGE.parent}/{name.replace('.', '/')}.py"  # most names have no file: make no Path for them
            self.modules[name] = Path(file) if os.access(file, os.F_OK) else None
        return self.modules[name]

    def save(self) -> None:
        """Save the cache for the next call; if the folder cannot be written, the next call is only slower."""
        if self.cache and self.changed:
            with contextlib.suppress(OSError):
                replace_text(self.cache, json.dumps(self.known))


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` beside ``path`` and move it into place; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    move(temporary, path)


def sha256_of(values: Mapping[str, Any]) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
