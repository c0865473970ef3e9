"""The documentation agrees with the code: targets, variables, paths, messages, sizes, citation, licence, CI."""

import ast
import fnmatch
import functools
import os
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

import onepage
from checkout import REPOSITORY as ROOT
from checkout import load_script, run_make
from onepage import tasks
from onepage.data import sources
from onepage.runs import settings
from onepage.tasks import TASKS

DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "env/*.md", "tests/*.md", "report/*/README.md")
    for path in ROOT.glob(pattern)
)


@functools.cache
def text_of(document: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / document).read_text(encoding="utf-8")


README, RESULTS, TROUBLESHOOTING, HOW = map(
    text_of, ("README.md", "docs/results.md", "docs/troubleshooting.md", "docs/how-it-works.md")
)
MAKEFILE, CITATION = text_of("Makefile"), text_of("CITATION.cff")
# Phony targets for internal use: parts of `check`, of `test`, and of goals with several seeds.
PARTS = {"lint", "types", "unit", "runs", "train-all"}


@functools.cache
def helped_targets() -> set[str]:
    """The targets that `make help` prints."""
    return set(re.findall(r"^  ([a-z-]+) ", settings.help_text(MAKEFILE), re.MULTILINE))


def code_spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def ignored_by_git(path: str) -> bool:
    """Whether .gitignore (simple patterns only) lists ``path`` or a parent folder, and so it is generated."""
    patterns = [line.strip("/") for line in text_of(".gitignore").split()]
    parts = Path(path).parts
    heads = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return any(fnmatch.fnmatch(head, pattern) for head in heads for pattern in patterns)


def test_help_lists_every_phony_target_of_the_user() -> None:
    lines = " ".join(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE))
    phony = set(lines.replace("$(TASKS)", " ".join(TASKS)).split())
    assert helped_targets() == phony - PARTS
    assert phony >= PARTS


def test_help_prints_targets_and_settings() -> None:
    done = run_make(ROOT, "help")
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"^  ([a-z-]+)  ", done.stdout, re.MULTILINE)) == helped_targets()
    defaults = dict(re.findall(r"^  ([A-Z_]+)=(\S*) ", done.stdout, re.MULTILINE))
    assert defaults == {setting.name: setting.default for setting in settings.SETTINGS}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_targets_named_in_documents_exist(document: str) -> None:
    text = text_of(document)
    blocks = re.findall(r"^ {4}(?:\$ )?(.*?)(?: +#.*)?$", text, re.MULTILINE)
    for span in code_spans(text) + blocks:
        call = re.fullmatch(r"(?:[A-Z_]+=\S* )*make (.*)", span)
        words = shlex.split(call[1]) if call else []
        assert {word for word in words if "=" not in word and word[0] != "-"} <= helped_targets() | PARTS, span


def test_readme_is_short_and_has_its_sections() -> None:
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)
    wanted = "Quick start, Requirements, Usage, Results, Reproducing the results, How it works"
    assert headings == [*wanted.split(", "), "Extending", "Citation", "License"]
    assert len(README.split()) <= 1000 and len(README.encode()) <= 9000
    usage = README.split("## Usage")[1].split("\n## ")[0]
    assert set(re.findall(r"^    make (\w+)", usage, re.MULTILINE)) <= helped_targets()


def test_index_lists_every_document() -> None:
    index = text_of("docs/README.md")
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"} <= set(re.findall(r"\((.*?)\)", index))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_relative_links_lead_somewhere(document: str) -> None:
    links = re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", text_of(document))
    for shown, link in links:
        if not re.match(r"https?:|#", link):
            assert ((ROOT / document).parent / link.split("#")[0]).exists(), link
            there = ((ROOT / document).parent / link.split("#")[0]).resolve()
            assert "/" not in shown or (ROOT / shown).resolve() in (there, there.parent)


def missing(text: str) -> list[str]:
    """The paths in a text that neither exist nor are generated, relative to the repository or the package."""
    paths = re.findall(r"(?<![\w./*<>-])(?:code|docs|env|figures|report|tests|runs)/[\w./-]*+(?![{<*])", text)
    # "seg" and "mlp" are the tasks that docs/extending.md and docs/example-task.md add
    paths = [path for path in paths if not {"NAME", "seg", "mlp"} & {*Path(path).parts}]
    paths = [path.rstrip(".-") for path in paths]
    paths = [path for path in paths if not (ROOT / path).exists() and not (ROOT / "code/onepage" / path).exists()]
    return [path for path in paths if not ignored_by_git(path)]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_paths_named_in_documents_exist_or_are_made(document: str) -> None:
    assert not missing(text_of(document))


