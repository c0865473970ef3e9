"""A run repeated in another folder: what runs again, what is removed, and messages about equal or other bits."""

import contextlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import small_training
from onepage import data
from onepage.commands import repeat
from onepage.commands.main import main
from onepage.errors import UserError
from onepage.files import read_json
from onepage.mt.decoding import Decoding
from onepage.runs import plan
from onepage.training import locking
from onepage.training.recipe import as_dict

PLACE = Path("runs/mt/toy-translation-en-de/test/seed0")
PLAN = {"task": "mt", "set": "toy-translation", "generated": True, "profile": "test", "seed": 0, "src": "en"}
PLAN |= {"tgt": "de", "data_digest": "d" * 64, "device": "cpu", "precision": "fp32", "threads": 1, "libraries": {}}
PLAN |= {"recipe": as_dict(small_training.MT), "program": "p" * 64, "data_dir": "data"}


class Stages:
    """Runs stages in this process instead of a new one, and records their arguments."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Path]] = []
        self.environments: list[dict[str, str]] = []
        self.status = 0
        self.works = True

    def __call__(self, command: list[str], env: dict[str, str]) -> SimpleNamespace:
        stage, run = command[3], Path(command[4])
        self.calls.append((stage, run))
        self.environments.append(env)
        if self.works and not self.status:
            main([stage, str(run)], standalone_mode=False)
        return SimpleNamespace(returncode=self.status)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Transformer, trained and evaluated."""
    run = tmp_path_factory.mktemp("made") / PLACE
    plan.write(run, "train", PLAN)
    plan.write(run, "evaluate", {"program": "e", "data_dir": "data", "decoding": as_dict(Decoding(beam_size=1))})
    with pytest.MonkeyPatch.context() as patch:
        surround(patch)
        for stage in ("train", "evaluate"):
            main([stage, str(run)], standalone_mode=False)
    return run


def surround(patch: pytest.MonkeyPatch) -> None:
    """Use made-up sentences and no training lock."""
    patch.setattr(data, "load", lambda *named: small_training.sentences())
    patch.setattr(locking, "cpu_training_lock", lambda device, say: contextlib.nullcontext())


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / PLACE))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Stages:
    found = Stages()
    surround(monkeypatch)
    monkeypatch.setattr(repeat, "subprocess", SimpleNamespace(run=found))
    return found


def invoke(*runs: Path) -> Result:
    return CliRunner().invoke(main, ["repeat", *map(str, runs)])


def stand_in(run: Path) -> Path:
    """A finished second run, copied from the first."""
    return Path(shutil.copytree(run, repeat.second(run)))


def test_a_second_run_elsewhere_has_equal_bits(run: Path, ran: Stages) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    done = invoke(run)
    again = run.parents[4] / "runs/.repro" / PLACE.relative_to("runs")
    assert done.exit_code == 0 and f"{run} and {again} are bit-identical" in done.output, done.output
    assert done.output.count("  equal\n") == 5
    assert ran.calls == [("train", again), ("evaluate", again)]
    assert all((env["PYTHONHASHSEED"], env["LC_ALL"]) == ("1", "C") for env in ran.environments)
    assert plan.read(again) == plan.read(run) and plan.read(again, "evaluate") == plan.read(run, "evaluate")
    assert {path: path.read_bytes() for path in before} == before


def test_a_compared_second_run_is_made_again(run: Path, ran: Stages) -> None:
    """A second run that was interrupted before the comparison is kept and resumed."""
    again, ran.works = stand_in(run), False
    (again / "of-an-interrupted-one").touch()
    assert invoke(run).exit_code == 0 and (again / "of-an-interrupted-one").exists()
    ran.status = 7
    assert invoke(run).exit_code == 7  # the stage's exit status; nothing is compared
    assert not (again / "of-an-interrupted-one").exists() and not (again / "model.pt").exists()


@pytest.mark.parametrize(
    ("change", "kept"),
    [({"program": "q" * 64}, False), ({"precision": "bf16"}, False), ({"data_dir": "elsewhere"}, True)],
)
def test_a_changed_plan_removes_the_second_run(run: Path, ran: Stages, change: dict[str, Any], kept: bool) -> None:
    again = stand_in(run)
    plan.write(run, "train", PLAN | change)
    ran.status = 3
    assert invoke(run).exit_code == 3 and ran.calls == [("train", again)]
    assert (again / "model.pt").exists() == kept
    assert read_json(again / "plan/train.json") == PLAN | change


@pytest.mark.fault("a repetition that differs", "make repro fails, naming what differs")
def test_other_bits_fail_and_are_named(run: Path, ran: Stages, tmp_path: Path) -> None:
    """Whichever run differs, all are compared."""
    ran.works = False
    other = Path(shutil.copytree(run, tmp_path / "other" / PLACE))
    for one in (run, other):
        stand_in(one)
    history = (run / "history.jsonl").read_text(encoding="utf-8")
    (run / "history.jsonl").write_text(history.replace('"train_loss": ', '"train_loss": 1'), encoding="utf-8")
    for order in ((run, other), (other, run)):
        done = invoke(*order)
        assert done.exit_code == 1, done.output
        assert f"{run} and {repeat.second(run)} differ in history\n" in done.output
        assert f"{other} and {repeat.second(other)} are bit-identical\n" in done.output
        for one in (run, other):
            (repeat.second(one) / repeat.COMPARED).unlink()


def test_only_runs_below_runs_are_repeated(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not in a folder named runs; give one that is"):
        repeat.second(tmp_path / "elsewhere")
    assert repeat.second(Path("a/runs/b/runs/cls/x/seed0")) == Path("a/runs/b/runs/.repro/cls/x/seed0")
    done = invoke(tmp_path / "runs/cls/set/quick/seed0")
    assert done.exit_code == 1 and "is not planned" in done.output
