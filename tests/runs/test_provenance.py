"""Provenance of a run: the record of program and machine, and its short form in pictures and page."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import synthetic_run
from onepage.files import HOME
from onepage.runs import provenance

DIGEST = "0123456789abcdef" * 4


# --- recorded by the program ---------------------------------------------------------------------------------------


def test_stages_are_recorded_with_host_times_and_program(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"task": "cls"}')
    provenance.record(tmp_path, "train", {"seconds": 1.0})
    provenance.Stopwatch().record(tmp_path, "evaluate")
    found = json.loads((tmp_path / "provenance.json").read_text())
    assert set(found) == {"host", "train", "evaluate"}
    assert {"cpu", "cpu_id", "cores", "memory_bytes", "gpu", "system"} <= found["host"].keys()
    wanted = {"started", "finished", "seconds", "peak_memory_bytes", "peak_gpu_memory_bytes", "command", "program"}
    assert found["evaluate"].keys() == wanted  # no separate host, since the same machine trained
    assert len(found["evaluate"]["program"]) == 64


def test_another_machine_of_evaluation_is_recorded_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.json").write_text('{"task": "mt"}')
    provenance.record(tmp_path, "train", {})
    trained = json.loads((tmp_path / "provenance.json").read_text())["host"]
    monkeypatch.setattr(provenance, "cpu_model", lambda: "Another CPU")
    provenance.Stopwatch().record(tmp_path, "evaluate")
    found = json.loads((tmp_path / "provenance.json").read_text())
    assert found["host"] == trained and found["evaluate"]["host"]["cpu"] == "Another CPU"


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *settings, *arguments], check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_commit_and_local_changes_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    repository = tmp_path / "un dépôt à part"
    (repository / "inner").mkdir(parents=True)
    nothing = {"commit": None, "commit_time": None, "dirty": None}
    monkeypatch.setattr(provenance, "HOME", repository)
    assert provenance.commit() == nothing
    git(repository, "init", "-q")
    assert provenance.commit() == nothing  # a repository without a commit
    (repository / "file").write_text("1")
    git(repository, "add", "file")
    git(repository, "commit", "-q", "-m", "first")
    found = provenance.commit()
    assert re.fullmatch("[0-9a-f]{40}", found["commit"]) and found["commit_time"] == 1_767_323_045
    assert found["dirty"] is False
    (repository / "untracked").write_text("runs and pictures are not the program")
    assert provenance.commit() == found
    (repository / "file").write_text("2")
    assert provenance.commit() == found | {"dirty": True}
    monkeypatch.setattr(provenance, "HOME", repository / "inner")
    assert provenance.commit() == nothing  # a copy inside somebody else's repository
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() == nothing  # no git


NOTHING = {"commit": None, "commit_time": None, "dirty": None}
# variables that a caller, or a git hook that runs make, may set
CALLER = {
    "GIT_DIR": "/elsewhere/.git",
    "GIT_WORK_TREE": "/elsewhere",
    "GIT_INDEX_FILE": "/elsewhere/index",
    "GIT_OBJECT_DIRECTORY": "/elsewhere/objects",
    "GIT_NAMESPACE": "other",
    "GIT_CONFIG_COUNT": "many",
    "GIT_CONFIG_PARAMETERS": "'unbalanced",
    "GIT_TRACE": "1",
    "GIT_EXTERNAL_DIFF": "false",
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, which the program takes for its own."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    if shutil.which("git") is None:
        pytest.skip("no git here")
    folder = tmp_path / "clone"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "file").write_text("1")
    git(folder, "add", "file")
    git(folder, "commit", "-q", "-m", "first")
    monkeypatch.setattr(provenance, "HOME", folder)
    return folder


def program(path: Path, lines: str) -> Path:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return path


@pytest.mark.fault("GIT_DIR and others of the caller, as in a hook of git", "the commit is that of this repository")
@pytest.mark.parametrize("name", CALLER)
def test_the_callers_git_decides_nothing(clone: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = provenance.commit()
    assert found["commit"] and found["dirty"] is False
    monkeypatch.setenv(name, CALLER[name])
    assert provenance.commit() == found


@pytest.mark.fault("a signed commit, and log.showSignature of git", "the commit is recorded; no traceback")
def test_a_signed_commit_is_read_as_any(clone: Path, tmp_path: Path) -> None:
    """The user's git settings, which change what git prints, have no effect."""
    say = program(tmp_path / "gpg", "echo 'gpg: Good signature' >&2")
    raw = subprocess.check_output(["git", "-C", clone, "cat-file", "commit", "HEAD"])
    signature = b"gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n"
    command = ["git", "-C", clone, "hash-object", "-t", "commit", "-w", "--stdin"]
    signed = subprocess.check_output(command, input=raw.replace(b"\n\n", b"\n" + signature, 1)).decode().strip()
    git(clone, "reset", "-q", "--hard", signed)
    settings = {
        "gpg.program": say,
        "log.showSignature": "true",
        "core.fsmonitor": program(tmp_path / "monitor", "exit 1"),
    }
    for name, value in (settings | {"status.branch": "true", "status.short": "true", "color.ui": "always"}).items():
        git(clone, "config", name, str(value))
    shown = subprocess.check_output(["git", "-C", clone, "show", "-s", "--format=%ct"], text=True)
    assert "gpg: Good signature" in shown
    found = provenance.commit()
    assert found["commit"] == signed and found["commit_time"] > 1_500_000_000 and found["dirty"] is False