def test_targets_and_paths_named_in_the_code_exist() -> None:
    """In messages, help, docstrings and comments."""
    files = [ROOT / "Makefile", *(ROOT / "env").iterdir(), *(ROOT / "code").rglob("*.py"), *ROOT.glob("report/*.toml")]
    for path in (path for path in files if path.is_file()):
        text = path.read_text(encoding="utf-8")
        named = set(re.findall(r"`(?:[A-Z_]+=\S* )*make ([a-z-]*[a-z])(?![a-z{-])", text))
        assert named <= helped_targets() | PARTS and not missing(text), (path, named, missing(text))


def test_guide_has_the_roles_of_the_tasks() -> None:
    guide = text_of("docs/extending.md")
    rows = re.findall(r"^\| `([a-z]+)` \| (.*?) \| (.*?) ?\|$", guide, re.MULTILINE)
    table = re.findall(r"^([a-z]+)  +\S", str(tasks.__doc__), re.MULTILINE)
    assert {role for role, _, _ in rows} == set(table) - {"module"}
    for task in tasks.every():
        for role, named, left_out in rows:
            path = ROOT / "code/onepage" / task.name / f"{role}.py"
            assert path.is_file() or left_out, path
            held = path.read_text(encoding="utf-8")
            for name in code_spans(named):
                assert re.search(rf"^(def |class )?{name}\b", held, re.MULTILINE), f"{path}: {name}"


def test_guide_names_what_is_in_the_code() -> None:
    guide = text_of("docs/extending.md")
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "code").rglob("*.py")))
    files = {path.name for path in [*ROOT.iterdir(), *(ROOT / "code").rglob("*")]}
    for word in {span for span in code_spans(guide) if re.fullmatch(r"[A-Za-z][A-Za-z_.]+", span)} - {"seg"}:
        assert re.search(rf"(?<![A-Za-z]){re.escape(word)}(?![A-Za-z])", code) or word in files, word


def test_pictures_named_are_drawn() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "code/onepage").rglob("*.py"))
    paragraph = HOW.split("## Pictures")[1].split("\n## ")[0]
    names = code_spans(paragraph)
    assert len(names) >= 14
    for name in names:
        numbered = re.sub(r"(layer|head)\d+", r"\1{\1}", re.sub(r"gradcam_\d+", "gradcam_{k}", name))
        assert f'"{numbered}"' in source, name


