"""Limits: a read-only checkout, odd paths, umask 077, one core, no HOME, hostile variables, a full disk."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest

from checkout import MAKE, RECIPES, contents, copy_to, environment
from hostile import variables
from onepage.files import read_json

RUN = "runs/mt/toy-translation-en-de/smoke/seed0"
# A separate mount namespace: nothing outside sees the mount, and it ends with the command.
NAMESPACE = ["unshare", "--mount", "sh", "-euc"]
READ_ONLY = 'mount --bind "$0" "$0"; mount -o remount,bind,ro "$0"; cd "$0"; exec "$@"'
SMALL_DISK = """
mount -t tmpfs -o "size=$1" none "$0"; shift
mkdir "$0"/run; cp -r "$1" "$0"/run/plan; shift
if "$@"; then exit 99; fi
ls "$0"/run
mount -o remount,size=1g "$0"
exec "$@"
"""


def can_mount() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "mount -t tmpfs none /mnt"], capture_output=True).returncode == 0
    except OSError:
        return False


def command(out: Path, *goals: str) -> list[str]:
    return [*MAKE, f"OUT={out}", f"DATA_DIR={out / 'data'}", "THREADS=2", *goals]


def one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def onepage(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "onepage", *map(str, words)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """(checkout, OUT): the Transformer trained and evaluated from a checkout under ordinary conditions."""
    place = tmp_path_factory.mktemp("plain")
    copy = copy_to(place / "checkout", RECIPES)
    surroundings = environment(TMPDIR=str(place), PYTHONPATH=str(copy / "code"))
    settings = ("PROFILE=smoke", "DATA=generated", "DEVICE=cpu", f"OUT={place}", f"DATA_DIR={place / 'data'}")
    for words in (("plan", "mt", *settings), ("train", place / RUN), ("evaluate", place / RUN)):
        subprocess.run(onepage(*words), cwd=copy, env=surroundings, check=True, timeout=600)
    return copy, place


@pytest.mark.slow
@pytest.mark.fault(
    "a read-only checkout and TMPDIR with spaces and accents, OUT with accents, umask 077, one core, no HOME",
    "make all with OUT, DATA_DIR and VENV elsewhere: the page, bit-identical results, nothing else written",
)
def test_all_limits_at_once_give_the_same_results(plain, tmp_path):
    copy = copy_to(tmp_path / "un dépôt à part", RECIPES)
    before = contents(copy)
    out, temporary = tmp_path / "sortie-é", tmp_path / "fichiers à jeter"
    temporary.mkdir()
    run = command(out, "all")
    if os.geteuid() != 0:  # root ignores file modes, so it uses a read-only mount if it may mount
        for path in [*copy.rglob("*"), copy]:
            path.chmod(path.stat().st_mode & ~0o222)
    elif can_mount():
        run = [*NAMESPACE, READ_ONLY, str(copy), *run]
    surroundings = environment(TMPDIR=str(temporary))
    surroundings.pop("HOME", None)
    try:
        done = subprocess.run(
            run,
            cwd=copy,
            env=surroundings,
            capture_output=True,
            text=True,
            timeout=900,
            umask=0o077,
            preexec_fn=one_core,
        )
    finally:
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | stat.S_IWUSR)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Warning" not in done.stderr and "Traceback" not in done.stderr
    assert contents(copy) == before
    assert {path.name for path in tmp_path.iterdir()} == {copy.name, out.name, temporary.name}
    assert all(path.stat().st_mode & 0o077 == 0 for path in [out, *out.rglob("*")])
    assert [path.name for path in temporary.glob("*onepage*")] == [f"onepage-cpu-training-{os.getuid()}.lock"]
    for name in ("metrics.json", "predictions.npz"):
        assert (out / RUN / name).read_bytes() == (plain[1] / RUN / name).read_bytes(), name
    assert len(pypdf.PdfReader(out / "report/report.pdf").pages) == 1


@pytest.mark.slow
@pytest.mark.fault("variables of many other programs, exported all at once", "bit-identical results and pictures")
def test_hostile_variables_change_no_bit(plain, tmp_path):
    copy, place = plain
    out = tmp_path / "out"
    surroundings = environment(**variables(tmp_path) | {"TMPDIR": str(tmp_path)})
    done = subprocess.run(command(out, "all"), cwd=copy, env=surroundings, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr and "broken" not in done.stdout
    for name in ("metrics.json", "predictions.npz"):
        assert (out / RUN / name).read_bytes() == (place / RUN / name).read_bytes(), name
    assert len(pypdf.PdfReader(out / "report/report.pdf").pages) == 1
    surroundings = environment(TMPDIR=str(place), PYTHONPATH=str(copy / "code"))
    again = onepage("draw", out / RUN, "--figures", tmp_path / "again")
    subprocess.run(again, cwd=copy, env=surroundings, check=True, timeout=600)
    for path in (tmp_path / "again").glob("*.p*"):
        assert path.read_bytes() == (out / "figures/mt" / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_a_run_records_all_that_decides_its_result(plain):
    """metrics.json holds all that decides the bits; provenance.json holds what may differ in a repetition."""
    _, place = plain
    metrics, provenance = (read_json(place / RUN / name) for name in ("metrics.json", "provenance.json"))
    plan = read_json(place / RUN / "plan/train.json")
    assert (metrics["commit"], metrics["dirty"]) == (None, None)  # a copy outside git
    assert (metrics["seed"], metrics["device"]) == (0, "cpu") and metrics["data_digest"] == plan["data_digest"]
    assert metrics["recipe"]["updates"] == 60 and metrics["threads"] == metrics["recipe"]["threads"]
    assert metrics["decoding"] == {"beam_size": 1, "length_penalty": 1.0} and "beam_size" not in metrics["recipe"]
    assert all(re.fullmatch("[0-9a-f]{64}", metrics[key]) for key in ("recipe_hash", "program", "weights_digest"))
    assert {"python", "torch", "numpy", "sentencepiece", "sacrebleu", "matplotlib"} <= metrics["versions"].keys()
    assert provenance["host"]["cpu"] and provenance["host"]["cores"] >= 1 and "gpu" in provenance["host"]
    for name in ("train", "evaluate"):
        part = provenance[name]
        assert part["started"] <= part["finished"] and part["seconds"] >= 0 and part["peak_memory_bytes"] > 2**24
        assert part["command"].startswith(f"python -m onepage {name} ") and str(place) not in part["command"]
    assert isinstance(provenance["train"]["energy_joules"], dict)  # empty if the machine has no energy counter


@pytest.mark.slow
@pytest.mark.fault("make data twice at once, into one folder", "one waits for the other; both plans are the same")
def test_two_make_data_at_once(tmp_path):
    copy = copy_to(tmp_path / "checkout", RECIPES)
    run, surroundings = command(tmp_path / "out", "data"), environment(TMPDIR=str(tmp_path))
    both = [subprocess.Popen(run, cwd=copy, env=surroundings, stdout=-1, stderr=-2, text=True) for _ in range(2)]
    said = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    data = tmp_path / "out/data"
    assert len(list(data.rglob("ready*.json"))) == 2
    assert not [*data.rglob("*.tmp"), *data.rglob(".download-*")]
    assert sum(": generated in" in text for text in said for text in text.splitlines()) == 2  # each set once
    for plan in (tmp_path / "out/runs/.plan").glob("*-*.json"):
        run = read_json(plan)["run"]
        assert run["data_digest"] == read_json(next(data.glob(f"{run['set']}/ready*")))["digest"]


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="a small disk needs the right to mount one (root)")
@pytest.mark.fault(
    "a disk that really fills in training", "`cannot write ...`; with room again, the same command goes on"
)
def test_a_disk_that_fills_in_training(plain, tmp_path):
    """The disk has room for two checkpoints, and for a third one only after it is enlarged."""
    copy, place = plain
    disk = tmp_path / "disk"
    disk.mkdir()
    size = 4 * (place / RUN / "model.pt").stat().st_size  # a checkpoint is 1.5 times as large as model.pt
    run = onepage("train", disk / "run", "--save-every", "0")
    surroundings = environment(TMPDIR=str(tmp_path), PYTHONPATH=str(copy / "code"))
    done = subprocess.run(
        [*NAMESPACE, SMALL_DISK, str(disk), str(size), str(place / RUN / "plan"), *run],
        cwd=copy, env=surroundings, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert f"cannot write {disk}/run/checkpoint-00000003.pt: No space left on device" in line
    assert line.endswith("the previous checkpoint remains; the same command resumes from it")
    assert {f"checkpoint-0000000{k}.{kind}" for k in (1, 2) for kind in ("pt", "json")} < set(done.stdout.splitlines())
    assert "resuming at update 2 of 60" in done.stdout
    straight = (place / RUN / "train.log").read_text(encoding="utf-8").rsplit("; weights ", 1)[1]
    assert done.stdout.rsplit("; weights ", 1)[1] == straight
