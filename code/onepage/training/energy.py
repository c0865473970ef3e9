"""Energy of a training, where the machine tells it: the counters of RAPL (CPU) and of NVML (GPU), by difference.

RAPL: /sys/class/powercap/intel-rapl:N (AMD's processors are listed there too), the zones ``package-N`` and, beside
them, ``dram``; the zones core and uncore are part of a package, psys and intel-rapl-mmio count the same energy again.
NVML: nvmlDeviceGetTotalEnergyConsumption of the driver's own library, so that no package is needed. Both count all that
runs on that processor, not this process alone. Counters that are absent, or kept from this user (energy_uj is root's on
most systems), are left out: what is not told is not estimated.
"""

import contextlib
import ctypes
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
EVERY_SECONDS = 10.0  # a RAPL counter wraps after minutes at the least: it must be read more often than that


@dataclass(frozen=True)
class Counter:
    """A counter of energy; ``read`` gives microjoules, or raises OSError or ValueError where it cannot be read."""

    name: str
    read: Callable[[], int]
    wraps_at: int | None  # microjoules; None: it does not wrap


class EnergyMeter:
    """Adds up what the counters count from when this is made on; to be sampled every few seconds."""

    def __init__(self, counters: list[Counter]) -> None:
        self._counters = {counter.name: counter for counter in counters}
        self._last: dict[str, int] = {}
        self._total: dict[str, int] = {}
        for name, counter in list(self._counters.items()):
            with contextlib.suppress(OSError, ValueError):
                self._last[name] = counter.read()
                self._total[name] = 0
        self._sampled = time.monotonic()

    def sample(self, every: float = EVERY_SECONDS) -> None:
        """Read the counters, unless they were read less than ``every`` seconds ago."""
        if not self._total or time.monotonic() - self._sampled < every:
            return
        self._sampled = time.monotonic()
        for name in list(self._total):
            counter = self._counters[name]
            try:
                value = counter.read()
            except (OSError, ValueError):
                del self._total[name]  # a sum over part of the time would pass for one over all of it
                continue
            step = value - self._last[name]
            if step < 0:
                if counter.wraps_at is None:  # set back, by a driver that was loaded anew
                    del self._total[name]
                    continue
                step += counter.wraps_at
            self._total[name] += step
            self._last[name] = value

    def joules(self) -> dict[str, float]:
        """Joules since the start, by counter; {} where the machine tells none."""
        self.sample(every=0.0)
        return {name: total / 1e6 for name, total in sorted(self._total.items())}


def add(before: dict[str, float], now: dict[str, float], sessions_before: int) -> dict[str, float]:
    """The energy of all sessions of a run: only counters that told it in every one of them."""
    if not sessions_before:
        return dict(now)
    return {name: before[name] + joules for name, joules in now.items() if name in before}


def counters(gpu_uuid: str | None = None, powercap: Path = POWERCAP) -> list[Counter]:
    """The counters of this machine's processors and, for a GPU in use, of the one with this UUID."""
    return rapl(powercap) + (nvml(gpu_uuid) if gpu_uuid else [])


def rapl(powercap: Path = POWERCAP) -> list[Counter]:
    """Package and memory zones below ``powercap``."""
    found = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            wraps_at = int((zone / "max_energy_range_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        package = re.fullmatch(r"intel-rapl:(\d+)(:\d+)?", zone.name)
        if package and name.startswith("package") and not package[2]:
            found.append(Counter(f"RAPL {name}", _reader(zone / "energy_uj"), wraps_at))
        elif package and name == "dram" and package[2]:
            found.append(Counter(f"RAPL dram-{package[1]}", _reader(zone / "energy_uj"), wraps_at))
    return found


def _reader(path: Path) -> Callable[[], int]:
    return lambda: int(path.read_text(encoding="ascii"))


def nvml(uuid: str, library: Any = None) -> list[Counter]:
    """The energy counter of the GPU with this UUID (``GPU-...``); [] without NVIDIA's driver or the counter.

    ``library`` stands in for libnvidia-ml in tests.
    """
    try:
        library = library or ctypes.CDLL("libnvidia-ml.so.1")
        handle = ctypes.c_void_p()
        if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)):
            return []
    except (OSError, AttributeError):  # no driver, or one without these functions
        return []

    def read() -> int:
        millijoules = ctypes.c_ulonglong()
        status = library.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(millijoules))
        if status:
            raise OSError(f"NVML status {status}")
        return millijoules.value * 1000

    return [Counter("NVML", read, None)]
