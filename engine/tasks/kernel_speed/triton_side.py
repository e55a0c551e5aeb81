"""Runs a Triton kernel on shared memory, on a GPU or in Triton's interpreter: beside a candidate or the seed."""

import os

import evolve_task
import numpy as np

ON_GPU = bool(os.environ.get("CUDA_VISIBLE_DEVICES"))
if not ON_GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is decorated

import program  # noqa: E402
import torch  # noqa: E402

DEVICE = torch.device("cuda" if ON_GPU else "cpu")
FLUSHED = 256 * 2**20
"""Bytes that are written to empty the GPU's cache."""
_tensors: list[torch.Tensor] = []


def view(place, shape):
    return np.frombuffer(evolve_task.memory(), np.float32, int(np.prod(shape)), place).reshape(shape)


def upload(places, shapes):
    """Copy arrays from the memory to the device, the last of them the marked output; empty the device's cache."""
    _tensors[:] = [torch.from_numpy(view(*each).copy()).to(DEVICE) for each in zip(places, shapes, strict=True)]
    if ON_GPU:
        torch.empty(FLUSHED, dtype=torch.int8, device=DEVICE).fill_(1)
        torch.cuda.synchronize()


def launch():
    """Run the kernel; return its milliseconds by the device's own events, 0 without a device."""
    if not ON_GPU:
        program.kernel(*_tensors)
        return 0.0
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begun.record()
    program.kernel(*_tensors)
    ended.record()
    torch.cuda.synchronize()
    return float(begun.elapsed_time(ended))


def download(place, shape):
    """Copy the output to the memory."""
    view(place, shape)[:] = _tensors[-1].cpu().numpy()


def clock():
    """Return the clock of the GPU's processors in MHz."""
    return float(torch.cuda.clock_rate()) if ON_GPU else 0.0