@pytest.mark.fault("a repository of another user, which git distrusts", "the commit is recorded")
def test_a_repository_of_another_user_is_read(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = provenance.commit()
    (tmp_path / "bin").mkdir()
    real = shutil.which("git")
    distrusting = program(tmp_path / "bin/git", f'GIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {real} "$@"')
    assert subprocess.run([distrusting, "-C", clone, "rev-parse", "HEAD"], capture_output=True).returncode != 0
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert provenance.commit() == found


@pytest.mark.parametrize("kind", ["worktree", "submodule", "shallow", "link"])
def test_the_commit_of_any_clone_is_found(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    found, place = provenance.commit(), tmp_path / "place"
    if kind == "worktree":
        git(clone, "worktree", "add", "-q", "--detach", str(place))
    elif kind == "shallow":
        git(clone, "clone", "-q", "--depth", "1", f"file://{clone}", str(place))
    elif kind == "link":
        place.symlink_to(clone)
    else:
        outer = tmp_path / "outer"
        git(tmp_path, "init", "-q", str(outer))
        git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(clone), "inner")
        place = outer / "inner"
    monkeypatch.setattr(provenance, "HOME", place)
    assert provenance.commit() == found
    (place / "file").write_text("2")
    assert provenance.commit() == found | {"dirty": True}


def damage(folder: Path) -> None:
    (folder / ".git/index").write_bytes(b"x")


def begin_again(folder: Path) -> None:
    shutil.rmtree(folder / ".git")
    git(folder, "init", "-q")


@pytest.mark.fault(
    "an unpacked archive, no git, no commit, a damaged repository",
    "`none recorded` for the commit on the page, `unknown` in pictures",
)
@pytest.mark.parametrize(
    "change",
    [
        lambda folder: shutil.rmtree(folder / ".git"),
        lambda folder: git(folder.parent, "init", "-q") or shutil.rmtree(folder / ".git"),
        begin_again,
        damage,
        lambda folder: (folder / ".git/HEAD").unlink(),
        lambda folder: os.environ.update(PATH=str(folder)),
        lambda folder: program(folder / "git", "echo 1") and os.environ.update(PATH=str(folder)),
    ],
    ids=["archive", "archive in a repository", "no commit", "damaged", "no head", "no git", "another git"],
)
def test_no_commit_is_recorded_where_git_fails(
    clone: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"])  # so that monkeypatch restores it
    change(clone)
    assert provenance.commit() == NOTHING


def test_a_git_that_hangs_is_left(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(clone / "git", "exec sleep 60")
    monkeypatch.setenv("PATH", f"{clone}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0.2)
    assert provenance.commit() == NOTHING


def test_command_is_recorded_without_personal_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = str(HOME / "runs" / "cls")
    arguments = ["/opt/venv/onepage/__main__.py", "train", "cls", "--run", inside, "--data-dir", "/home/ann/my data"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert provenance.command() == "python -m onepage train cls --run runs/cls --data-dir '.../my data'"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/onepage", "evaluate", "mt"])
    assert provenance.command() == "onepage evaluate mt"


def test_cpu_id_tells_processors_of_one_name_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"vendor_id": "V", "cpu family": "25", "model": "17", "stepping": "1", "flags": "fpu avx2 avx512_bf16"}
    monkeypatch.setattr(provenance, "cpu_fields", lambda: fields)
    assert provenance.cpu_id() == "vendor_id V, cpu family 25, model 17, stepping 1, avx2, avx512_bf16"
    monkeypatch.setattr(provenance, "cpu_fields", dict)
    assert provenance.cpu_id() is None


def test_nothing_of_torch_is_imported_for_it() -> None:
    """The record needs no import of torch. Once torch is imported, its own version counts."""
    code = "import sys; from onepage.runs import provenance, seeds, lookup; import onepage.tasks as t; t.every(); "
    code += "print(provenance.versions()['torch'], provenance.host()['gpu'], provenance.gpu_uuid(), "
    code += "[name for name in ('torch', 'numpy') if name in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(HOME / "code")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, env=env)
    assert done.stdout.split(" ", 1)[1] == "None None []\n"
    import torch

    assert provenance.versions()["torch"] == torch.__version__


# --- the short form --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthetic_run.write_mt_run(tmp_path_factory.mktemp("mt"), generated=True)


def read(run: Path, name: str) -> dict:
    return json.loads((run / name).read_text(encoding="utf-8"))


def test_short_form_names_all_that_decides_results(run: Path) -> None:
    metrics = read(run, "metrics.json")
    (fields,) = provenance.parse(provenance.short_form(metrics, DIGEST, read(run, "provenance.json")))
    assert fields["run"] == "mt/toy-translation-en-de/quick/seed0" == provenance.label(metrics)
    assert fields["metrics"] == DIGEST and fields["commit"] == metrics["commit"] and fields["seed"] == "0"
    assert metrics["recipe_hash"].startswith(fields["recipe"]) and metrics["data_digest"].startswith(fields["data"])
    assert fields["hardware"] == "Example CPU" and fields["arithmetic"] == "cpu fp32 2 threads"
    assert "torch 2.13.0+cpu" in fields["versions"] and fields["generated"] == "data"


def test_local_changes_gpu_and_unknown_are_said(run: Path) -> None:
    metrics = read(run, "metrics.json")
    on_gpu = provenance.short_form(
        metrics | {"device": "cuda", "dirty": True}, DIGEST, {"host": {"gpu": "G; 1", "cpu": "C"}}
    )
    (fields,) = provenance.parse(on_gpu)
    assert fields["hardware"] == "G, 1" and fields["commit"].endswith(" (with local changes)")
    (fields,) = provenance.parse(provenance.short_form(metrics | {"commit": None, "dirty": None}, DIGEST, {}))
    assert fields["hardware"] == "not recorded" and fields["commit"] == "unknown"


def test_page_holds_one_form_for_each_task(run: Path) -> None:
    form = provenance.short_form(read(run, "metrics.json"), DIGEST, {})
    both = provenance.parse(f"{form}; {form.replace('run mt/', 'run cls/', 1)}")
    assert [fields["run"].partition("/")[0] for fields in both] == ["mt", "cls"]


@given(st.text())
def test_other_text_is_no_short_form(text: str) -> None:
    assert provenance.parse(text) == []
    assert provenance.parse(f"run {text}; metrics 12") == []


@pytest.mark.parametrize(
    ("siblings", "quota", "count"),
    [
        ({0: "0", 1: "1"}, None, 2),
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, "max 100000", 2),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "150000 100000", 2),
        ({0: "0", 1: "1", 2: "2", 3: "3"}, "50000 100000", 1),
        ({cpu: str(cpu) for cpu in range(64)}, None, 16),
        ({0: None, 1: None, 2: None}, None, 3),
    ],
)
def test_physical_cores_of_siblings_and_quota(
    siblings: dict[int, str | None],
    quota: str | None,
    count: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hyper-threads of one core count once, and a CPU quota is a limit. An unknown CPU counts as one core."""
    for cpu, together in siblings.items():
        if together is not None:
            path = tmp_path / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
            path.parent.mkdir(parents=True)
            path.write_text(f"{together}\n")
    if quota is not None:
        (tmp_path / "fs/cgroup").mkdir(parents=True)
        (tmp_path / "fs/cgroup/cpu.max").write_text(f"{quota}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(siblings), raising=False)
    assert provenance.physical_cores(system=tmp_path) == count
