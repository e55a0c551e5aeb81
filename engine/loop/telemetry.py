"""Machine telemetry (processors, memory, GPUs): recorded for display, never used by the search."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from engine.journal.events import Telemetry
from engine.journal.live import LIVE_TELEMETRY
from engine.loop.session import RunSession

__all__ = ["Machine", "watch_machine"]

_LOOK_SECONDS = 1.0
_FIRST_SECONDS = 5.0
_EVENT_SECONDS = 30.0

_CORES_PER_SM = {7: 64, 8: 128, 9: 128, 10: 128, 12: 128}
_FLOP_PER_SM = {(7, 0): 1024, (7, 5): 1024, (8, 0): 2048, (8, 6): 1024, (8, 9): 1024, (9, 0): 4096, (10, 0): 8192}
"""Dense 16-bit operations of a multiprocessor's tensor cores in a clock, by compute capability (NVIDIA's papers on the
architectures; consumer cards that add up in 32 bits reach half)."""


class Machine:
    """Read figures of this machine, each look since the one before. Use it in one thread at a time.

    Values of a look: `cpu` (share of all cores, 0 to 1), `cores`, `load` (one minute), `mem_mb`, `mem_used_mb`; for
    each GPU n `gpun.util` (0 to 1), `gpun.mem_mb`, `gpun.mem_used_mb`, `gpun.power_w`, `gpun.power_limit_w`,
    `gpun.celsius`, and its peaks at the highest clocks: `gpun.peak_tflops` (16-bit, dense), `gpun.peak_gbs` (memory).
    Figures that this machine does not give are left out.
    """

    def __init__(self) -> None:
        self.devices: list[str] = []
        """Names of the GPUs."""
        self._busy = self._whole = 0
        self._nvml: Any = None
        self._handles: list[Any] = []
        self._peaks: dict[str, float] = {}
        self._open_nvml()
        self._cpu_share()

    def look(self) -> dict[str, float]:
        """Return the figures of now; the processors' are means since the last look."""
        values = {"cores": float(len(os.sched_getaffinity(0))), "load": os.getloadavg()[0]}
        share = self._cpu_share()
        if share is not None:
            values["cpu"] = share
        values |= _memory() | self._peaks
        for index, handle in enumerate(self._handles):
            values |= self._look_at_gpu(f"gpu{index}", handle)
        return values

    def close(self) -> None:
        """Close the driver's library."""
        if self._nvml is not None:
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()
            self._nvml, self._handles = None, []

    def _cpu_share(self) -> float | None:
        try:
            with open("/proc/stat", encoding="ascii") as file:
                fields = [int(field) for field in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return None
        # Idle, and waiting for a disk.
        whole, busy = sum(fields), sum(fields) - fields[3] - fields[4]
        share = (busy - self._busy) / (whole - self._whole) if whole > self._whole else None
        self._busy, self._whole = busy, whole
        return share if share is None else max(0.0, min(1.0, share))

    def _open_nvml(self) -> None:
        import pynvml

        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError:
            return
        self._nvml = pynvml
        for index in range(int(self._ask(pynvml.nvmlDeviceGetCount) or 0)):
            handle = self._ask(pynvml.nvmlDeviceGetHandleByIndex, index)
            if handle is None:
                continue
            name = self._ask(pynvml.nvmlDeviceGetName, handle) or "GPU"
            self._peaks |= self._peaks_of(f"gpu{len(self._handles)}", handle)
            self._handles.append(handle)
            self.devices.append(name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name))

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return an answer of the driver, or None if this card or this driver has none."""
        try:
            return function(*arguments)
        except self._nvml.NVMLError:
            return None

    def _peaks_of(self, key: str, handle: Any) -> dict[str, float]:
        nvml = self._nvml
        peaks: dict[str, float] = {}
        clock = self._ask(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM)
        cores = self._ask(nvml.nvmlDeviceGetNumGpuCores, handle)
        capability = self._ask(nvml.nvmlDeviceGetCudaComputeCapability, handle)
        if clock and cores and capability and tuple(capability) in _FLOP_PER_SM:
            per_sm = 64 if tuple(capability) == (8, 0) else _CORES_PER_SM[capability[0]]
            peaks[f"{key}.peak_tflops"] = cores / per_sm * _FLOP_PER_SM[tuple(capability)] * clock / 1e6
        memory_clock = self._ask(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_MEM)
        width = self._ask(nvml.nvmlDeviceGetMemoryBusWidth, handle)
        if memory_clock and width:
            # Two transfers a clock, eight bits a byte.
            peaks[f"{key}.peak_gbs"] = memory_clock * 2 * width / 8 / 1000
        return peaks

    def _look_at_gpu(self, key: str, handle: Any) -> dict[str, float]:
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        utilization = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        power = self._ask(nvml.nvmlDeviceGetPowerUsage, handle)
        limit = self._ask(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
        celsius = self._ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        found = {
            "util": None if utilization is None else utilization.gpu / 100,
            "mem_mb": None if memory is None else memory.total / (1 << 20),
            "mem_used_mb": None if memory is None else memory.used / (1 << 20),
            "power_w": None if power is None else power / 1000,
            "power_limit_w": None if limit is None else limit / 1000,
            "celsius": celsius,
        }
        return {f"{key}.{name}": float(value) for name, value in found.items() if value is not None}


def _memory() -> dict[str, float]:
    """Return the machine's memory in MB; memory that the kernel would give back counts as free."""
    found: dict[str, int] = {}
    with suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                found[name] = int(rest.split()[0])
    if len(found) < 2:
        return {}
    whole, free = found["MemTotal"] / 1024, found["MemAvailable"] / 1024
    return {"mem_mb": whole, "mem_used_mb": whole - free}


async def watch_machine(session: RunSession) -> None:
    """Look once a second until cancelled: write a live row each time, and an event with the means every 30 seconds."""
    # Not at once: a start has better things to do than to load the driver's library.
    await asyncio.sleep(_LOOK_SECONDS)
    machine = await asyncio.to_thread(Machine)
    due = time.monotonic() + _FIRST_SECONDS
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        values = await asyncio.to_thread(machine.look)
        shown = {name: round(value, 3) for name, value in values.items()}
        session.live(LIVE_TELEMETRY, None, msgspec.json.encode(Telemetry(shown, machine.devices)))
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
            counts[name] = counts.get(name, 0) + 1
        if time.monotonic() >= due:
            due = time.monotonic() + _EVENT_SECONDS
            means = {name: round(total / counts[name], 3) for name, total in sums.items()}
            session.emit(Telemetry(means, machine.devices))
            sums, counts = {}, {}
