"""make bench-gpu on a CPU: its measurements, turns and ways to train, and its plan for a GPU."""

import dataclasses
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bench_cases import gpu_result
from onepage.benchmarks import gpu, results
from onepage.commands.main import main
from onepage.data import fetch, toy_translation
from onepage.data.translation import load_translation
from onepage.files import read_json
from onepage.runs import plan
from onepage.training import seeding
from onepage.training.recipe import as_dict
from small_training import MT


@pytest.fixture(scope="session")
def plans(planned: dict, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """The plan of a run of each task, on small generated sets."""
    data_dir = tmp_path_factory.mktemp("pairs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_translation, "SIZES", dict.fromkeys(toy_translation.SIZES, 60))
        fetch.ensure("toy-translation", data_dir)
    digest = load_translation(data_dir, "toy-translation", "en", "de").digest
    about = {"task": "mt", "set": "toy-translation", "src": "en", "tgt": "de", "data_digest": digest}
    return {"cls": planned, "mt": planned | about | {"recipe": as_dict(MT), "data_dir": str(data_dir)}}


@pytest.mark.slow
def test_both_tasks_are_measured_in_turns(
    plans: dict, tmp_path: Path, small: None, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command reads the run folders and keeps one JSON file."""
    monkeypatch.setattr(gpu, "SETTINGS", gpu.SETTINGS | {"repeats": 2})
    monkeypatch.setattr(gpu, "UPDATES", {"cpu": 1})
    for task, planned in plans.items():
        plan.write(tmp_path / task, "train", planned)
    words = ["bench", "gpu", str(tmp_path / "cls"), str(tmp_path / "mt"), "--out", str(tmp_path)]
    done = CliRunner().invoke(main, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert measured == ["launches"] * 2 + ["measure", "rates", "rates"] * 2
    (kept,) = results.read_all(tmp_path, "generated-gpu")
    assert list(kept["contenders"]) == ["cls-8-recipe", "mt-recipe"] and "curve" not in kept
    # launches that happen once per training cancel out, so each count per update is whole
    assert all(count == int(count) > 50 for count in kept["launches"].values()), kept["launches"]
    found = gpu.summarise(kept)
    assert found["ratios"] == {} and all(row["share"] > 0 for row in found["rows"].values())
    assert "the Transformer, 120 target positions" in done.output and "operators per update" in done.output


def test_the_fastest_way_gives_up_determinism_while_it_trains() -> None:
    seen: list[tuple[int, bool]] = []
    prepare = seeding.prepare
    with gpu.kernels_of("fastest"):
        seeding.prepare(0, 1, "cpu")
        seen.append((torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark))
    assert seeding.prepare is prepare
    with gpu.kernels_of("recipe"):
        seeding.prepare(0, 1, "cpu")
        seen.append((torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark))
    assert seen == [(0, True), (2, False)]


def test_a_gpu_trains_resnet_in_every_way(plans: dict) -> None:
    """Only the last image size is trained in every way. Only the recipe's way uses CUDA graphs, if it asks for them."""
    stages = [{"epochs": 1.0, "image_size": size} for size in (24, 32)]
    asked = plans["cls"] | {"recipe": plans["cls"]["recipe"] | {"stages": stages, "cuda_graph": True}}
    found = gpu.contenders(plans | {"cls": asked}, "cuda")
    assert list(found) == [
        "cls-24-recipe", "cls-32-recipe", "cls-32-eager", "cls-32-fastest", "mt-recipe", "mt-fastest",
    ]  # fmt: skip
    assert set(gpu_result("cuda")["contenders"]) == set(found)
    trained = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu, "train_cls", lambda recipe, *more: trained.append(recipe.cuda_graph))
        for how in ("recipe", "eager", "fastest"):
            gpu.shortened(asked, 32, how, 1)(Path("unused"))
    assert trained == [True, False, False]


def test_two_passes_count_twice(plans: dict) -> None:
    once = gpu.forward_flops(plans["mt"], 0)
    recipe = as_dict(dataclasses.replace(MT, r_drop=1.0))
    assert gpu.forward_flops(plans["mt"] | {"recipe": recipe}, 0) == 2 * once > 0


def test_a_json_is_all_that_is_kept(tmp_path: Path) -> None:
    path = results.write(tmp_path, "gpu", gpu_result("cuda"))
    assert path.name == "gpu-imagined-h300.json" and read_json(path) == gpu_result("cuda")