@functools.cache
def messages() -> list[str]:
    """Every string in the code, with NUL for each inserted value, and every line of the Makefile."""
    texts: list[str] = MAKEFILE.splitlines()
    for path in [*sorted((ROOT / "code").rglob("*.py")), *sorted((ROOT / "env").glob("*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        blocks = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
        prose = {id(node.body[0].value) for node in blocks if node.body and isinstance(node.body[0], ast.Expr)}
        for node in ast.walk(tree):
            if id(node) in prose:  # docstrings
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                texts.append("".join(map(str, parts)))
    return texts


@functools.cache
def joined() -> str:
    """Each of the messages once, with \\1 between them."""
    return "\1".join(dict.fromkeys(messages()))


def is_message(parts: list[str]) -> bool:
    """Whether a message has these parts in this order."""
    return re.search("[^\1]*".join(re.escape(part) for part in parts if part), joined()) is not None


def test_messages_explained_are_messages_of_the_code() -> None:
    quoted = re.findall(r"^\| `([^`]+)` \|", TROUBLESHOOTING, re.MULTILINE)
    assert len(quoted) >= 15
    assert [message for message in quoted if not is_message(message.split("..."))] == []


def test_targets_named_in_messages_exist() -> None:
    """A message such as "run: make all" names a target; "make it smaller" names none."""
    known = helped_targets() | PARTS | {"again", "it", "one", "and", "works", "the"}
    for text in messages():
        named = set(re.findall(r"(?<!\w)make ([a-z][a-z-]*[a-z])(?![\w-])", text))
        assert named <= known or text.lstrip().startswith("#"), text


def test_sizes_of_downloads_are_those_of_the_code() -> None:
    setup = load_script(ROOT / "env" / "setup.py")
    download, disk = (a + b for a, b in zip(setup.SIZES["Linux", "cpu"], setup.SIZES["rest"], strict=True))
    assert f"about {download} MB ({disk / 1000:.1f} GB on disk)" in RESULTS
    images, pairs = sources.get("cifar10"), sources.get("multi30k")
    packed = [sum(item.size for item in plan.downloads) / 1e6 for plan in (images, pairs)]
    assert f"{packed[0]:.0f} MB for CIFAR-10, {packed[1]:.1f} MB for Multi30k" in RESULTS
    assert f"({round((images.size + pairs.size) / 1e6, -1):.0f} MB on disk)" in RESULTS


def test_floors_and_counts_are_those_of_the_claims() -> None:
    claims = tomllib.loads(text_of("report/claims.toml"))["claim"]
    floors = [f"{c['minimum'] * 100:g} %" if c["task"] == "cls" else f"{c['minimum']:g} BLEU" for c in claims]
    assert all(f"at least {floor} " in " ".join(RESULTS.split()) for floor in floors[:2])
    said = README.split("## Reproducing")[1].split("\n## ")[0]
    assert all(floor in said for floor in floors)


def test_no_number_is_left_open() -> None:
    for document in DOCUMENTS:
        left = re.findall(r"\b(?:TIME|RESULT)_[A-Z0-9_]+", text_of(document))
        assert not left, f"{document}: measure and fill in {', '.join(left)}"


def test_citation_has_what_the_format_requires() -> None:
    values = dict(re.findall(r"^([a-z-]+):[ ]*(.*)$", CITATION, re.MULTILINE))
    assert {"cff-version", "message", "title", "authors"} <= values.keys()
    assert values["cff-version"] == "1.2.0"
    assert values["title"].startswith('"onepage: two architectures from primitives') and values["message"]
    assert re.search(r'^authors:\n  - name: "The onepage authors"$', CITATION, re.MULTILINE)
    assert "\t" not in CITATION
    assert len(re.findall(r"^[a-z-]+:", CITATION, re.MULTILINE)) == len(values), "a key stands twice"
    references = re.split(r"^  - type: ", CITATION.split("\nreferences:\n")[1], flags=re.MULTILINE)[1:]
    assert len(references) >= 5
    for reference in references:
        assert re.match(r"[a-z-]+\n    title: .+\n    authors:\n      - \{family-names: ", reference), reference[:60]
    for work in ("Deep Residual", "Attention Is All", "Grad-CAM", "Tiny Images", "Multi30K"):
        assert sum(work in reference.splitlines()[1] for reference in references) == 1, work
    for doi in re.findall(r"^ *doi: (.*)$", CITATION, re.MULTILINE):
        assert re.fullmatch(r"10\.\d{4,9}/[A-Za-z0-9./_-]+", doi)


def test_version_is_one() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    cited = re.search(r"^version: (\S+)$", CITATION, re.MULTILINE)
    assert cited and cited[1] == project["version"] == onepage.__version__


def test_licence_is_mit() -> None:
    text = text_of("LICENSE")
    assert text.startswith("MIT License\n\nCopyright (c) 2026 The onepage authors\n")
    assert "Permission is hereby granted, free of charge" in text and 'PROVIDED "AS IS"' in text
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert project["license"] == "MIT"
    assert re.search(r"^license: MIT$", CITATION, re.MULTILINE)


def test_ci_runs_the_readmes_test_command() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert os.access(script, os.X_OK)
    assert text.startswith("#!/usr/bin/env bash\n") and "\nset -euo pipefail\n" in text
    assert re.search(r"^make test$", text, re.MULTILINE)
    assert "make test " in README.split("## Quick start")[1].split("\n## ")[0]
    assert subprocess.run(["bash", "-n", str(script)], timeout=60).returncode == 0


def test_ci_ends_with_the_status_of_its_tests_and_the_time(tmp_path: Path) -> None:
    """A fake make records the order, environment and input of its calls. The script ends with its exit status."""
    clone = tmp_path / "clone"
    script = clone / ".ci" / "run"
    script.parent.mkdir(parents=True)
    script.write_bytes((ROOT / ".ci" / "run").read_bytes())
    script.chmod(0o755)
    mirror = re.search(r"DATA_MIRROR=(\S+)", script.read_text(encoding="utf-8"))
    assert mirror
    (clone / mirror[1]).mkdir(parents=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    make = programs / "make"
    make.write_text(
        '#!/bin/bash\necho "make $* DATA=$DATA MIRROR=$DATA_MIRROR STRICT=$STRICT in $PWD"\n'
        'read -r line && echo "read $line"\n[[ $1 == setup-* ]] && exit 1\n[[ $1 == test ]] && exit 3\n',
        encoding="utf-8",
    )
    for name, body in (("apt-get", "exit 1"), ("id", "echo 0"), ("chromium", ""), ("npm", "")):
        (programs / name).write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
    for program in programs.iterdir():
        program.chmod(0o755)
    elsewhere = tmp_path / "elsewhere"  # a folder in CDPATH that also has .ci, as the clone does
    (elsewhere / ".ci").mkdir(parents=True)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "CDPATH": str(elsewhere)}
    done = subprocess.run(
        [".ci/run"], cwd=clone, env=environment, input="typed\n", capture_output=True, text=True, timeout=60
    )
    lines = done.stdout.splitlines()
    assert lines[0] == f"make setup-tex DATA= MIRROR= STRICT= in {clone}"
    assert "typst typesets the page" in lines[1]
    assert lines[2] == f"make setup-compare DATA= MIRROR= STRICT= in {clone}"
    assert "the tests that compare are skipped" in lines[3]
    assert lines[4] == f"make test DATA=real MIRROR={mirror[1]} STRICT=1 in {clone}"
    assert re.fullmatch(r"\.ci/run: exit status 3 after \d+ min \d+ s", lines[5])
    assert len(lines) == 6
    assert done.returncode == 3
