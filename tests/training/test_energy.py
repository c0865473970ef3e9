"""Energy of a training: read from NVML's counter, summed over all sessions, and left out if unknown."""

import json
from pathlib import Path
from typing import Any

import pytest

import small_training
from onepage.training import energy
from onepage.training.session import Session


class FakeNvml:
    """Stands in for NVIDIA's library, with the three functions that are called."""

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


def meter(library: FakeNvml) -> energy.EnergyMeter:
    return energy.EnergyMeter(energy.nvml("GPU-abc", library))


def test_a_gpu_is_read_by_its_uuid() -> None:
    """The energy is the difference from the start, in joules. A counter that was reset yields no value."""
    library = FakeNvml()
    counted = meter(library)
    library.millijoules = 12_500
    assert counted.joules() == {"NVML": 7.5} and library.asked == b"GPU-abc"
    library.millijoules = 13_000
    assert counted.joules() == {"NVML": 8.0}
    library.millijoules = 0  # as after a reload of the driver
    assert counted.joules() == {}


def test_without_a_counter_nothing_is_told() -> None:
    """On a CPU, without a driver, without a counter, and with a counter that fails midway."""
    assert energy.meter("cpu").joules() == {}
    assert energy.nvml("GPU-0", library=object()) is None
    assert energy.EnergyMeter(None).joules() == {}
    assert meter(FakeNvml(supported=False)).joules() == {}
    library = FakeNvml()
    counted = meter(library)
    library.supported = False
    assert counted.joules() == {}


def test_sessions_add_up_where_all_told_it() -> None:
    assert energy.add({}, {"a": 1.0}, 0) == {"a": 1.0}
    assert energy.add({"a": 2.0, "b": 5.0}, {"a": 1.0, "c": 4.0}, 1) == {"a": 3.0}
    assert energy.add({}, {"a": 1.0}, 2) == {}


def test_a_run_records_energy_over_both_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, run = FakeNvml(), tmp_path / "run"
    monkeypatch.setattr(energy, "meter", lambda device: meter(library))

    def session() -> Session:
        return Session(run, small_training.CLS, {"task": "cls", "seed": 0, "device": "cpu"}, program="p" * 64)

    with session() as first:
        assert first.restore() is None
        library.millijoules += 200
        first.save(1, {"update": 1})
    library.millijoules += 500  # between the sessions, so not part of this run
    with session() as second:
        assert second.restore() == {"update": 1}
        library.millijoules += 100
        second.finish({})
    train = json.loads((run / "provenance.json").read_text())["train"]
    assert train["energy_joules"] == {"NVML": pytest.approx(0.3)}
    assert train["sessions"] == 2 and train["peak_memory_bytes"] > 2**20
    about = json.loads((run / "run.json").read_text())
    assert about["program"] == "p" * 64 and about["seed"] == 0 and "torch" in about["versions"]
