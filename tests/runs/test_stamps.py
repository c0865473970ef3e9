"""The inputs of a stage: its code, found through imports, and files beside its runs."""

import os
import shutil
import time
from pathlib import Path

import pytest

from onepage import tasks
from onepage.runs import fingerprint, plan, stamps
from onepage.runs.fingerprint import Fingerprints


@pytest.fixture(scope="module")
def known() -> Fingerprints:
    return Fingerprints()


def modules(stage: str, task: str, known: Fingerprints) -> set[str]:
    files = stamps.files_of(stage, task, known)
    return {path.relative_to(stamps.PACKAGE).as_posix() for path in files if path.is_relative_to(stamps.PACKAGE)}


def test_a_plan_reads_how_recipes_are_scaled(known: Fingerprints) -> None:
    assert {"cls/budget.py", "cls/recipe.py", "planning/decide.py"} <= modules("plan", "cls", known)


@pytest.mark.parametrize(
    ("task", "own", "other"),
    [
        ("cls", {"cls/resnet.py", "cls/augment.py", "cls/convolution.py", "data/images.py"}, "mt/"),
        ("mt", {"mt/transformer.py", "mt/tokenizer.py", "mt/losses.py", "data/translation.py"}, "cls/"),
    ],
)
def test_training_reads_its_task_and_what_loops_share(
    task: str, own: set[str], other: str, known: Fingerprints
) -> None:
    found = modules("train", task, known)
    shared = {f"training/{name}.py" for name in ("seeding", "schedules", "averaging", "muon", "distributed")}
    assert own | shared | {f"{task}/train.py", f"{task}/recipe.py"} <= found
    assert not [name for name in found if name.startswith(("terminal/", "runs/", "figures/", other))]
    assert not found & {"training/session.py", "training/checkpoint.py", "errors.py", "files.py"}


def test_evaluation_leaves_out_what_training_reads(known: Fingerprints) -> None:
    for task, own in (("cls", {"cls/scores.py", "cls/gradcam.py"}), ("mt", {"mt/search.py", "mt/scores.py"})):
        found = modules("evaluate", task, known)
        assert own <= found and not found & modules("train", task, known)
    assert "requirements.txt" in {path.name for path in stamps.files_of("evaluate", "mt", known)}


def test_drawing_imports_no_training_but_schedules(known: Fingerprints) -> None:
    for task in ("cls", "mt"):
        found = modules("draw", task, known)
        assert {f"{task}/draw.py", "figures/sheet.py"} <= found and f"{task}/train.py" not in found


def test_page_reads_templates_and_facts_of_tasks(known: Fingerprints) -> None:
    files = stamps.files_of("render", "", known)
    assert {"report.tex.j2", "page.toml", "claims.toml", "facts.py"} <= {path.name for path in files}


