"""The variables that make reads first: settings, plans, runs, and stale files."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onepage import tasks
from onepage.errors import UserError
from onepage.runs import graph, plan, settings
from onepage.runs.fingerprint import Fingerprints

REPOSITORY = Path(__file__).resolve().parents[2]
OPTIONS = {task.name: [settings.BY_NAME[option.upper()].default for option in task.options] for task in tasks.every()}


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


@pytest.mark.fault("a picture was removed", "it is drawn again")
def test_without_a_picture_all_are_drawn_again(tmp_path: Path) -> None:
    planned(tmp_path)
    folder = tmp_path / "figures/cls"
    folder.mkdir(parents=True)
    for name in ("one.png", "one.pdf", "two.png", "two.pdf"):
        (folder / name).touch()
    manifest, text = folder / "figures.json", json.dumps({"figures": [{"name": "one"}, {"name": "two"}]})
    manifest.write_text(text, encoding="utf-8")
    read(tmp_path, "cls")
    assert manifest.is_file()
    (folder / "two.pdf").unlink()
    assert str(folder / "plan/draw.json") in read(tmp_path, "cls", dry_run=True)["STALE"] and manifest.is_file()
    read(tmp_path, "cls")
    assert not manifest.exists()


def test_a_task_that_is_not_on_the_page_joins_once_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when its plan is out of date, and make has to write it again."""
    apart = tasks.get("mt")._replace(page=False)
    monkeypatch.setattr(tasks, "every", lambda: [tasks.get("cls"), apart])
    assert "mt-quick" not in read(tmp_path, "all")["PLANS"]
    planned(tmp_path, "mt").with_suffix(".mk").unlink()
    assert "mt-quick" in read(tmp_path, "all")["PLANS"]


def test_each_goal_needs_its_tasks(tmp_path: Path) -> None:
    every = [task.name for task in tasks.every() if task.page]
    of_one = {"mt": ["mt"], "bench-mt": ["mt"], "bench-scale": ["cls"]}
    for goal, names in (of_one | {"all": every, "bench-gpu": every}).items():
        found = [Path(path).name.split("-")[0] for path in read(tmp_path, goal)["PLANS"].split()]
        assert found == names, goal
    for goal in ("help", "setup", "translate", "doctor"):
        assert read(tmp_path, goal)["PLANS"] == ""


def test_each_task_has_its_budget_and_plan(tmp_path: Path) -> None:
    every = tasks.every()
    for minutes in ([7] * len(every), range(6, 6 + len(every)), range(len(every))):
        given = ",".join(map(str, minutes))
        for words in {given, "7"} if set(minutes) == {7} else {given}:
            found = read(tmp_path, "data", BUDGET_MIN=words)
            names = [Path(path).name for path in found["PLANS"].split()]
            for name, task, number in zip(names, every, minutes, strict=True):
                budget = f"-budget{number}" if number else ""
                assert name == f"{'-'.join([f'{task.name}-quick-auto-auto-0{budget}', *OPTIONS[task.name]])}.mk"
            assert f"BUDGET_MIN={words}" in found["WORDS"].split()


def test_reference_alone_is_verified_without_runs(tmp_path: Path) -> None:
    """Without trained runs, make verify REF=... requests no plan and names no run."""
    with pytest.raises(UserError, match="run: make all"):
        read(tmp_path, "verify")
    found = read(tmp_path, "verify", REF="somewhere")
    assert found["SHOWN"] == found["INCLUDED"] == found["PLANS"] == ""
    for name in tasks.TASKS:
        planned(tmp_path, name, REF="somewhere")
    assert read(tmp_path, "verify", REF="somewhere")["SHOWN"] == ""
    (tmp_path / "runs/mt/set/quick/seed0/metrics.json").write_text("{}")
    found = read(tmp_path, "verify", REF="somewhere")
    assert [Path(run).parts[-4] for run in found["SHOWN"].split()] == list(tasks.TASKS)


