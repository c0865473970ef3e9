"""What a run records of where it comes from: energy by the machine's counters, command, host, program."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from onepage.runs import provenance
from onepage.training import energy
from onepage.training.session import Session


def zone(powercap: Path, folder: str, name: str, microjoules: int, wraps_at: int = 1_000_000) -> Path:
    """A zone of RAPL as the kernel shows it."""
    path = powercap / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "energy_uj").write_text(f"{microjoules}\n")
    (path / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return path / "energy_uj"


def test_packages_and_memory_are_counted_once_each(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 1)
    zone(tmp_path, "intel-rapl:0:0", "core", 2)
    zone(tmp_path, "intel-rapl:0:1", "dram", 3)
    zone(tmp_path, "intel-rapl:1", "package-1", 4)
    zone(tmp_path, "intel-rapl:2", "psys", 5)
    zone(tmp_path, "intel-rapl-mmio:0", "package-0", 6)
    (tmp_path / "intel-rapl").mkdir()
    found = {counter.name: counter.read() for counter in energy.rapl(tmp_path)}
    assert found == {"RAPL package-0": 1, "RAPL dram-0": 3, "RAPL package-1": 4}


def test_energy_is_the_difference_and_a_wrap_is_no_loss(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 900_000)
    meter = energy.EnergyMeter(energy.counters(powercap=tmp_path))
    counter.write_text("950000\n")
    meter.sample(every=0.0)
    counter.write_text("100000\n")  # wrapped at 1,000,000
    assert meter.joules() == {"RAPL package-0": pytest.approx(0.2)}
    counter.write_text("400000\n")
    assert meter.joules() == {"RAPL package-0": pytest.approx(0.5)}


def test_a_sample_soon_after_another_reads_nothing(tmp_path: Path) -> None:
    counter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = energy.EnergyMeter(energy.counters(powercap=tmp_path))
    counter.unlink()
    meter.sample()
    assert list(meter._total) == ["RAPL package-0"]


def test_counters_kept_from_the_user_or_gone_midway_are_left_out(tmp_path: Path) -> None:
    gone = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    stays = zone(tmp_path, "intel-rapl:1", "package-1", 0)
    zone(tmp_path, "intel-rapl:2", "package-2", 0).unlink()
    (tmp_path / "intel-rapl:2" / "energy_uj").mkdir()  # reading it raises OSError, as for a file of root's
    meter = energy.EnergyMeter(energy.counters(powercap=tmp_path))
    gone.write_text("not a number")
    stays.write_text("500000")
    assert meter.joules() == {"RAPL package-1": pytest.approx(0.5)}


def test_a_machine_without_counters_tells_nothing(tmp_path: Path) -> None:
    assert energy.EnergyMeter(energy.counters(powercap=tmp_path / "none")).joules() == {}
    assert energy.nvml("GPU-0", library=object()) == []


class FakeNvml:
    """The three functions of NVIDIA's library that are called."""

    def __init__(self, supported: bool = True) -> None:
        self.millijoules, self.supported, self.asked = 5_000, supported, b""

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        self.asked = uuid
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, energy: Any) -> int:
        energy._obj.value = self.millijoules
        return 0 if self.supported else 3


def test_a_gpu_is_read_by_its_uuid_in_millijoules() -> None:
    library = FakeNvml()
    meter = energy.EnergyMeter(energy.nvml("GPU-abc", library))
    library.millijoules = 12_500
    assert meter.joules() == {"NVML": 7.5} and library.asked == b"GPU-abc"
    library.millijoules = 0  # the driver was loaded anew
    assert meter.joules() == {}


def test_a_gpu_without_the_counter_tells_nothing() -> None:
    assert energy.EnergyMeter(energy.nvml("GPU-abc", FakeNvml(supported=False))).joules() == {}


def test_energy_of_several_sessions_adds_up_only_where_all_told_it() -> None:
    assert energy.add({}, {"a": 1.0}, 0) == {"a": 1.0}
    assert energy.add({"a": 2.0, "b": 5.0}, {"a": 1.0, "c": 4.0}, 1) == {"a": 3.0}
    assert energy.add({}, {"a": 1.0}, 2) == {}


class Recipe:
    """Stands in for a task's recipe."""


def session(run: Path, monkeypatch: pytest.MonkeyPatch, powercap: Path) -> Session:
    monkeypatch.setattr("onepage.training.session.as_dict", lambda recipe: {"epochs": 1})
    monkeypatch.setattr("onepage.training.session.recipe_hash", lambda recipe, **context: "h" * 64)
    meter = energy.EnergyMeter(energy.counters(powercap=powercap))
    monkeypatch.setattr(provenance, "energy_meter", lambda device: meter)
    return Session(run, Recipe(), {"task": "cls", "seed": 0, "device": "cpu"}, program="p" * 64)


