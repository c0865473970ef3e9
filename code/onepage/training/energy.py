"""Energy of a training on a GPU, where NVML tells it: its counter by difference.

nvmlDeviceGetTotalEnergyConsumption of the driver's own library, so that no package is needed. It counts all that runs
on that GPU, not this process alone. Where it cannot be read, nothing is recorded: what is not told is not estimated.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from onepage.runs import provenance

NAME = "NVML"  # of the counter, in provenance.json


class EnergyMeter:
    """Energy since this was made; ``read`` gives millijoules, or raises OSError; None: there is no counter."""

    def __init__(self, read: Callable[[], int] | None) -> None:
        self._read = read
        self._start = self._now()

    def _now(self) -> int | None:
        try:
            return None if self._read is None else self._read()
        except OSError:
            return None

    def joules(self) -> dict[str, float]:
        """Joules since the start, by counter; {} where the machine tells none."""
        now = self._now()
        # a counter below its start was set back, by a driver that was loaded again
        if now is None or self._start is None or now < self._start:
            return {}
        return {NAME: (now - self._start) / 1000}


def meter(device: str) -> EnergyMeter:
    """A meter, started, of the GPU in use where ``device`` is "cuda"; one that tells nothing for "cpu"."""
    uuid = provenance.gpu_uuid() if device == "cuda" else None
    return EnergyMeter(nvml(uuid) if uuid else None)


def add(before: dict[str, float], now: dict[str, float], sessions_before: int) -> dict[str, float]:
    """The energy of all sessions of a run: only counters that told it in every one of them."""
    if not sessions_before:
        return dict(now)
    return {name: before[name] + joules for name, joules in now.items() if name in before}


def nvml(uuid: str, library: Any = None) -> Callable[[], int] | None:
    """What reads the counter, in millijoules, of the GPU with this UUID; None without NVIDIA's driver.

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
