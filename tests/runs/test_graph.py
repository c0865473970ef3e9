"""What make reads first: settings, plans, runs, and what is stale."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onepage import tasks
from onepage.errors import UserError
from onepage.runs import graph, plan, settings
from onepage.runs.fingerprint import Fingerprints

REPOSITORY = Path(__file__).resolve().parents[2]


def planned(out: Path, name: str = "cls", **given: str) -> Path:
    """Write the plan of a task with these settings, as planning would."""
    values, task = settings.resolve({"OUT": str(out)} | given), tasks.get(name)
    path = out / graph.PLANS / f"{graph.key_of(task, values)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    run = {"task": name, "set": "set", "recipe": {"threads": 2}, "evaluation": {"table": {"key": 1}}}
    content = {"inputs": graph.inputs(task, values, Fingerprints()), "place": "set/quick", "run": run}
    path.write_text(json.dumps(content), encoding="utf-8")
    path.with_suffix(".mk").write_text("", encoding="utf-8")
    return path


def read(out: Path, *goals: str, dry_run: bool = False, **given: str) -> dict[str, str]:
    lines = graph.Graph({"OUT": str(out)} | given, goals, dry_run).lines()
    pairs = [line.removeprefix("override ").split(" := ", 1) for line in lines if " := " in line]
    return dict(pairs)


def test_a_plan_is_asked_for_until_there(tmp_path: Path) -> None:
    found = read(tmp_path, "cls")
    assert found["PLANS"].endswith("cls-quick-auto-auto-0.mk") and found["INCLUDED"] == found["PLANS"]
    assert found["RUNS"] == "" and not list(tmp_path.glob("runs/cls"))
    planned(tmp_path)
    found = read(tmp_path, "cls")
    run = tmp_path / "runs/cls/set/quick/seed0"
    assert found["RUNS"] == found["SHOWN"] == found["RUN_cls"] == str(run)
    assert plan.read(run)["seed"] == 0 and plan.read(run)["data_dir"] == "data"
    assert plan.read(run, "evaluate")["table"] == {"key": 1} and "evaluation" not in plan.read(run)


def test_each_goal_needs_its_tasks(tmp_path: Path) -> None:
    every = ["cls", "mt"]
    of_one = {"mt": ["mt"], "bench-mt": ["mt"], "bench-scale": ["cls"]}
    for goal, names in (of_one | {"all": every, "bench-gpu": every}).items():
        found = [Path(path).name.split("-")[0] for path in read(tmp_path, goal)["PLANS"].split()]
        assert found == names, goal
    for goal in ("help", "setup", "translate", "doctor"):
        assert read(tmp_path, goal)["PLANS"] == ""


def test_several_seeds_share_a_plan(tmp_path: Path) -> None:
    planned(tmp_path)
    found = read(tmp_path, "cls", SEEDS="3 0")
    assert [Path(run).name for run in found["RUNS"].split()] == ["seed3", "seed0"]
    assert Path(found["SHOWN"]).name == "seed3" and found["UNFINISHED"] == found["RUNS"] and found["SEVERAL"] == "yes"


def test_a_plan_of_other_recipes_is_made_again(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text("a = 1\n", encoding="utf-8")
    path = planned(tmp_path, RECIPE=str(own))
    assert read(tmp_path, "cls", RECIPE=str(own))["RUNS"]
    own.write_text("a = 2\n", encoding="utf-8")
    assert "/.../seed0" in read(tmp_path, "cls", RECIPE=str(own), dry_run=True)["RUNS"]
    assert path.with_suffix(".mk").exists()
    assert not read(tmp_path, "cls", RECIPE=str(own))["RUNS"] and not path.with_suffix(".mk").exists()
    assert path.exists()  # what was decided stays for the next decision


@pytest.mark.fault("a plan that is damaged", "it is made again")
def test_a_damaged_plan_is_made_again(tmp_path: Path) -> None:
    path = planned(tmp_path)
    path.write_text("{", encoding="utf-8")
    assert read(tmp_path, "cls")["RUNS"] == "" and not path.with_suffix(".mk").exists()


def test_a_dry_run_names_what_is_stale(tmp_path: Path) -> None:
    planned(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    found = read(tmp_path, "cls", dry_run=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert "plan/train.json" in found["STALE"] and "plan/draw.json" in found["STALE"] and found["INCLUDED"] == ""
    read(tmp_path, "cls")
    assert read(tmp_path, "cls", dry_run=True)["STALE"] == ""


def test_processes_are_part_of_the_plan(tmp_path: Path) -> None:
    planned(tmp_path)
    read(tmp_path, "cls", NPROC="2", TORCHRUN="--nnodes=2:4 --rdzv-id a")
    run = plan.read(tmp_path / "runs/cls/set/quick/seed0")
    assert (run["processes"], run["nodes"]) == (2, "2:4")


@pytest.mark.fault("report or verify before any run", "`not run with these settings; run: make all`, `not run: ...`")
def test_goals_that_look_need_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not run with these settings; run: make all"):
        read(tmp_path, "verify")
    for name in tasks.TASKS:
        planned(tmp_path, name)
    assert read(tmp_path, "verify")["SHOWN"]
    with pytest.raises(UserError, match=r"not run: .*seed0"):
        read(tmp_path, "report")


@pytest.mark.fault("RECIPE with both tasks", "`RECIPE=... is for one task; use ...`")
def test_a_recipe_is_for_one_task(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is for one task"):
        read(tmp_path, "all", RECIPE="x.toml")
    assert read(tmp_path, "cls", RECIPE="x.toml")["PLANS"]


def test_ablation_has_its_profile_unless_another_is_given(tmp_path: Path) -> None:
    assert read(tmp_path, "ablate")["PROFILE"] == "ablation"
    assert read(tmp_path, "ablate", PROFILE="smoke")["PROFILE"] == "smoke"


def test_values_survive_make(tmp_path: Path) -> None:
    """A dollar, a hash, quotes: make hands them back as they were given."""
    value = "--rdzv-conf 'a=$b' #c"
    rule = "export TORCHRUN\nall: ; @printf '%s' \"$$TORCHRUN\"\n"
    lines = graph.Graph({"TORCHRUN": value}, [], True).lines()
    (tmp_path / "Makefile").write_text("\n".join([*lines, rule]), encoding="utf-8")
    done = subprocess.run(
        ["make", "-s", "all"], cwd=tmp_path, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.stdout == value, done.stderr


def test_it_runs_without_packages_and_errors_through_make(tmp_path: Path) -> None:
    program = f"import sys; sys.path[0] = {str(REPOSITORY / 'code')!r}; from onepage.runs.graph import main"
    command = [sys.executable, "-SEc", f"{program}; main(sys.argv[1:])", "cls"]
    done = subprocess.run([*command, f"OUT={tmp_path}", "SEED=x"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == '$(error SEED="x": must be a whole number, 0 or more)\n' and done.returncode == 0
    done = subprocess.run([*command, f"OUT={tmp_path}"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and f"PLANS := {tmp_path}" in done.stdout
