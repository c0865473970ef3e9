"""env/Dockerfile: linted, checked, and its steps executed in another root, without a container engine."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest

from checkout import RECIPES, REPOSITORY
from dockerfile_reader import Ignored, read
from isolated_build import Build, can_isolate
from onepage.runs.settings import BY_NAME

DOCKERFILE = (REPOSITORY / "env" / "Dockerfile").read_text(encoding="utf-8")
IGNORE = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8")


def test_hadolint_finds_no_fault() -> None:
    """DL3008 asks for a version of each Debian package, but Debian's archive keeps one version per release."""
    hadolint = Path(sys.prefix) / "compare" / "bin" / "hadolint"
    if not hadolint.is_file():
        pytest.skip("no hadolint here: make setup-compare")
    options = ["--failure-threshold", "warning", "--ignore", "DL3008", "-"]
    for text, status in ((DOCKERFILE, 0), (DOCKERFILE.replace("WORKDIR /", "WORKDIR "), 1)):
        done = subprocess.run([hadolint, *options], input=text, capture_output=True, text=True, timeout=60)
        assert done.returncode == status, done.stdout + done.stderr


def test_base_has_one_release_and_make_gets_signals() -> None:
    steps = read(DOCKERFILE)
    assert re.fullmatch(r"debian:\d+\.\d+-slim", steps[0].words[0]) and steps[0].keyword == "FROM"
    assert [(step.keyword, step.json) for step in steps if step.keyword in ("FROM", "CMD")][1:] == [("CMD", True)]
    assert steps[-1].keyword == "CMD"


def test_user_owns_every_file_of_the_clone() -> None:
    steps = read(DOCKERFILE)
    user = next(number for number, step in enumerate(steps) if step.keyword == "USER")
    copies = [(number > user, step) for number, step in enumerate(steps) if step.keyword == "COPY"]
    assert all(step.flags.get("chown") == "artifact:artifact" for after, step in copies if after)
    assert all("." not in step.words[:-1] for after, step in copies if not after)
    assert not {"sudo", "curl", "wget", "pip"} & {
        word for step in steps if step.keyword == "RUN" for word in step.words
    }


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
    lines = (REPOSITORY / ".gitignore").read_text(encoding="utf-8").split()
    anchored = [line.strip("/") if "/" in line.rstrip("/") else f"**/{line.strip('/')}" for line in lines]
    assert Ignored(IGNORE).patterns == anchored


def test_context_holds_all_that_git_tracks() -> None:
    """A tracked file left out would make every run in the container one "with local changes"."""
    done = subprocess.run(["git", "-C", str(REPOSITORY), "ls-files", "-z"], capture_output=True, text=True, timeout=60)
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
    """The build after its last step; the steps themselves are the assertions."""
    if not can_isolate():
        pytest.skip("mounting and changing users takes root, here and in a container")
    stamp = Path(sys.prefix) / "stamp.json"
    if not stamp.is_file():
        pytest.skip("this Python is not of an environment that make setup made")
    flavour = json.loads(stamp.read_text(encoding="utf-8"))["torch"]
    build = Build(REPOSITORY, tmp_path_factory.mktemp("build") / "root", {"TORCH": flavour})
    said = {}
    for step in read(DOCKERFILE):
        if step.text.startswith("python3 env/setup.py --venv"):
            build.lend_environment(build.inside("/artifact/.venv"))
        said[step.text] = build.step(step)
        for task, recipe in RECIPES.items() if step.keyword == "COPY" else ():  # smaller than the smoke profile
            smoke = build.inside(f"/artifact/code/onepage/{task}/recipes/smoke.toml")
            if smoke.is_file():
                smoke.write_text(recipe, encoding="utf-8")
        if "apt-get" in step.text:  # as apt's own list of what it was to install
            assert not list(build.inside("/var/lib/apt/lists").iterdir())
    assert any("/artifact/.venv is up to date" in text for text in said.values())
    assert "make all can run." in said["make doctor"]
    return build


@pytest.mark.slow
def test_steps_of_the_build_run(built: Build) -> None:
    calls = built.inside("/standin/apt-get.log").read_text(encoding="utf-8").splitlines()
    installed = {word for call in calls if " install " in f" {call} " for word in call.split() if word[0] != "-"}
    text = re.sub(r"#.*", "", (REPOSITORY / "env" / "apt.txt").read_text(encoding="utf-8"))
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
    """`docker run --user` with a number that no passwd knows: it owns the folder mounted for it."""
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
