"""Numbers in words, and the kept files."""

from pathlib import Path

import pytest

from bench_cases import cls_result
from onepage.benchmarks import results
from onepage.errors import UserError
from onepage.files import read_json


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234.5, "1,230"), (84.21, "84.2"), (5.0, "5.00"), (0.0512, "0.051"), (0, "0"), (99999, "100,000")],
)
def test_significant_figures(value: float, text: str) -> None:
    assert results.digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.2, "4.2 s"),
        (60, "1 min"),
        (755.2, "12 min 35 s"),
        (3599.6, "1 h"),
        (7800, "2 h 10 min"),
        (5e6, "1,388 h 53 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert results.duration(seconds) == text


@pytest.mark.parametrize(
    ("host", "device", "slug"),
    [
        ({"cpu": "AMD EPYC", "cores": 2, "gpu": None}, "cpu", "2-cores-amd-epyc"),
        (
            {"cpu": "AMD EPYC", "cpu_id": "vendor_id AuthenticAMD, cpu family 26", "cores": 2, "gpu": None},
            "cpu",
            "2-cores-amd-epyc-zen-5",
        ),
        ({"cpu": "x", "cores": 8, "gpu": "NVIDIA H200"}, "cuda", "nvidia-h200"),
        ({"cpu": "Intel(R) Xeon(R) CPU @ 2.20GHz", "cores": 4, "gpu": "x"}, "cpu", "4-cores-intel-xeon-cpu-2-20ghz"),
    ],
)
def test_files_are_named_for_the_hardware(host: dict[str, object], device: str, slug: str) -> None:
    assert results.hardware_slug(host, device) == slug


@pytest.mark.parametrize(
    ("cpu", "identifier", "text"),
    [
        ("AMD EPYC", "vendor_id AuthenticAMD, cpu family 25, model 1, avx2", "2 cores of AMD EPYC (Zen 3)"),
        ("AMD EPYC", "vendor_id AuthenticAMD, cpu family 25, model 17, avx512_bf16", "2 cores of AMD EPYC (Zen 4)"),
        ("AMD EPYC", "vendor_id AuthenticAMD, cpu family 26, model 2, avx512_bf16", "2 cores of AMD EPYC (Zen 5)"),
        ("Intel x", "vendor_id GenuineIntel, cpu family 6, avx512_bf16", "2 cores of Intel x"),
        ("Apple M1", None, "2 cores of Apple M1"),
    ],
)
def test_generations_of_amd_s_cores_are_named(cpu: str, identifier: str | None, text: str) -> None:
    assert results.cores({"cpu": cpu, "cpu_id": identifier, "cores": 2}) == text


def test_a_result_is_kept_under_its_hardware(tmp_path: Path) -> None:
    result = cls_result()
    path = results.write(tmp_path, "cls", result)
    assert path == tmp_path / "report/bench/cls-2-cores-imagined-cpu.json"
    assert results.read_all(tmp_path, "cls") == [read_json(path)] == [result]


def test_results_of_generated_data_are_kept_apart(tmp_path: Path) -> None:
    result = cls_result()
    result["data"]["generated"] = True
    results.write(tmp_path, "cls", result)
    assert results.read_all(tmp_path, "cls") == []


def test_a_result_of_another_version_is_refused(tmp_path: Path) -> None:
    results.write(tmp_path, "cls", cls_result() | {"form": 0})
    with pytest.raises(UserError, match="make bench-cls"):
        results.read_all(tmp_path, "cls")