@pytest.mark.fault(
    "make verify REF=... with other settings than those of the runs", "`no run is up to date ..., but there is ...`"
)
def test_runs_of_other_settings_are_not_passed_over(tmp_path: Path) -> None:
    """Otherwise the reference would be verified, and its scores taken for those of the runs."""
    for name in tasks.TASKS:
        planned(tmp_path, name)
    for given in ({}, {"THREADS": "2"}):
        assert read(tmp_path, "verify", REF="somewhere", **given)["SHOWN"] == ""
    (tmp_path / "runs/mt/set/quick/seed0/metrics.json").write_text("{}")
    with pytest.raises(UserError, match=r"there is \S+/runs/mt/set/quick/seed0: repeat the settings"):
        read(tmp_path, "verify", REF="somewhere", THREADS="2")
    assert read(tmp_path, "verify", REF="somewhere", OUT=str(tmp_path / "empty"))["SHOWN"] == ""


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
    assert path.exists()  # the earlier decisions stay for the next plan


def test_a_plan_of_other_packages_is_made_again(tmp_path: Path) -> None:
    """The plan depends on the package versions, since they affect the results."""
    given = {"VENV": str(tmp_path / "venv")}
    planned(tmp_path, **given)
    assert read(tmp_path, "cls", **given)["RUNS"]
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/stamp.json").write_text('{"torch_version": "9"}', encoding="utf-8")
    found = read(tmp_path, "cls", **given)
    assert not found["RUNS"] and found["RENEWS"] == "yes"


def fallen_back(out: Path, **given: str) -> Path:
    """A plan that fell back to generated data because no source served the real set."""
    path = planned(out, **given)
    content = json.loads(path.read_text(encoding="utf-8"))
    content["run"]["generated"] = True
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_fallen_back_plan_is_made_again(tmp_path: Path) -> None:
    """A new mirror, new files in a mirror, or data in DATA_DIR renew it. A known or missing mirror does not."""
    given = {"DATA_DIR": str(tmp_path / "data")}
    path, mirror = fallen_back(tmp_path, **given), tmp_path / "mirror"
    mirror.mkdir()

    def stands(asked: list[str], **more: str) -> bool:
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"asked": asked}), encoding="utf-8")
        path.with_suffix(".mk").write_text("", encoding="utf-8")
        return bool(read(tmp_path, "cls", **given, **more)["RUNS"])

    named = {"DATA_MIRROR": str(mirror)}
    assert stands([]) and not stands([], **named) and not stands([], DATA_MIRROR="https://host:8080/x")
    assert stands([str(mirror)], **named) and stands([str(mirror)])
    (mirror / "archive").touch()
    assert not stands([str(mirror)], **named) and stands([str(mirror), str(mirror / "archive")], **named)
    (tmp_path / "data/cifar10").mkdir(parents=True)
    assert stands([])
    (tmp_path / "data/cifar10/ready.json").touch()
    assert not stands([])


def test_generated_data_asked_for_stay(tmp_path: Path) -> None:
    fallen_back(tmp_path, DATA="generated", DATA_MIRROR="a")
    assert read(tmp_path, "cls", DATA="generated", DATA_MIRROR="a")["RUNS"]


@pytest.mark.fault(
    "make data, ablate or bench-cls with another goal", "`'make ...' cannot be combined with 'make ...'; ...`"
)
@pytest.mark.parametrize(
    ("goal", "others"),
    [
        ("data", ["cls", "all", "report", "bundle", "ablate", "bench-mt"]),
        ("ablate", ["all", "report", "reference"]),
        ("bench-cls", ["mt", "verify", "bench-mt", "bench-scale"]),
    ],
)
def test_goals_with_runs_of_their_own_are_alone(tmp_path: Path, goal: str, others: list[str]) -> None:
    """Otherwise a goal would use its old plan beside `data`, and `ablate` or a benchmark the other goal's runs."""
    for other in others:
        for goals in ((goal, other), (other, goal)):
            with pytest.raises(UserError, match=r"'make \S+' cannot be combined with 'make \S+'") as caught:
                read(tmp_path, *goals)
            assert all(f"'make {name}'" in str(caught.value) for name in goals)
    assert read(tmp_path, "setup", goal, "doctor")["PLANS"]


@pytest.mark.fault("LaTeX removed after it was chosen", "the engine is chosen again")
def test_latex_that_is_gone_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tasks.TASKS:
        planned(tmp_path, name)
    engine = tmp_path / graph.PLANS / "engine-auto.mk"
    engine.write_text("ENGINE := latex\n", encoding="utf-8")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "latexmk").touch(mode=0o755)
    assert read(tmp_path, "all")["ENGINE"] == "latex" and engine.exists()
    (tmp_path / "latexmk").unlink()
    assert read(tmp_path, "all")["ENGINE"] == "auto" and not engine.exists()


