"""env/Dockerfile: parsed, checked against rules, and its steps run in another root without a container engine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest

from checkout import RECIPES
from dockerfile_reader import Ignored, problems, read
from isolated_build import Build, can_isolate
from onepage.runs.settings import BY_NAME

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "env" / "Dockerfile").read_text(encoding="utf-8")
IGNORE = (ROOT / ".dockerignore").read_text(encoding="utf-8")


def test_nothing_to_object_to() -> None:
    assert problems(read(DOCKERFILE)) == []


@pytest.mark.parametrize(
    ("old", "new", "objection"),
    [
        ("FROM debian:12.12-slim", "FROM debian", "tag of one release"),
        ("FROM debian:12.12-slim", "FROM debian:bookworm-slim", "tag of one release"),
        ("FROM debian:12.12-slim", "FROM debian:12.12-slim@sha256:0123", "no digest"),
        ("FROM debian:12.12-slim", "FROM debian:12.12-slim\nFROM debian:12.12-slim", "one FROM"),
        ("--no-install-recommends", "", "no-install-recommends"),
        ("install --yes", "install", "--yes"),
        ("apt-get update \\\n    &&", "", "without update"),
        (" \\\n    && rm -rf /var/lib/apt/lists/*", "", "lists stay"),
        ("RUN python3 env", "RUN sudo python3 env", "sudo"),
        ("RUN python3 env", "RUN .venv/bin/pip install x && pip install y && python3 env", "pip beside"),
        ("USER artifact\n", "", "ends as root"),
        ("USER artifact\n", "USER 0:0\n", "ends as root"),
        ("USER artifact\n", "COPY . /artifact\nUSER artifact\n", "as root"),
        ("COPY --chown=artifact:artifact . .", "COPY . .", "not owned"),
        ('SHELL ["/bin/bash", "-euo", "pipefail", "-c"]\n', "", "pipefail"),
        ("WORKDIR /artifact", "WORKDIR artifact", "relative"),
        ('CMD ["make", "all"]', "CMD make all", "as a list"),
        ('CMD ["make", "all"]', 'CMD ["make", "all"]\nRUN true', "last"),
    ],
)
def test_rules_object(old: str, new: str, objection: str) -> None:
    """Each rule detects its fault in a copy of the file with one change."""
    assert old in DOCKERFILE
    assert any(objection in problem for problem in problems(read(DOCKERFILE.replace(old, new))))


@pytest.mark.parametrize("line", ["ADD x y", "run x", "RUN <<E", "RUN x \\", "COPY --link x y", "# escape=`", "FROM"])
def test_reader_refuses_what_it_does_not_know(line: str) -> None:
    with pytest.raises(ValueError, match=r"line|not finished"):
        read(f"FROM debian:12.12\n{line}\n")


def test_another_program_reads_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(Path(sys.prefix) / "compare"))
    peer = pytest.importorskip("dockerfile_parse", reason="no dockerfile-parse here: make setup-compare")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    structure = peer.DockerfileParser(str(tmp_path)).structure
    theirs = [(part["instruction"], part["value"].split()) for part in structure if part["instruction"] != "COMMENT"]
    flags = [(step.keyword, [f"--{key}={value}" for key, value in step.flags.items()]) for step in read(DOCKERFILE)]
    ours = [(step.keyword, had + step.text.split()) for (_, had), step in zip(flags, read(DOCKERFILE), strict=True)]
    assert theirs == ours


@pytest.mark.parametrize(
    ("pattern", "path", "out"),
    [
        ("data", "data/cifar10/x", True),
        ("data", "code/onepage/data/fetch.py", False),
        ("**/__pycache__", "__pycache__/x.pyc", True),
        ("**/__pycache__", "code/a/__pycache__/x.pyc", True),
        ("report/report.*", "report/report.md", True),
        ("report/report.*", "report/templates/report.md.j2", False),
        ("report/reference/.*", "report/reference/.x.tmp/y", True),
        ("report/reference/.*", "report/reference/README.md", False),
        ("**/*.egg-info", "code/onepage.egg-info/PKG-INFO", True),
        ("figures/cls", "figures/cls.py", False),
    ],
)
def test_patterns_mean_what_docker_says(pattern: str, path: str, out: bool) -> None:
    assert Ignored(pattern)(path) is out


def test_context_leaves_out_what_git_ignores() -> None:
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    anchored = [line.strip("/") if "/" in line.rstrip("/") else f"**/{line.strip('/')}" for line in lines]
    assert Ignored(IGNORE).patterns == anchored


def test_context_holds_all_that_git_tracks() -> None:
    """If a tracked file were left out, every run in the container would have local changes."""
    done = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, timeout=60)
    if done.returncode:
        pytest.skip("not a clone")
    tracked = done.stdout.split("\0")[:-1]
    assert "Makefile" in tracked and ".dockerignore" in tracked
    ignored = Ignored(IGNORE)
    assert [path for path in tracked if ignored(path)] == []
    assert not ignored(".git/HEAD")


def test_settings_are_those_of_make_or_tools() -> None:
    steps = [step for step in read(DOCKERFILE) if step.keyword in ("ARG", "ENV")]
    names = {word.split("=")[0] for step in steps for word in step.words}
    assert names - {"PIP_NO_CACHE_DIR", "MPLCONFIGDIR"} <= BY_NAME.keys()
    assert {"OUT", "DATA_DIR", "TORCH"} <= names


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """The build after its last step; it fails if a step fails."""
    if not can_isolate():
        pytest.skip("mounting and changing users takes root, here and in a container")
    stamp = Path(sys.prefix) / "stamp.json"
    if not stamp.is_file():
        pytest.skip("this Python is not of an environment that make setup made")
    flavour = json.loads(stamp.read_text(encoding="utf-8"))["torch"]
    build = Build(ROOT, tmp_path_factory.mktemp("build") / "root", {"TORCH": flavour})
    said = {}
    for step in read(DOCKERFILE):
        if step.text.startswith("python3 env/setup.py --venv"):
            build.lend_environment(build.inside("/artifact/.venv"))
        said[step.text] = build.step(step)
        for task, recipe in RECIPES.items() if step.keyword == "COPY" else ():  # smaller than the smoke profile
            smoke = build.inside(f"/artifact/code/onepage/{task}/recipes/smoke.toml")
            if smoke.is_file():
                smoke.write_text(recipe, encoding="utf-8")
        if "apt-get" in step.text:  # the step removes the lists that apt-get update left
            assert not list(build.inside("/var/lib/apt/lists").iterdir())
    assert any("/artifact/.venv is up to date" in text for text in said.values())
    assert "make all can run." in said["make doctor"]
    return build


@pytest.mark.slow
def test_steps_of_the_build_run(built: Build) -> None:
    calls = built.inside("/standin/apt-get.log").read_text(encoding="utf-8").splitlines()
    installed = {word for call in calls if " install " in f" {call} " for word in call.split() if word[0] != "-"}
    text = re.sub(r"#.*", "", (ROOT / "env" / "apt.txt").read_text(encoding="utf-8"))
    assert installed - {"install"} == {*text.split(), "ca-certificates", "git", "make", "python3", "python3-venv"}
    assert calls[0] == "update" and all("--no-install-recommends" in call for call in calls if "install" in call)
    uid, gid, home = built.identity("artifact")
    assert (uid, gid, home) == (1000, 1000, "/home/artifact")
    for path in (built.inside("/results"), *built.inside("/artifact").rglob("*")):
        assert (path.lstat().st_uid, path.lstat().st_gid) == (uid, gid), path
    for absent in ("data", "runs", "figures/cls", "report/report.pdf", ".git"):
        assert not built.inside(f"/artifact/{absent}").exists(), absent
    assert built.inside("/artifact/report/claims.toml").is_file()


@pytest.mark.slow
def test_any_user_can_write_results_alone(built: Build) -> None:
    """As with `docker run --user`: a user number without an entry in passwd owns the mounted folder."""
    elsewhere = built.inside("/elsewhere")
    elsewhere.mkdir()
    os.chown(elsewhere, 54321, -1)
    command = ["make", "data", "OUT=/elsewhere", "DATA_DIR=/elsewhere/data", "PROFILE=smoke", "DATA=generated"]
    said = built.run(command, "54321")
    assert "plan: smoke on toy-images" in said and "plan: smoke on toy-translation" in said
    assert {path.lstat().st_uid for path in elsewhere.rglob("*")} == {54321}


@pytest.mark.slow
def test_its_command_makes_the_page_without_a_network(built: Build) -> None:
    said = built.run([*read(DOCKERFILE)[-1].words, "PROFILE=smoke", "DATA=generated"])
    results = built.inside("/results")
    assert "page /results/report/report.pdf" in said
    assert len(pypdf.PdfReader(results / "report" / "report.pdf").pages) == 1
    assert {path.lstat().st_uid for path in results.rglob("*")} == {1000}
