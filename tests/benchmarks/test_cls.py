"""make bench-cls on small generated pictures: its measurements, turns and curves, and its summary."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench_cases import cls_result, curve
from onepage.benchmarks import cls, ours, results
from onepage.benchmarks.tables import MARKDOWN
from onepage.cls.recipe import Recipe, Stage
from onepage.cls.train import timetable
from onepage.commands.main import main
from onepage.errors import UserError
from onepage.files import read_json, write_json
from onepage.runs import history, plan, provenance
from onepage.training.recipe import as_dict, from_values
from onepage.training.schedules import validation_updates


@pytest.mark.slow
def test_everything_is_measured_in_turns(
    planned: dict, tmp_path: Path, small: None, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"repeats": 2, "target": 0.05, "plain_readings": 2, "our_readings": 2, "workers": 0}
    monkeypatch.setattr(cls, "SETTINGS", few)
    monkeypatch.setattr(cls, "IMAGES", {"cpu": 16})
    result = cls.run(planned | {"seed": 3}, tmp_path / "out", minutes=0.002)
    assert measured == ["measure", "plain_loop", "our_loop", "our_loop", "our_loop"] * 2 + ["our_curve", "plain_curve"]
    assert {name: len(taken) for name, taken in result["samples"].items()} == dict.fromkeys(
        ("machine", "plain", "ours-32", "ours-8", "busy"), 2
    )
    assert result["samples"]["ours-8"][0]["image_size"] == 8 and result["settings"]["seed"] == 3
    for name in ("plain", "ours-32", "ours-8"):
        assert all(sample["training"] > 0 and sample["forward"] > 0 for sample in result["samples"][name])
        assert all(sample["peak_memory_bytes"] > 10**8 for sample in result["samples"][name])
    assert result["training_images"] == 64 and result["validation_images"] == 16
    found = cls.summarise(result)
    assert found["ratios"]["training"] > 0 and set(found["time_to"]) == {"ours", "plain"}
    log = (tmp_path / "out/runs/bench" / f"{results.name_of('cls', result)}.log").read_text(encoding="utf-8")
    assert "turn 2/2  ours-8: " in log and " left\n" in log and "plain loop: " in log
    assert "| training, whole updates, 32 px, images/s |" in MARKDOWN["cls"](result)
    write_json(tmp_path / "x.json", result)  # fails unless all values are plain


@pytest.mark.parametrize(("batch", "images_a_turn"), [(8, 100), (256, 2048), (64, 40_960)])
def test_a_shortened_recipe_measures_the_images_asked(batch: int, images_a_turn: int) -> None:
    recipe = Recipe((Stage(2, 16),), batch, "sgd", 0.1, 0.0, 6)
    short = cls.shortened(recipe, 50_000, 32, images_a_turn)
    times = timetable(short, 50_000 - short.validation_size)
    marks = sorted(validation_updates(times.updates, short.validations))
    assert len(marks) == ours.PARTS and times.sizes == ((0, 32),)
    assert (marks[-1] - marks[0]) * batch == pytest.approx(images_a_turn, abs=batch)
    assert from_values(Recipe, as_dict(short), "short") == short and short.optimiser == recipe.optimiser


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    about = {"task": "cls", "data_digest": "d", "profile": "quick", "seed": 0, "commit": None, "dirty": None}
    write_json(run / "run.json", about | {"recipe": {}, "threads": 2, "precision": "bf16"})
    write_json(run / "provenance.json", {"host": provenance.host()})
    history.write(run / "history.jsonl", curve([10, 20], [0.5, 0.1], 1.0))
    return run


def test_a_finished_run_of_this_machine_serves(finished: Path) -> None:
    found = cls.run_of_this_machine(finished, "d")
    assert [row["seconds"] for row in found["rows"]] == [10, 20]
    assert found["from_run"]["profile"] == "quick"


@pytest.mark.fault(
    "a benchmark that is given a run of other data or of another machine", "`was trained on another machine ...`"
)
def test_a_run_of_other_data_or_machine_fails(finished: Path) -> None:
    with pytest.raises(UserError, match="not trained on these images"):
        cls.run_of_this_machine(finished, "e")
    content = read_json(finished / "provenance.json")
    write_json(finished / "provenance.json", content | {"host": content["host"] | {"cpu": "another"}})
    with pytest.raises(UserError, match=r"another machine \(another\)"):
        cls.run_of_this_machine(finished, "d")
    with pytest.raises(UserError, match="is missing"):
        cls.run_of_this_machine(finished / "none", "d")


@pytest.mark.fault("a benchmark without its data", "`the data set in ... is missing or incomplete ...`")
def test_missing_data_get_one_line(planned: dict, tmp_path: Path) -> None:
    """The message is one line, and no file is left."""
    plan.write(tmp_path / "run", "train", planned | {"data_dir": str(tmp_path / "none")})
    done = CliRunner().invoke(main, ["bench", "cls", str(tmp_path / "run"), "--out", str(tmp_path / "o")])
    assert done.exit_code == 1 and "is missing or incomplete" in done.output and done.output.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_medians_shares_and_ratios() -> None:
    found = cls.summarise(cls_result())
    assert found["peaks"] == {"fp32": 2e11, "bf16": 4e11}
    plain, mine = found["contenders"]["plain"], found["contenders"]["ours-32"]
    assert plain["training_share"] == pytest.approx(50 * 1e9 * 3 / 2e11)
    assert mine["training_share"] == pytest.approx(200 * 1e9 * 3 / 4e11)
    assert mine["forward_share"] == pytest.approx(400 * 1e9 / 4e11)
    assert found["contenders"]["ours-16"]["training_share"] == pytest.approx(800 * 25e7 * 3 / 4e11)
    assert (plain["memory"], mine["memory"]) == (10**9, 2 * 10**9)
    assert found["ratios"]["training"] == 4.0 and found["ratios"]["forward"] == 4.0
    assert found["time_to"] == {"ours": 300, "plain": None}
    assert found["ratios"]["time_to"] == 320 / 300


def test_ratios_of_times_are_of_readings() -> None:
    """If ours misses the target, there is no ratio."""
    result = cls_result()
    result["curves"]["plain"]["rows"] = curve([100_000, 200_000], [0.4, 0.1], 50.0)
    assert cls.summarise(result)["ratios"]["time_to"] == 4000 / 300
    result["curves"]["ours"]["rows"] = curve([1000], [0.5], 100.0)
    assert set(cls.summarise(result)["ratios"]) == {"forward", "training"}