@pytest.mark.fault("results dated in the future", "`...: dated in the future, corrected to now; check the clock`")
def test_results_of_the_future_are_dated_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Files are dated back before stale plans are rewritten, so that changed code is newer than the weights."""
    planned(tmp_path)
    read(tmp_path, "cls")
    run = tmp_path / "runs/cls/set/quick/seed0"
    (run / "model.pt").touch()
    later = time.time() + 7200
    os.utime(run / "model.pt", (later, later))
    plan.path_of(run, "train").write_text("{}", encoding="utf-8")  # as from other code
    assert read(tmp_path, "cls")["RUNS"]
    assert (run / "model.pt").stat().st_mtime_ns < plan.path_of(run, "train").stat().st_mtime_ns
    said = capsys.readouterr().err
    assert said == f"{run}/model.pt: dated in the future, corrected to now; check the clock\n"
    read(tmp_path, "cls")
    assert capsys.readouterr().err == ""


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


@pytest.mark.fault(
    "report or verify before any run", "`no run is up to date with these settings; run: ...`, `not finished: ...`"
)
def test_goals_that_look_need_runs(tmp_path: Path) -> None:
    for goal in ("report", "verify", "reference"):
        with pytest.raises(UserError, match="no run is up to date with these settings; run: make all OUT="):
            read(tmp_path, goal)
    for name in tasks.TASKS:
        planned(tmp_path, name)
    assert read(tmp_path, "verify")["SHOWN"]
    with pytest.raises(UserError, match=r"not finished: .*seed0"):
        read(tmp_path, "report")


@pytest.mark.fault("RECIPE with both tasks", "`RECIPE=... is for one task; use ...`")
def test_a_recipe_is_for_one_task(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is for one task"):
        read(tmp_path, "all", RECIPE="x.toml")
    assert read(tmp_path, "cls", RECIPE="x.toml")["PLANS"]


def test_ablation_has_its_profile_unless_another_is_given(tmp_path: Path) -> None:
    assert read(tmp_path, "ablate")["PROFILE"] == read(tmp_path, "setup", "ablate")["PROFILE"] == "ablation"
    assert read(tmp_path, "ablate", PROFILE="smoke")["PROFILE"] == "smoke"


def test_flags_of_make_are_refused_or_heeded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag in graph.REFUSED:
        graph.main(["cls", f"--flags=-k{flag}", f"OUT={tmp_path}"])
        assert capsys.readouterr().out.startswith(f"PROBLEM := make -{flag} ") and not list(tmp_path.iterdir())
    graph.main(["cls", "--flags=-kn", "--inherited=OUT", f"OUT={tmp_path}"])
    found = capsys.readouterr()
    assert "/.../seed0" in found.out and "VPATH := " in found.out and not list(tmp_path.iterdir())
    assert found.err == f"onepage: from the environment: OUT={tmp_path!s:.60}; to leave one out: env -u OUT make ...\n"


def test_values_survive_make(tmp_path: Path) -> None:
    """make returns dollars, hashes, quotes and backslashes unchanged."""
    value = "--rdzv-conf 'a=$b' #c \\#d\\"
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
    assert done.stdout == 'PROBLEM := SEED="x": must be a whole number, 0 or more@;@$(error $(PROBLEM))\n'
    assert done.returncode == 0
    done = subprocess.run([*command, f"OUT={tmp_path}"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and f"PLANS := {tmp_path}" in done.stdout


def test_an_error_with_brackets_reaches_the_console(tmp_path: Path) -> None:
    """A bracket in a value does not end a call in make, and unprintable characters are left out."""
    program = f"import sys; sys.path[0] = {str(REPOSITORY / 'code')!r}; from onepage.runs.graph import main"
    command = [sys.executable, "-SEc", f"{program}; main(sys.argv[1:])", "cls", b"PAPER=a)(\x1b[31m\xff#\\"]
    done = subprocess.run(command, capture_output=True, cwd=tmp_path)
    (tmp_path / "Makefile").write_bytes(done.stdout.replace(b"@;@", b"\n"))
    done = subprocess.run(["make"], cwd=tmp_path, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 2 and 'PAPER="a)( [31m #\\": must be a4 or letter' in done.stderr
