"""List GPUs and lease one for the duration of an evaluation.

All runs of a user share the GPUs by leases, without knowing of each other.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine.errors import EvolveError
from engine.evaluation.leases import hold

__all__ = ["Gpu", "Gpus", "list_gpus"]

_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Gpu:
    """One GPU of this machine."""

    index: int
    uuid: str
    """Its UUID in the format of CUDA_VISIBLE_DEVICES."""
    name: str
    memory_mb: int
    busy: bool
    """Whether a run of this user holds a lease on it."""


def list_gpus() -> list[Gpu]:
    """List the GPUs that NVML reports; none if there is no NVIDIA driver.

    Raises:
        EvolveError: the driver is installed but does not answer.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        return []
    except pynvml.NVMLError as exc:
        raise EvolveError(f"the NVIDIA driver does not answer: {exc}", "'nvidia-smi' tells more") from None
    try:
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
            memory = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total) >> 20
            found.append(Gpu(index, uuid, _text(pynvml.nvmlDeviceGetName(handle)), memory, _is_held(uuid)))
        return found
    except pynvml.NVMLError as exc:
        raise EvolveError(f"the NVIDIA driver does not answer: {exc}", "'nvidia-smi' tells more") from None
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    """Decode bytes, which older releases of the library return."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class Gpus:
    """The GPUs that a run may use.

    Args:
        devices: indices of the allowed GPUs; None allows all.

    Raises:
        EvolveError: there is no GPU, or a given index does not exist.
    """

    def __init__(self, devices: list[int] | None) -> None:
        there = {gpu.index: gpu.uuid for gpu in list_gpus() if _is_allotted(gpu)}
        if not there:
            raise EvolveError("the task needs a GPU, and none is found", "'evolve doctor' says what it looked at")
        missing = sorted(set(devices or []) - set(there))
        if missing:
            raise EvolveError(f"devices: there is no GPU {missing[0]}; there are {', '.join(map(str, there))}")
        self._uuids = [there[index] for index in (devices or there)]

    def __len__(self) -> int:
        return len(self._uuids)

    @asynccontextmanager
    async def lease(self, wanted: Callable[[], bool]) -> AsyncIterator[str | None]:
        """Wait for a free GPU and hold a lease on it; yield its UUID.

        Args:
            wanted: called while waiting; if it returns False, yield None instead of a GPU.
        """
        while wanted():
            for uuid in self._uuids:
                descriptor = _hold(uuid)
                if descriptor is not None:
                    try:
                        yield uuid
                    finally:
                        os.close(descriptor)
                    return
            await asyncio.sleep(_POLL_SECONDS)
        yield None


def _is_allotted(gpu: Gpu) -> bool:
    """Tell whether this process's CUDA_VISIBLE_DEVICES, as set by a scheduler, allows the GPU."""
    allotted = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (
        allotted is None
        or {str(gpu.index), gpu.uuid}.intersection(part.strip() for part in allotted.split(",")) != set()
    )


def _hold(uuid: str) -> int | None:
    return hold("evolve-gpus", uuid)


def _is_held(uuid: str) -> bool:
    descriptor = _hold(uuid)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None
