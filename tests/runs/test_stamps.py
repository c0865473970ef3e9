"""Stamps change with what a stage reads, and with nothing else; the table leaves no import out."""

import ast
import json
import time

import pytest

from onepage.planning import plan as plans
from onepage.runs import stamps

ENTRIES = {
    "train-cls": ["cls/train.py"],
    "train-mt": ["mt/train.py"],
    "evaluate-cls": ["cls/evaluate.py"],
    "evaluate-mt": ["mt/evaluate.py"],
    "seeds": ["runs/seeds.py"],
    "draw-cls": ["cls/draw.py"],
    "draw-mt": ["mt/draw.py"],
    "render": ["report/render.py"],
}


def imports(module):
    """Package files that a package file imports."""
    found = set()
    for node in ast.walk(ast.parse((stamps.PACKAGE / module).read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("onepage"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("onepage")]
        for name in names:
            path = "/".join(name.split(".")[1:])
            found.update(p for p in (f"{path}.py", f"{path}/__init__.py") if (stamps.PACKAGE / p).is_file())
    return found


def closure(modules):
    seen, todo = set(), list(modules)
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += imports(module)
    return seen


@pytest.mark.parametrize("stage", sorted(stamps.STAGES))
def test_the_table_names_all_that_a_stage_imports(stage):
    listed = {
        str(path.relative_to(stamps.PACKAGE)) for path in stamps.files_of(stage) if stamps.PACKAGE in path.parents
    }
    task = stage.partition("-")[2]
    before = {f"train-{task}"} if stage.startswith("evaluate") else set()  # weights made by it are an input already
    for earlier in before:
        listed |= {str(path.relative_to(stamps.PACKAGE)) for path in stamps.files_of(earlier)}
    missing = closure(ENTRIES[stage]) - listed - stamps.WITHOUT_EFFECT
    assert not missing


def test_every_pattern_matches_something():
    for stage, patterns in stamps.STAGES.items():
        for pattern in patterns:
            root, local = (stamps.REPOSITORY, pattern[1:]) if pattern.startswith("/") else (stamps.PACKAGE, pattern)
            assert any(root.glob(local)), (stage, pattern)


@pytest.fixture
def plan(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("threads = 2\n", encoding="utf-8")
    values = {"task": "mt", "folder": "multi30k-en-de", "profile": "quick", "recipe": str(recipe), "set": "multi30k"}
    values |= {"src": "en", "tgt": "de", "device": "cpu", "auto_precision": "fp32", "threads": 0, "data_digest": "d"}
    values |= {"versions": {"torch": "2"}}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path, recipe, values


def refresh(tmp_path, path, *more):
    assert stamps.main(["--out", str(tmp_path), "--plan", str(path.with_suffix(".mk")), *more]) == 0
    run = tmp_path / "runs" / "mt" / "multi30k-en-de" / "quick" / "seed0" / ".stamp"
    return {file.name: file.stat().st_mtime_ns for file in run.iterdir()}


def test_a_stamp_is_rewritten_only_when_content_changes(tmp_path, plan):
    path, recipe, values = plan
    first = refresh(tmp_path, path)
    time.sleep(0.02)
    recipe.write_text("# a comment\nthreads   = 2\n", encoding="utf-8")
    assert refresh(tmp_path, path) == first
    recipe.write_text("threads = 3\n", encoding="utf-8")
    second = refresh(tmp_path, path)
    assert second["train"] > first["train"] and second["evaluate"] == first["evaluate"]
    path.write_text(json.dumps({**values, "data_digest": "other"}), encoding="utf-8")
    assert refresh(tmp_path, path)["train"] > second["train"]


def test_how_outputs_are_searched_for_is_read_by_evaluation_alone(tmp_path, plan):
    path, recipe, _ = plan
    first = refresh(tmp_path, path)
    time.sleep(0.02)
    recipe.write_text("threads = 2\n[decoding]\nbeam_size = 4\n", encoding="utf-8")
    second = refresh(tmp_path, path)
    assert second["train"] == first["train"] and second["evaluate"] > first["evaluate"]
    recipe.write_text("threads = 2\n[decoding]\nbeam_size = 4 # as before\n", encoding="utf-8")
    assert refresh(tmp_path, path) == second
    assert set(stamps.EVALUATION) == {name for tables in plans.TABLES.values() for name in tables}


@pytest.mark.fault("a broken plan", "`... cannot be used (...); delete it and run make again`")
def test_a_broken_plan_gets_one_line(tmp_path, capsys):
    path = tmp_path / "plan.json"
    path.write_text("{", encoding="utf-8")
    assert stamps.main(["--out", str(tmp_path), "--plan", str(path)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_each_seed_has_its_stamps_and_the_first_is_the_one_drawn(tmp_path, plan):
    path, _, _ = plan
    refresh(tmp_path, path, "--seed", "3", "--seed", "0", "--draws")
    beside = tmp_path / "runs" / "mt" / "multi30k-en-de" / "quick"
    three, zero = (json.loads((beside / f"seed{k}" / ".stamp" / "train").read_text(encoding="utf-8")) for k in (3, 0))
    assert (three.pop("seed"), zero.pop("seed")) == ("3", "0") and three == zero
    drawn = json.loads((tmp_path / "figures" / "mt" / ".stamp").read_text(encoding="utf-8"))
    assert drawn["run"] == str(beside / "seed3")


def test_the_seeds_are_gathered_anew_when_another_is_there_or_shown(tmp_path, plan):
    path, _, _ = plan
    beside = tmp_path / "runs" / "mt" / "multi30k-en-de" / "quick"

    def gathered(*seeds):
        stamps.main(["--out", str(tmp_path), "--plan", str(path), "--draws", *seeds])
        return (beside / ".stamp" / "seeds").stat().st_mtime_ns

    first = gathered()
    for seed, wait in ((0, 0.02), (1, 0.02)):
        (beside / f"seed{seed}").mkdir(exist_ok=True)
        (beside / f"seed{seed}" / "metrics.json").touch()
        time.sleep(wait)
        if seed == 0:
            assert gathered() == first  # the seed shown counts before it is trained: training it gathers once
    second = gathered()
    assert second > first and gathered("--seed", "0", "--seed", "1") == second
    time.sleep(0.02)
    assert gathered("--seed", "1") > second


def of_the_page(tmp_path, plan):
    """What the page's stamp holds, with a plan of the other task beside ``plan``."""
    path, _, values = plan
    images = tmp_path / "images.json"
    images.write_text(json.dumps(values | {"task": "cls", "folder": "cifar10"}), encoding="utf-8")
    more = ["--plan", str(images), "--engine", "latex"]
    assert stamps.main(["--out", str(tmp_path), "--plan", str(path), *more]) == 0
    return json.loads((tmp_path / "report" / ".stamp").read_text(encoding="utf-8"))


def test_the_page_is_rendered_anew_when_another_direction_was_evaluated(tmp_path, plan):
    def stamped():
        return of_the_page(tmp_path, plan)["directions"]

    def evaluated(place, content):
        (tmp_path / "runs" / "mt" / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / "runs" / "mt" / place / "metrics.json").write_text(content, encoding="utf-8")

    assert stamped() == {}
    for place in ("multi30k-en-de/quick/seed0", "multi30k-en-de/quick/seed1", "multi30k-de-en/full/seed0"):
        evaluated(place, "{}")  # the page's own direction, and another profile
    assert stamped() == {}
    evaluated("multi30k-de-en/quick/seed0", "{}")
    first = stamped()
    assert list(first) == ["multi30k-de-en/quick/seed0"]
    evaluated("multi30k-de-en/quick/seed0", '{"a": 1}')
    assert stamped() != first


def test_the_page_is_rendered_anew_when_make_ablate_has_found_something(tmp_path, plan):
    def stamped():
        return of_the_page(tmp_path, plan)["ablations"]

    assert stamped() == {"cls": "", "mt": ""}
    found = tmp_path / "runs" / "cls" / "cifar10" / "ablation" / "ablation.json"
    found.parent.mkdir(parents=True)
    found.write_text("{}", encoding="utf-8")
    first = stamped()
    assert first["cls"] and not first["mt"]
    found.write_text('{"a": 1}', encoding="utf-8")
    assert stamped()["cls"] != first["cls"]
