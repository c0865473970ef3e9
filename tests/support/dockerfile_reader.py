"""A strict reader of env/Dockerfile and .dockerignore: it refuses everything that it does not know.

The grammar follows the Dockerfile reference (docs.docker.com/reference/dockerfile), without the parts that this project
does not use: stages, heredocs, ADD, ENTRYPOINT, health checks. ``problems`` checks the rules of hadolint that matter
here.
"""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

KNOWN = ("FROM", "SHELL", "COPY", "RUN", "USER", "WORKDIR", "ARG", "ENV", "CMD")


@dataclass(frozen=True)
class Step:
    """One instruction. ``text``: its arguments on one line, without flags; ``words``: split, or from its JSON array."""

    keyword: str
    text: str
    words: tuple[str, ...]
    flags: dict[str, str] = field(default_factory=dict)
    json: bool = False


def read(text: str) -> list[Step]:
    """The instructions of a Dockerfile in order; raises ValueError, with the line, for anything unknown."""
    steps, parts = [], list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            if re.match(r"#\s*(syntax|escape|check)\s*=", line, re.IGNORECASE):
                raise ValueError(f"line {number}: parser directives are not read here")
            continue
        if not line.strip():
            if parts:
                raise ValueError(f"line {number}: an instruction runs into an empty line")
            continue
        parts.append(line.strip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            steps.append(_step(" ".join(parts), number))
            parts = []
    if parts:
        raise ValueError("the last instruction is not finished")
    return steps


def _step(line: str, number: int) -> Step:
    keyword, _, rest = line.partition(" ")
    if keyword not in KNOWN:
        raise ValueError(f"line {number}: {keyword} is none of {', '.join(KNOWN)}")
    if "<<" in rest:
        raise ValueError(f"line {number}: heredocs are not read here")
    flags = {}
    while found := re.match(r"--([a-z]+)=(\S+)\s+", rest):
        flags[found[1]] = found[2]
        rest = rest[found.end() :]
    rest = rest.strip()
    if not rest or rest.startswith("--"):
        raise ValueError(f"line {number}: {keyword} has no arguments, or a flag without a value")
    if rest.startswith("["):
        words = json.loads(rest)
        if not all(isinstance(word, str) for word in words):
            raise ValueError(f"line {number}: not a list of texts")
        return Step(keyword, rest, tuple(words), flags, json=True)
    return Step(keyword, rest, tuple(shlex.split(rest)), flags)


def problems(steps: Sequence[Step]) -> list[str]:
    """A reviewer's objections, [] if there are none; each names hadolint's rule if there is one."""
    return [*_base(steps), *_packages(steps), *_user(steps), *_form(steps)]


def _base(steps: Sequence[Step]) -> list[str]:
    if [step.keyword for step in steps].count("FROM") != 1 or steps[0].keyword != "FROM":
        return ["one FROM, and first"]
    image, _, digest = steps[0].words[0].partition("@")
    tag = image.rpartition("/")[2].partition(":")[2]
    found = []
    if not re.search(r"\d+\.\d+|\d{8}", tag):  # DL3006, DL3007: "latest", "slim" and "12" change over time
        found.append(f"FROM {image}: a tag of one release, not {tag or 'none'}")
    if digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        found.append(f"FROM: {digest} is no digest")
    return found


def _packages(steps: Sequence[Step]) -> list[str]:
    found = []
    for step in (step for step in steps if step.keyword == "RUN"):
        commands = [part.split() for part in re.split(r"&&|;|\|", step.text)]
        installs = [words for words in commands if "apt-get" in words and "install" in words]
        if installs and "apt-get update" not in step.text.split("install")[0]:
            found.append("apt-get install without update in the same RUN (DL3009)")
        for words in installs:
            if not {"--yes", "-y"} & set(words) or "--no-install-recommends" not in words:
                found.append("apt-get install needs --yes and --no-install-recommends (DL3014, DL3015)")
        if installs and commands[-1] != ["rm", "-rf", "/var/lib/apt/lists/*"]:
            found.append("apt's lists stay in the layer (DL3009)")
        if {"sudo", "curl", "wget", "pip"} & {word for words in commands for word in words}:
            found.append("sudo, a download or pip beside setup.py (DL3004, DL3013)")
    return found


def _user(steps: Sequence[Step]) -> list[str]:
    found, user = [], "root"
    for step in steps:
        if step.keyword == "USER":
            user = step.words[0]
        elif step.keyword == "COPY" and user != "root" and step.flags.get("chown") != f"{user}:{user}":
            found.append(f"COPY {step.text}: not owned by {user}, who is to use it")
        elif step.keyword == "COPY" and user == "root" and "." in step.words[:-1]:
            found.append("COPY of everything as root")
    if user.split(":")[0] in ("root", "0"):
        found.append("ends as root (DL3002)")
    return found


def _form(steps: Sequence[Step]) -> list[str]:
    found = []
    if not any(step.keyword == "SHELL" and "pipefail" in step.words for step in steps):
        found.append("SHELL without pipefail (DL4006)")
    found += [f"WORKDIR {step.text}: relative (DL3000)" for step in steps if _relative(step)]
    commands = [step for step in steps if step.keyword == "CMD"]
    if len(commands) != 1 or not commands[0].json or steps[-1].keyword != "CMD":
        found.append("one CMD, last, as a list: signals must reach make (DL3025)")
    return found


def _relative(step: Step) -> bool:
    return step.keyword == "WORKDIR" and not step.text.startswith("/")


class Ignored:
    """Whether .dockerignore excludes a path from the context: a pattern also covers everything below its path."""

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
    """The regular expression for a pattern of Go's filepath.Match, with ``**/`` for any number of folders."""
    translated = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    pieces = re.split(r"(\*\*/|\*|\?)", pattern)
    return "".join(translated.get(piece, re.escape(piece)) for piece in pieces)
