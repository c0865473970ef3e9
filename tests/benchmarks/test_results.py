"""From repeats to a table: medians, shares, ratios, words, and the README's section held to the files."""

from pathlib import Path

import pytest

from bench_cases import cls_result, curve
from onepage.benchmarks import cls, cls_table, results
from onepage.benchmarks.projection import time_to
from onepage.errors import UserError
from onepage.files import read_json

ROOT = Path(__file__).resolve().parents[2]


def test_readme_says_what_the_kept_results_say() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    kept = results.read_all(ROOT, "cls")
    assert results.section_of(text, "cls") == results.section(kept, cls_table.markdown, "cls")
    assert all(not result["data"]["generated"] for result in kept)


def test_medians_shares_and_ratios() -> None:
    found = cls.summarise(cls_result())
    assert found["peaks"] == {"fp32": 2e11, "bf16": 4e11}
    plain, ours = found["contenders"]["plain"], found["contenders"]["ours-32"]
    assert plain["training_share"] == pytest.approx(50 * 1e9 * 3 / 2e11)
    assert ours["training_share"] == pytest.approx(200 * 1e9 * 3 / 4e11)
    assert ours["forward_share"] == pytest.approx(400 * 1e9 / 4e11)
    assert found["contenders"]["ours-16"]["training_share"] == pytest.approx(800 * 25e7 * 3 / 4e11)
    assert (plain["memory"], ours["memory"]) == (10**9, 2 * 10**9)
    assert found["ratios"]["training"] == 4.0 and found["ratios"]["forward"] == 4.0
    arrival = 1000 * 4 ** (1 / 0.3) / 50
    assert found["ratios"]["time_to"] == pytest.approx(arrival / 300)
    assert found["ratios"]["time_to_at_least"] == found["time_to"]["plain"]["low"] / 300


def test_the_ratio_of_times_sets_the_last_reading_before_against_the_first_there() -> None:
    result = cls_result()
    result["curves"]["plain"]["rows"] = curve([100_000, 200_000], [0.4, 0.1], 50.0)
    ratios = cls.summarise(result)["ratios"]
    assert (ratios["time_to"], ratios["time_to_at_least"]) == (4000 / 300, 2000 / 300)


def test_a_recipe_that_does_not_get_there_has_no_ratio() -> None:
    result = cls_result()
    result["curves"]["ours"]["rows"] = curve([1000], [0.5], 100.0)
    assert set(cls.summarise(result)["ratios"]) == {"forward", "training"}
    assert cls_table.rows(result)[-1] == (
        "time to 80 % of the validation images",
        cls_table.rows(cls_result())[-1][1],
        "not reached in 10 s",
        "",
    )


def test_the_table_names_what_was_projected() -> None:
    result = cls_result()
    text = cls_table.markdown(result)
    projected = time_to(result["curves"]["plain"]["rows"], 0.8)
    assert "| training, whole updates, 32 px, images/s | 50.0 (40.0 to 60.0) | 200 (190 to 210) | 4.0 |" in text
    assert f"projected {results.duration(projected['seconds'])}" in text and "| 5 min |" in text
    assert "2 cores of Imagined(R) CPU, 8 GiB" in text and "2026-01-02, commit 0123456." in text
    assert "a power law" in text and "busy" not in text
    result["curves"]["plain"]["rows"] = curve([100_000, 200_000], [0.4, 0.1], 50.0)
    result["load_before"] = 3.0
    few = cls_result()
    few["curves"]["plain"]["rows"] = curve([1000, 2000], [0.8, 0.7], 50.0)
    assert "not reached in 40 s" in cls_table.markdown(few) and "too few" in cls_table.notes(few)
    text = cls_table.markdown(result)
    assert "projected" not in text and "The machine was busy (load 3.0)" in text


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


def test_a_section_is_replaced_between_its_marks(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# a\n<!-- bench-cls:begin -->\nold\n<!-- bench-cls:end -->\nz\n", encoding="utf-8")
    result = cls_result()
    path = results.write(tmp_path, results.name_of("cls", result), result)
    assert path == tmp_path / "report/bench/cls-2-cores-imagined-cpu.json" and read_json(path) == result
    kept = results.read_all(tmp_path, "cls")
    results.put_section(readme, "cls", results.section(kept, cls_table.markdown, "cls"))
    text = readme.read_text(encoding="utf-8")
    assert text.startswith("# a\n<!-- bench-cls:begin -->\n|") and text.endswith(".\n<!-- bench-cls:end -->\nz\n")
    assert results.section_of(text, "cls") == cls_table.markdown(result) + "\n"


@pytest.mark.fault(
    "a README without the lines that the benchmark's table stands between", "`the README has no place ...`"
)
def test_a_readme_without_marks_gets_one_line(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# a\n<!-- bench-cls:end -->\n<!-- bench-cls:begin -->\n", encoding="utf-8")
    with pytest.raises(UserError, match="put back the lines"):
        results.put_section(readme, "cls", "x")
    assert readme.read_text(encoding="utf-8").startswith("# a")


def test_results_of_generated_data_are_kept_apart(tmp_path: Path) -> None:
    result = cls_result()
    result["data"]["generated"] = True
    results.write(tmp_path, results.name_of("cls", result), result)
    assert results.read_all(tmp_path, "cls") == []
    assert results.section([], cls_table.markdown, "cls").startswith("Not measured yet")


def test_a_result_of_another_version_is_refused(tmp_path: Path) -> None:
    results.write(tmp_path, "cls-x", cls_result() | {"form": 0})
    with pytest.raises(UserError, match="make bench-cls"):
        results.read_all(tmp_path, "cls")
