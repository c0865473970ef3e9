"""Energy of a training run on a GPU: the difference of two readings of NVML's counter.

The counter is nvmlDeviceGetTotalEnergyConsumption of the driver's own library; no package is needed. It counts
everything that runs on the GPU, not only this process. If it cannot be read, nothing is recorded or estimated.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from onepage.runs import provenance

NAME = "NVML"  # name of the counter in provenance.json


class EnergyMeter:
    """Energy since construction; ``read`` returns millijoules or raises OSError; None: there is no counter."""

    def __init__(self, read: Callable[[], int] | None) -> None:
        self._read = read
        self._start = self._now()

    def _now(self) -> int | None:
        try:
            return None if self._read is None else self._read()
        except OSError:
            return None

    def joules(self) -> dict[str, float]:
        """Joules since the start, by counter; {} if there is no counter."""
        now = self._now()
        # a counter below its start was reset when the driver was reloaded
        if now is None or self._start is None or now < self._start:
            return {}
        return {NAME: (now - self._start) / 1000}


def meter(device: str) -> EnergyMeter:
    """A started meter of the GPU in use; for ``device`` "cpu", a meter without a counter."""
    uuid = provenance.gpu_uuid() if device == "cuda" else None
    return EnergyMeter(nvml(uuid) if uuid else None)


def add(before: dict[str, float], now: dict[str, float], sessions_before: int) -> dict[str, float]:
    """The energy of all sessions of a run, for counters that were read in every session."""
    if not sessions_before:
        return dict(now)
    return {name: before[name] + joules for name, joules in now.items() if name in before}


def nvml(uuid: str, library: Any = None) -> Callable[[], int] | None:
    """A function that reads the counter, in millijoules, of the GPU with this UUID; None without NVIDIA's driver.

    ``library`` stands in for libnvidia-ml in tests.
    """
    try:
        library = library or ctypes.CDLL("libnvidia-ml.so.1")
        handle = ctypes.c_void_p()
        if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)):
            return None
    except (OSError, AttributeError):  # no driver, or one without these functions
        return None

    def read() -> int:
        millijoules = ctypes.c_ulonglong()
        status = library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
        if status:
            raise OSError(f"NVML status {status}")
        return millijoules.value

    return read
