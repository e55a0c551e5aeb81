"""The four operators: linear attention, scalar decay (Mamba-2's SSD), the delta rule and the gated delta rule.

All have one interface. `q` and `k` are [B, T, H, K], `v` is [B, T, H, V], `beta` and `g` are [B, T, H]; any T ≥ 1.
Every operator returns the outputs, [B, T, H, V] in v's type, and the final state, [B, H, K, V] in float32 (float64 if v
is float64); pass it as `initial_state` to continue with the next tokens. Gradients reach every tensor argument, also
through the final state; only `implementation="reference"` has second derivatives.

Shared arguments:
    scale: factor on q; 1/√K by default.
    initial_state: [B, H, K, V]; zeros by default.
    chunk: tokens processed at once, a power of two from 16 to 128; changes the speed, not the result. By default 32 in
        PyTorch, the fastest there, and in Triton the largest that fits the registers.
    implementation: "reference" is the definition in float64, token by token; "chunk" is PyTorch; "triton" runs the GPU
        kernels (for CPU tensors in Triton's interpreter); "auto" takes "triton" on a GPU if Triton is installed, and
        "chunk" otherwise.

All raise ValueError, naming the argument, if a shape, a type or a setting does not fit.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor

from kernels.chunk import chunk_recurrence
from kernels.reference import reference_recurrence

__all__ = ["Implementation", "delta_rule", "gated_delta_rule", "linear_attention", "ssd"]

Implementation = Literal["auto", "reference", "chunk", "triton"]


def linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    chunk: int | None = None,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """Causal linear attention without normaliser: S ← S + k vᵀ, output scale · Sᵀq.

    Apply feature maps to q and k before the call. Katharopoulos et al., "Transformers are RNNs", 2020.
    """
    return _run(q, k, v, None, None, scale, initial_state, chunk, implementation)


def ssd(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    *,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    chunk: int | None = None,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """Linear attention with a decay per head and token, whose log is g ≤ 0: S ← exp(g)·S + k vᵀ.

    In Mamba-2's notation q is C, k is B, v is Δ·x and g is Δ·A. Dao and Gu, "Transformers are SSMs", 2024.
    """
    return _run(q, k, v, None, g, scale, initial_state, chunk, implementation)


def delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    *,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    chunk: int | None = None,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """The delta rule, S ← S + β k (v − Sᵀk)ᵀ: move the value stored under k towards v.

    Stable for 0 ≤ β‖k‖² ≤ 2; k is usually of unit length and β a sigmoid. Schlag et al., "Linear Transformers Are
    Secretly Fast Weight Programmers", 2021; Yang et al., "Parallelizing Linear Transformers with the Delta Rule over
    Sequence Length", 2024.
    """
    return _run(q, k, v, beta, None, scale, initial_state, chunk, implementation)


def gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    g: Tensor,
    *,
    scale: float | None = None,
    initial_state: Tensor | None = None,
    chunk: int | None = None,
    implementation: Implementation = "auto",
) -> tuple[Tensor, Tensor]:
    """The delta rule on a state that decays first: S ← exp(g)·S, then S ← S + β k (v − Sᵀk)ᵀ; g ≤ 0.

    Yang, Kautz and Hatamizadeh, "Gated Delta Networks: Improving Mamba2 with Delta Rule", 2024.
    """
    return _run(q, k, v, beta, g, scale, initial_state, chunk, implementation)


def _run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    scale: float | None,
    initial_state: Tensor | None,
    chunk: int | None,
    implementation: Implementation,
) -> tuple[Tensor, Tensor]:
    _check(q, k, v, beta, g, initial_state, chunk)
    batch, _, heads, width = q.shape
    factor = width**-0.5 if scale is None else scale
    dtype = torch.float64 if v.dtype == torch.float64 else torch.float32
    if initial_state is None:
        state = torch.zeros(batch, heads, width, v.shape[-1], dtype=dtype, device=v.device)
    else:
        state = initial_state.to(dtype)
    if implementation == "reference":
        out, final = reference_recurrence(q, k, v, beta, g, factor, state)
        return out.to(v.dtype), final.to(dtype)
    if implementation == "auto":
        implementation = "triton" if v.is_cuda and dtype != torch.float64 and find_spec("triton") else "chunk"
    if implementation == "triton":
        from kernels.triton_chunk import triton_recurrence

        return triton_recurrence(q, k, v, beta, g, factor, state, chunk)
    if implementation != "chunk":
        raise ValueError(f"implementation is {implementation!r}: 'auto', 'reference', 'chunk' or 'triton' is needed")
    # Accumulate in `dtype` even if the caller uses autocast.
    with torch.autocast(v.device.type, enabled=False):
        return chunk_recurrence(q, k, v, beta, g, factor, state, chunk or 32)


def _check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    initial_state: Tensor | None,
    chunk: int | None,
) -> None:
    if q.dim() != 4 or 0 in q.shape:
        raise ValueError(f"q has the shape {list(q.shape)}: [B, T, H, K] is needed, none of them 0")
    if v.dim() != 4 or 0 in v.shape:
        raise ValueError(f"v has the shape {list(v.shape)}: [B, T, H, V] is needed, none of them 0")
    wanted = {
        "k": (k, q.shape),
        "v": (v, (*q.shape[:3], v.shape[-1])),
        "beta": (beta, q.shape[:3]),
        "g": (g, q.shape[:3]),
        "initial_state": (initial_state, (q.shape[0], q.shape[2], q.shape[3], v.shape[-1])),
    }
    for name, (x, shape) in wanted.items():
        if x is None:
            continue
        if x.shape != shape:
            raise ValueError(f"{name} has the shape {list(x.shape)}: {list(shape)} is needed beside q {list(q.shape)}")
        if not x.is_floating_point() or x.device != q.device:
            raise ValueError(f"{name} is {x.dtype} on {x.device}: a floating type on {q.device}, where q is, is needed")
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q, k and v are {q.dtype}, {k.dtype} and {v.dtype}: one type is needed")
    if chunk is not None and chunk not in (16, 32, 64, 128):
        raise ValueError(f"chunk is {chunk}: 16, 32, 64 or 128 is needed")