def test_every_pattern_matches_something() -> None:
    for stage, found in stamps.STAGES.items():
        for task in tasks.TASKS:
            assert all((stamps.PACKAGE / entry.format(task=task)).is_file() for entry in found.entries), stage
            assert all(any(stamps.HOME.glob(pattern.format(task=task))) for pattern in found.files), stage


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that the fingerprints read."""
    place = tmp_path / "code" / "onepage"
    shutil.copytree(stamps.PACKAGE, place, ignore=shutil.ignore_patterns("__pycache__"))
    for module in (fingerprint, stamps):
        monkeypatch.setattr(module, "PACKAGE", place)
        monkeypatch.setattr(module, "HOME", tmp_path)
    return place


def programs() -> dict[str, str]:
    return {f"{stage} {task}": stamps.program(stage, task) for stage in ("train", "evaluate") for task in tasks.TASKS}


def changed(before: dict[str, str]) -> list[str]:
    return [name for name, digest in programs().items() if digest != before[name]]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_comments_train_nothing_and_constants_one_task(copy: Path) -> None:
    before = programs()
    edit(copy / "cls/augment.py", "import functools\n", "# another comment\nimport functools\n")
    edit(copy / "cls/resnet.py", '"""', '"""Other words. ')
    assert changed(before) == []
    edit(copy / "cls/augment.py", "0.4914", "0.4915")
    assert changed(before) == ["train cls"]
    edit(copy / "training/muon.py", "import torch\n", "import torch\n\nADDED = 1\n")
    assert {"train cls", "train mt"} <= set(changed(before))


def test_progress_and_records_train_nothing(copy: Path) -> None:
    before = programs()
    for name in ("terminal/progress.py", "training/checkpoint.py", "errors.py", "runs/history.py"):
        (copy / name).write_text((copy / name).read_text(encoding="utf-8") + "\nADDED = 1\n", encoding="utf-8")
    assert changed(before) == []


def test_page_reads_ablations_beside_its_runs(tmp_path: Path, known: Fingerprints) -> None:
    run = tmp_path / "runs/mt/multi30k-en-de/quick/seed0"
    ablation = tmp_path / "runs/mt/multi30k-en-de/ablation/ablation.json"

    def read() -> dict[str, str]:
        found: dict[str, str] = stamps.of_page([run], "latex", "a4", known)["ablations"]
        return found

    assert read() == {}
    ablation.parent.mkdir(parents=True)
    ablation.write_text("{}", encoding="utf-8")
    first = read()
    assert list(first) == [str(run)]
    ablation.write_text('{"a": 1}', encoding="utf-8")
    assert read() != first


def test_seeds_are_gathered_again_with_another(tmp_path: Path, known: Fingerprints) -> None:
    task, zero, one = tasks.get("mt"), tmp_path / "seed0", tmp_path / "seed1"
    first = stamps.of_seeds([zero], task, known)
    (zero / "metrics.json").parent.mkdir()
    (zero / "metrics.json").touch()
    assert stamps.of_seeds([zero], task, known) == first  # the shown seed counts even before it is trained
    one.mkdir()
    (one / "metrics.json").touch()
    second = stamps.of_seeds([zero], task, known)
    assert second != first and stamps.of_seeds([one], task, known) != second


def dated(folder: Path, **ahead: float) -> list[Path]:
    """Create files with these names, dated this many seconds from now."""
    for name, seconds in ahead.items():
        (folder / name).touch()
        os.utime(folder / name, (time.time() + seconds, time.time() + seconds))
    return [folder / name for name in ahead]


def test_files_of_the_future_keep_their_order(tmp_path: Path) -> None:
    paths = dated(tmp_path, a=7300, b=7200, c=-10, d=30, e=7200)
    os.utime(tmp_path / "e", ns=(0, (tmp_path / "b").stat().st_mtime_ns))
    assert stamps.date_back([*paths, tmp_path / "none"]) == [tmp_path / name for name in "abde"]
    when = {path.name: path.stat().st_mtime_ns for path in paths}
    assert when["c"] < when["d"] < when["b"] == when["e"] < when["a"]
    (tmp_path / "new").touch()
    assert when["a"] < (tmp_path / "new").stat().st_mtime_ns
    assert stamps.date_back(paths) == []


def test_a_file_server_may_be_ahead_a_little(tmp_path: Path) -> None:
    paths = dated(tmp_path, a=20, b=40)
    before = [path.stat().st_mtime_ns for path in paths]
    assert stamps.date_back(paths) == [] and [path.stat().st_mtime_ns for path in paths] == before


def test_files_that_cannot_be_dated_stop_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = dated(tmp_path, a=7200)

    def refused(*arguments: object, **named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(stamps.os, "utime", refused)
    assert stamps.date_back(paths) == paths


def test_next_stage_is_the_first_stale_one(tmp_path: Path) -> None:
    """By the rule of make."""
    run = tmp_path / "seed0"
    for stage in ("train", "evaluate"):
        plan.write(run, stage, {"task": "cls"})
    found = [stamps.next_stage(run)]
    begun = plan.path_of(run, "evaluate").stat().st_mtime
    for number, name in enumerate(("model.pt", "metrics.json", "plan/evaluate.json", "plan/train.json"), 1):
        (run / name).touch()
        os.utime(run / name, (begun + 10 * number, begun + 10 * number))
        found.append(stamps.next_stage(run))
        assert stamps.unfinished([run]) == [run] * bool(found[-1])
    assert found == ["train", "evaluate", "", "evaluate", "train"]
    os.utime(run / "metrics.json", (begun + 50, begun + 50))
    os.utime(run / "model.pt", (begun + 60, begun + 60))
    assert stamps.next_stage(run) == "evaluate"
