"""The scaling benchmark: what is made of its repeats, the estimate's formula, and the tables in the document."""

import dataclasses
import tomllib
from pathlib import Path

import pytest

from bench_cases import cls_result
from onepage.benchmarks import machine, results, scale, scale_estimate
from onepage.benchmarks.scale_estimate import INPUTS
from onepage.cls.resnet import PARAMETERS, ResNet18
from onepage.planning import plan

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/several-processes.md").read_text(encoding="utf-8")


def scale_result(device: str = "cpu") -> dict:
    """Three turns with one and two processes, on a machine that is not there."""
    one = [{"threads": 2, "exchange_seconds": 0.0, "alone": rate, "together": rate} for rate in (90.0, 100.0, 110.0)]
    two = [{"threads": 1, "exchange_seconds": 0.02, "alone": 100.0, "together": rate} for rate in (70.0, 80.0, 90.0)]
    taken = {
        key: cls_result()[key] for key in ("form", "hardware", "versions", "started", "commit", "dirty", "load_before")
    }
    return taken | {
        "device": device, "data": {"set": "cifar10", "generated": False}, "precision": "fp32",
        "settings": {"repeats": 3, "updates": 8, "image_size": 32},
        "recipe": {"batch_size": 200, "batch_norm": "local"},
        "gradient_bytes": 4 * PARAMETERS, "samples": {"1": one, "2": two},
    }  # fmt: skip


def test_efficiency_is_a_gpu_s_and_on_a_cpu_that_of_the_same_cores() -> None:
    (_, two), (_, on_gpus) = scale.summarise(scale_result()), scale.summarise(scale_result("cuda"))
    assert two["rate"] == 80 and two["efficiency"] == pytest.approx(0.8) and on_gpus["efficiency"] == pytest.approx(0.4)
    assert two["exchange_share"] == pytest.approx(0.2) and two["update_seconds"] == 2.5
    assert two["bandwidth"] == pytest.approx(4 * PARAMETERS / 0.02)  # two processes: each sends and receives it once


def test_the_table_has_a_row_for_each_number_of_processes() -> None:
    lines = scale.markdown(scale_result()).splitlines()
    assert lines[2] == "| 1 | 2 | 100 (90.0 to 110) | 100 % | 2,000 ms | | |"
    assert lines[3].startswith("| 2 | 1 | 80.0 (70.0 to 90.0) | 80 % | 2,500 ms | 20.0 % | 20.0 ms, 2.2 GB/s")
    assert "batch 200 over all processes, BatchNorm local" in lines[-1]


@pytest.mark.parametrize(("most", "found"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_numbers_of_processes_double_up_to_the_most(most: int, found: list[int]) -> None:
    assert scale.counts(most) == found


def test_the_estimate_counts_the_recipe_and_the_network_as_they_are() -> None:
    recipe = tomllib.loads((ROOT / "code/onepage/cls/recipes/full-cuda.toml").read_text(encoding="utf-8"))
    assert INPUTS.batch == recipe["batch_size"] and INPUTS.images == 50_000 - recipe["validation_size"]
    assert list(INPUTS.epochs) == [(stage["epochs"], stage["image_size"]) for stage in recipe["stages"]]
    assert machine.forward_flops(ResNet18(), 32) == pytest.approx(INPUTS.flops_32, rel=0.01)
    assert INPUTS.gradient_bytes == 4 * PARAMETERS


def test_the_estimate_s_limits() -> None:
    free = dataclasses.replace(INPUTS, fixed_seconds=0.0, inside=1e30, between=1e30, latency=0.0)
    assert scale_estimate.training_seconds(1, free) == pytest.approx(64 * scale_estimate.training_seconds(64, free))
    slow = dataclasses.replace(INPUTS, hidden=0.0)
    assert scale_estimate.update_seconds(8, 32, slow) == pytest.approx(
        scale_estimate.divided_seconds(8, 32) + INPUTS.fixed_seconds + scale_estimate.exchange_seconds(8)
    )
    end = scale_estimate.end_of_scaling()
    gain = scale_estimate.update_seconds(end, 32) / scale_estimate.update_seconds(2 * end, 32)
    assert gain < 4 / 3 and scale_estimate.end_of_scaling(dataclasses.replace(INPUTS, fixed_seconds=1e-5)) > end


def test_the_tables_in_the_document_are_those_of_the_files_and_of_the_formula() -> None:
    kept = results.read_all(ROOT, "scale")
    assert results.section_of(DOCUMENT, "scale") == results.section(kept, scale.markdown, "scale")
    assert results.section_of(DOCUMENT, "scale-estimate") == scale_estimate.markdown() + "\n"


@pytest.mark.slow
def test_one_and_two_processes_are_measured_and_nothing_is_left(tmp_path: Path) -> None:
    settings = {"mirror": "", "src": "en", "tgt": "de", "profile": "smoke", "device": "cpu", "threads": 0}
    plan.decide(
        "cls", tmp_path / "cls.mk", data_dir=tmp_path / "data", data="generated", recipe_file="",
        say=lambda line: None, **settings,
    )  # fmt: skip
    result = scale.run(tmp_path / "cls.mk", tmp_path / "data", 0, tmp_path, repeats=1, updates=2, most=2)
    one, two = scale.summarise(result)
    assert one["exchange_seconds"] == 0 < two["exchange_seconds"] and min(one["rate"], two["rate"]) > 0
    assert result["samples"]["2"][0]["processes"] == 2 and result["data"]["generated"]
    assert results.name_of("scale", result).startswith("generated-scale-")
    assert not list((tmp_path / "runs").rglob("model.pt"))
