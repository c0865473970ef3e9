"""The tables of the kept results, and the documents that show them."""

from pathlib import Path

import pytest

from bench_cases import cls_result, curve, gpu_result, mt_result, scale_result
from onepage.benchmarks import results
from onepage.benchmarks.tables import MARKDOWN, cls_rows

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", MARKDOWN)
def test_documents_show_the_kept_results(kind: str) -> None:
    document = ROOT / "docs" / ("several-processes.md" if kind == "scale" else "benchmarks.md")
    _, shown = document.read_text(encoding="utf-8").split(f"<!-- bench-{kind}:begin -->\n")
    shown, _ = shown.split(f"<!-- bench-{kind}:end -->\n")
    kept = results.read_all(ROOT, kind)
    assert shown == "\n\n".join(map(MARKDOWN[kind], kept)) + "\n" or (not kept and shown.startswith("Not measured"))
    assert all(not result["data"]["generated"] for result in kept)


def test_the_table_says_what_was_not_reached() -> None:
    result = cls_result()
    text = MARKDOWN["cls"](result)
    assert "| training, whole updates, 32 px, images/s | 50.0 (40.0 to 60.0) | 200 (190 to 210) | 4.0 |" in text
    assert "| training, 16 px, images/s | | 800 (800 to 800) | |" in text
    assert "| training, 16 px, 1 thread, images/s | | 450 (450 to 450) | |" in text
    assert "| training, 16 px, beside a busy process, images/s | | 400 (400 to 400) | |" in text
    last = "| time to 80 % validation accuracy | not reached in 5 min 20 s (best: 65.2 %) | 5 min | at least 1 |"
    assert last in text
    assert "2 cores of Imagined(R) CPU, 8 GiB" in text and "2026-01-02, commit 0123456." in text
    assert "The machine was busy" not in text
    result["curves"]["plain"]["rows"] = curve([100_000, 200_000], [0.4, 0.1], 50.0)
    result["load_before"] = 3.0
    text = MARKDOWN["cls"](result)
    assert "| 1 h 7 min | 5 min | 13 |" in text and "The machine was busy (load 3.0)" in text


def test_a_recipe_below_the_target_has_no_ratio() -> None:
    result = cls_result()
    result["curves"]["ours"]["rows"] = curve([1000, 2000], [0.5, 0.6], 100.0)
    plain = cls_rows(cls_result())[-1][1]
    assert cls_rows(result)[-1] == ("time to 80 % validation accuracy", plain, "not reached in 20 s (best: 50.0 %)", "")


def test_the_transformer_s_tables_say_what_was_measured() -> None:
    text = MARKDOWN["mt"](mt_result())
    assert "| | ours | ours without cache | JoeyNMT | CTranslate2 fp32 4.8.5 |" in text
    assert "| sentences/s | 50.0 (25.0 to 100) | 5.00 (5.00 to 5.00) | not installed | 100 (100 to 100) |" in text
    assert "| our sentences/s divided by this column's | | 10 | | 0.50 |" in text
    assert "| outputs identical to ours, of 100 | | 100 | | 88 |" in text
    assert "| target tokens/s | 4,000 (4,000 to 4,000) | 10,000 (9,000 to 12,000) | 2.5 |" in text
    assert "| share of the matrix-product peak | 120 % of 100 GFLOP/s | 75 % of 400 GFLOP/s | |" in text
    assert "CTranslate2 fp32 and our program assign the same log-probability to each of 32 reference" in text
    assert "(to within 2e-05 nats)" in text
    assert "| target tokens/s, 1 thread | | 6,000 (6,000 to 6,000) | |" in text
    assert "| target tokens/s, beside a busy process | | 5,000 (5,000 to 5,000) | |" in text
    assert "The machine was busy" not in text
    other = mt_result() | {"load_before": 3.0}
    other["peers"]["ctranslate2"] |= {"largest_difference": 0.5, "same_model": False}
    text = MARKDOWN["mt"](other)
    assert "**CTranslate2 fp32 is not the same model: log-probabilities differ by up to 0.5 nats.**" in text
    assert "The machine was busy (load 3.0)" in text


def test_each_number_of_processes_has_a_row() -> None:
    lines = MARKDOWN["scale"](scale_result()).splitlines()
    assert lines[2] == "| 1 | 2 | 100 (90.0 to 110) | 100 % | 2,000 ms | | |"
    assert lines[3].startswith("| 2 | 1 | 80.0 (70.0 to 90.0) | 80 % | 2,500 ms | 20.0 % | 20.0 ms, 2.2 GB/s")
    assert "batch 200 over all processes, BatchNorm local" in lines[-1]


def test_a_gpu_has_more_rows_than_a_cpu() -> None:
    lines = MARKDOWN["gpu"](gpu_result("cuda")).splitlines()
    assert lines[0] == "| | ms per update | kernels per update | share of the matrix-product peak |"
    shares = [line.removesuffix(" % of 400,000 GFLOP/s |") for line in lines]
    assert "| ResNet-18, 32 px, batch 512, without CUDA graphs | 12.5 (6.25 to 25.0) | 1,234 | 31" in shares
    assert "| the Transformer, 2,560 target positions | 10.0 (5.00 to 20.0) | 1,234 | 192" in shares
    assert "| speed-up by CUDA graphs, ResNet-18 | 1.25 | | |" in lines
    assert "| speed-up by non-deterministic kernels, ResNet-18 | 1.20 | | |" in lines
    assert "| speed-up by non-deterministic kernels, the Transformer | 0.96 | | |" in lines
    assert "| ResNet-18, time to 94 % validation accuracy | 5.0 s | | |" in lines
    assert "Imagined H300" in lines[-1] and "3 repeats over 200 updates" in lines[-1]
    text = MARKDOWN["gpu"](gpu_result())
    assert "operators per update" in text and len(text.splitlines()) == 7
    assert "graph" not in text and "determinism" not in text and "94 %" not in text