def test_a_run_records_energy_over_both_of_its_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter, run = zone(tmp_path / "powercap", "intel-rapl:0", "package-0", 0), tmp_path / "run"
    with session(run, monkeypatch, tmp_path / "powercap") as first:
        assert first.restore(print) is None
        counter.write_text("200000")
        first.save(1, {"update": 1})
    counter.write_text("700000")  # between the sessions: not this run's
    with session(run, monkeypatch, tmp_path / "powercap") as second:
        assert second.restore(print) == {"update": 1}
        counter.write_text("800000")
        second.finish({})
    train = json.loads((run / "provenance.json").read_text())["train"]
    assert train["energy_joules"] == {"RAPL package-0": pytest.approx(0.3)}
    assert train["sessions"] == 2 and train["peak_memory_bytes"] > 2**20
    about = json.loads((run / "run.json").read_text())
    assert about["program"] == "p" * 64 and about["seed"] == 0 and "torch" in about["versions"]


def test_provenance_holds_what_the_issue_of_a_result_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.json").write_text('{"task": "cls"}')
    provenance.record(tmp_path, "train", {"seconds": 1.0})
    provenance.Stopwatch().record(tmp_path, "evaluate")
    found = json.loads((tmp_path / "provenance.json").read_text())
    assert set(found) == {"host", "train", "evaluate"}
    assert {"cpu", "cpu_id", "cores", "memory_bytes", "gpu", "system"} <= found["host"].keys()
    wanted = {"started", "finished", "seconds", "peak_memory_bytes", "peak_gpu_memory_bytes", "command", "program"}
    assert found["evaluate"].keys() == wanted  # no host of its own: the machine that trained
    assert len(found["evaluate"]["program"]) == 64


def test_a_run_evaluated_on_another_machine_keeps_the_one_that_trained_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.json").write_text('{"task": "mt"}')
    provenance.record(tmp_path, "train", {})
    trained = json.loads((tmp_path / "provenance.json").read_text())["host"]
    monkeypatch.setattr(provenance, "cpu_model", lambda: "Another CPU")
    provenance.Stopwatch().record(tmp_path, "evaluate")
    found = json.loads((tmp_path / "provenance.json").read_text())
    assert found["host"] == trained and found["evaluate"]["host"]["cpu"] == "Another CPU"


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *settings, *arguments], check=True, capture_output=True, timeout=60)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git here")
def test_the_commit_is_that_of_the_repository_and_says_whether_files_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    repository = tmp_path / "un dépôt à part"
    (repository / "inner").mkdir(parents=True)
    nothing = {"commit": None, "commit_time": None, "dirty": None}
    monkeypatch.setattr(provenance, "repository", lambda: repository)
    assert provenance.commit() == nothing
    git(repository, "init", "-q")
    assert provenance.commit() == nothing  # without a commit
    (repository / "file").write_text("1")
    git(repository, "add", "file")
    git(repository, "commit", "-q", "-m", "first")
    found = provenance.commit()
    assert re.fullmatch("[0-9a-f]{40}", found["commit"]) and found["commit_time"] == 1_767_323_045
    assert found["dirty"] is False
    (repository / "untracked").write_text("runs and pictures are not the program")
    assert provenance.commit() == found
    (repository / "file").write_text("2")
    assert provenance.commit() == found | {"dirty": True}
    monkeypatch.setattr(provenance, "repository", lambda: repository / "inner")
    assert provenance.commit() == nothing  # a copy inside somebody else's repository
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() == nothing  # no git


def test_the_command_is_recorded_without_anyones_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = str(provenance.repository() / "runs" / "cls")
    arguments = ["/opt/venv/onepage/__main__.py", "train", "cls", "--run", inside, "--data-dir", "/home/ann/my data"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert provenance.command() == "python -m onepage train cls --run runs/cls --data-dir '.../my data'"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/onepage", "evaluate", "mt"])
    assert provenance.command() == "onepage evaluate mt"


def test_the_processor_is_told_from_others_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"vendor_id": "V", "cpu family": "25", "model": "17", "stepping": "1", "flags": "fpu avx2 avx512_bf16"}
    monkeypatch.setattr(provenance, "cpu_fields", lambda: fields)
    assert provenance.cpu_id() == "vendor_id V, cpu family 25, model 17, stepping 1, avx2, avx512_bf16"
    monkeypatch.setattr(provenance, "cpu_fields", dict)
    assert provenance.cpu_id() is None
