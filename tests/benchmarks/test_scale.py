"""The scaling benchmark: its measurement with two processes, and the medians of its repeats."""

from pathlib import Path

import pytest

from bench_cases import scale_result
from onepage.benchmarks import results, scale
from onepage.benchmarks.tables import MARKDOWN
from onepage.cls.resnet import PARAMETERS
from onepage.runs import provenance


def test_efficiency_is_per_gpu_or_per_machine() -> None:
    (_, two), (_, on_gpus) = scale.summarise(scale_result()), scale.summarise(scale_result("cuda"))
    assert two["rate"] == 80 and two["efficiency"] == pytest.approx(0.8) and on_gpus["efficiency"] == pytest.approx(0.4)
    assert two["exchange_share"] == pytest.approx(0.2) and two["update_seconds"] == 2.5
    assert two["bandwidth"] == pytest.approx(4 * PARAMETERS / 0.02)  # each process sends and receives gradients once


@pytest.mark.parametrize(("most", "found"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_numbers_of_processes_double(most: int, found: list[int]) -> None:
    assert scale.counts(most) == found


@pytest.mark.slow
def test_one_and_two_processes_are_measured(
    planned: dict, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their runs leave no weights behind."""
    monkeypatch.setattr(scale, "REPEATS", 1)
    monkeypatch.setattr(scale, "UPDATES", {"cpu": 2})
    monkeypatch.setattr(provenance, "cores", lambda: 2)
    monkeypatch.setenv("PYTHONPATH", str(Path(scale.__file__).resolve().parents[2]))
    result = scale.run(planned, tmp_path)
    one, two = scale.summarise(result)
    assert one["exchange_seconds"] == 0 < two["exchange_seconds"] and min(one["rate"], two["rate"]) > 0
    assert result["samples"]["2"][0]["processes"] == 2 and result["data"]["generated"]
    assert results.name_of("scale", result).startswith("generated-scale-")
    assert f"{results.digits(two['rate'])}" in MARKDOWN["scale"](result)
    assert not list((tmp_path / "runs").rglob("model.pt"))
