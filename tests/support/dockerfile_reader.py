"""The instructions of env/Dockerfile, and the patterns of .dockerignore. hadolint checks the grammar."""

import json
import re
import shlex
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """One instruction. ``text``: its arguments on one line, without flags; ``words``: split, or of its JSON array."""

    keyword: str
    text: str
    words: tuple[str, ...]
    flags: dict[str, str] = field(default_factory=dict)
    json: bool = False


def read(text: str) -> list[Step]:
    """The instructions of a Dockerfile, in order."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(line.rstrip() for line in lines))
    return [_step(line) for line in joined.splitlines()]


def _step(line: str) -> Step:
    keyword, _, rest = line.partition(" ")
    flags = {}
    while found := re.match(r"--([a-z]+)=(\S+)\s+", rest):
        flags[found[1]] = found[2]
        rest = rest[found.end() :]
    is_json = rest.startswith("[")
    return Step(keyword, rest, tuple(json.loads(rest) if is_json else shlex.split(rest)), flags, is_json)


class Ignored:
    """Whether .dockerignore keeps a path out of the context: a pattern counts for what it names and all below it."""

    def __init__(self, text: str) -> None:
        self.patterns = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if any(pattern[0] in "!/" or pattern.endswith("/") for pattern in self.patterns):
            raise ValueError("exceptions, and slashes at either end, are not read here")
        self._expressions = [re.compile(_expression(pattern)) for pattern in self.patterns]

    def __call__(self, path: str) -> bool:
        """``path``: relative to the context, with "/" between its parts."""
        parts = path.split("/")
        heads = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        return any(expression.fullmatch(head) for expression in self._expressions for head in heads)


def _expression(pattern: str) -> str:
    """A pattern of Go's filepath.Match, with ``**/`` for any folders or none, as a regular expression."""
    translated = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*|\?)", pattern)
    return "".join(translated.get(piece, re.escape(piece)) for piece in pieces)
