"""Compute the recurrences of `kernels.reference` on a GPU: the stages of `kernels.triton_kernels` as one function.

Forward: N for all chunks at once, the states chunk by chunk, the outputs for all chunks at once. Backward: the same
three in reverse. Kept between them: the inputs, w, N and the state before each chunk.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from torch.autograd.function import once_differentiable

from kernels import triton_kernels as kernels

__all__ = ["Launch", "choose_chunk", "choose_launch", "choose_precision", "interpreted", "triton_recurrence"]


class Launch(NamedTuple):
    """Launch parameters of a stage."""

    block_v: int
    """Columns of V per program."""
    warps: int
    stages: int
    """Depth of the software pipeline for loads."""


def interpreted() -> bool:
    """Tell whether the kernels run in Triton's interpreter, on CPU tensors: TRITON_INTERPRET was set at import."""
    return not isinstance(kernels.state_kernel, triton.JITFunction)


def choose_chunk(width: int, single: bool) -> int:
    """Return tokens per chunk for a head of `width` (the larger of K and V): the most with gradients in registers."""
    if single:
        return 16
    return 64 if width <= 64 else 32


def choose_launch(stage: str, single: bool) -> Launch:
    """Return the launch of a stage, named as its kernel; `single`: q is float32. None of them spills on sm_90."""
    return Launch(32, 8, 1) if single or stage == "gradient_kernel" else Launch(32, 4, 2)


def choose_precision(single: bool, amd: bool) -> str:
    """Return Triton's input precision for products of float32 tiles.

    AMD's matrix cores take float32. NVIDIA's do not: if the inputs are `single`, three products of tf32 give float32's
    accuracy; if they are half, tf32 is more accurate than they are.
    """
    if amd:
        return "ieee"
    return "tf32x3" if single else "tf32"


def triton_recurrence(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    scale: float,
    initial_state: Tensor,
    chunk: int | None,
) -> tuple[Tensor, Tensor]:
    """Run one of the four recurrences; arguments and results are those of `kernels.chunk.chunk_recurrence`.

    q, k and v are float32, float16 or bfloat16; the initial state is float32. If chunk is None, `choose_chunk` decides.

    Raises:
        ValueError: the tensors are on a device where the kernels do not run, or of a type that they do not take.
    """
    if interpreted():
        if q.dtype == torch.bfloat16:
            raise ValueError("Triton's interpreter computes bfloat16 wrongly: use float32 or float16 there")
        if q.device.type != "cpu":
            raise ValueError("TRITON_INTERPRET is set, so the kernels run on CPU tensors; unset it to use the GPU")
    elif not q.is_cuda:
        raise ValueError(
            f"Triton needs a GPU and the tensors are on {q.device}: leave the implementation to 'auto', or set "
            "TRITON_INTERPRET=1 before Python starts"
        )
    if q.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise ValueError(f"the Triton kernels take float32, float16 and bfloat16, not {q.dtype}: use 'chunk'")
    size = chunk or choose_chunk(max(q.shape[-1], v.shape[-1]), q.dtype == torch.float32)
    steps, decays = (None if x is None else x.float().contiguous() for x in (beta, g))
    out, state = _Triton.apply(  # type: ignore[no-untyped-call]
        q.contiguous(), k.contiguous(), v.contiguous(), steps, decays, initial_state.contiguous(), scale, size
    )
    return out, state


class _Stages:
    """Launch the kernels for one set of shapes."""

    def __init__(self, q: Tensor, v: Tensor, chunk: int, delta: bool, gated: bool) -> None:
        self.batch, self.length, self.heads, self.k_width = q.shape
        self.v_width = v.shape[-1]
        self.chunk, self.delta, self.gated = chunk, delta, gated
        self.chunks = triton.cdiv(self.length, chunk)
        self.device = q.device
        self.single = q.dtype == torch.float32
        self.precision = choose_precision(self.single, torch.version.hip is not None)

    def run(self, kernel: Any, *tensors: Any, chunks: bool, blocks: bool) -> None:
        """Launch a kernel over heads, and over chunks and blocks of V if it does not loop over them itself."""
        launch = choose_launch(kernel.__name__, self.single)
        block_v = min(launch.block_v, max(16, triton.next_power_of_2(self.v_width)))
        grid = [triton.cdiv(self.v_width, block_v)] * blocks + [self.chunks] * chunks + [self.batch * self.heads]
        values = {
            "CHUNKS": self.chunks,
            "K": self.k_width,
            "V": self.v_width,
            "C": self.chunk,
            "BLOCK_K": max(16, triton.next_power_of_2(self.k_width)),
            "BLOCK_V": block_v,
            "DELTA": self.delta,
            "GATED": self.gated,
            "LEVELS": self.chunk.bit_length() - 1,
            "PRECISION": self.precision,
        }
        named = {name: value for name, value in values.items() if name in kernel.arg_names}
        options = {} if interpreted() else {"num_warps": launch.warps, "num_stages": launch.stages}
        # Triton launches on the current device, which may not be the tensors' device.
        with nullcontext() if interpreted() else torch.cuda.device(self.device):
            kernel[tuple(grid)](*tensors, T=self.length, H=self.heads, **named, **options)


class _Triton(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        beta: Tensor | None,
        g: Tensor | None,
        initial: Tensor,
        scale: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        run = _Stages(q, v, chunk, beta is not None, g is not None)
        states = q.new_empty(run.batch, run.chunks, run.heads, run.k_width, run.v_width)
        final, out = torch.empty_like(initial), torch.empty_like(v)
        mixing, update = None, v
        if beta is not None:
            mixing, update = q.new_empty(*q.shape[:3], chunk), torch.empty_like(v)
            run.run(kernels.mixing_kernel, k, beta, g, mixing, chunks=True, blocks=False)
        run.run(kernels.state_kernel, k, v, beta, g, mixing, initial, update, states, final, chunks=False, blocks=True)
        run.run(kernels.output_kernel, q, k, update, beta, g, states, out, scale, chunks=True, blocks=True)
        ctx.save_for_backward(q, k, v, beta, g, mixing, update, states)
        ctx.scale, ctx.chunk = scale, chunk
        return out, final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_final: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, beta, g, mixing, update, states = ctx.saved_tensors
        run = _Stages(q, v, ctx.chunk, beta is not None, g is not None)
        d_out, d_final = d_out.contiguous(), d_final.contiguous()
        dq, dk, dv, d_beta, dg = (None if x is None else torch.empty_like(x) for x in (q, k, v, beta, g))
        d_update = dv if beta is None else torch.empty_like(v)
        d_states, d_initial = torch.empty_like(states), torch.empty_like(d_final)
        run.run(kernels.local_gradient_kernel, q, k, g, d_out, d_update, ctx.scale, chunks=True, blocks=True)
        run.run(
            kernels.state_gradient_kernel,
            *(q, k, beta, g, mixing, d_out, d_final, d_update, d_states, d_initial, ctx.scale),
            chunks=False,
            blocks=True,
        )
        run.run(
            kernels.gradient_kernel,
            *(q, k, update, beta, g, states, d_out, d_update, d_states, dq, dk, dv, d_beta, dg, ctx.scale),
            chunks=True,
            blocks=False,
        )
        return dq, dk, dv, d_beta, dg, d_initial, None, None
