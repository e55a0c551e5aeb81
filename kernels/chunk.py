"""Compute the recurrences of `kernels.reference` chunk by chunk in PyTorch: matrix products replace a loop over tokens.

Both families write S ← a·S + k uᵀ; they differ in u. With c the running sum of log a within a chunk (itself included),
L_ij = exp(c_i − c_j) for i ≥ j, and S the state before the chunk (Yang et al., "Parallelizing Linear Transformers with
the Delta Rule over Sequence Length", 2024; Yang et al., "Gated Delta Networks", 2024; Dao and Gu, "Transformers are
SSMs", 2024):

    linear attention   U = V
    delta rule         w = Y − N (β∘Y),  U = β∘w,  with Y = V − (e^c∘K) S,  M = strict lower part of L∘K Kᵀ
                       and N = (I + M diag β)⁻¹ M
    output             O = (e^c∘Q) S + P U,  with P = lower part of L∘Q Kᵀ, Q scaled
    next state         S' = e^{c_last}·S + (e^{c_last − c}∘K)ᵀ U

N is kept unscaled so that no step, backward included, divides by β.

The backward pass is written by hand: autograd would keep every intermediate and copy the whole sequence for each slice
of the scan. It keeps the inputs, w, N and the state before each chunk, and recomputes the rest. Both passes split the
sequence into segments small enough to stay in a core's cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["chunk_recurrence"]

# Bytes of each of the dozen matrices of a segment, chosen so that a few of them fit a core's second-level cache.
_SEGMENT_BYTES = 1 << 19


def chunk_recurrence(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    scale: float,
    initial_state: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Run one of the four recurrences over a whole sequence.

    Args:
        q, k: [B, T, H, K].
        v: [B, T, H, V].
        beta: step size of the delta rule, [B, T, H]; None for linear attention.
        g: log of the decay, [B, T, H]; None for no decay.
        scale: factor on q.
        initial_state: [B, H, K, V] in float32 or float64; all sums are accumulated in this type.
        chunk: tokens per chunk.

    Returns:
        The outputs, [B, T, H, V] in v's type, and the final state, [B, H, K, V] in the initial state's type.
    """
    inputs = (q, k, v, beta, g, initial_state)
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs):
        out, state = _Chunk.apply(*inputs, scale, chunk)  # type: ignore[no-untyped-call]
        return out, state
    out, state, _ = _forward(q, k, v, beta, g, scale, initial_state, chunk, keep=False)
    return out, state


class _Segment(NamedTuple):
    """Intermediates that both passes need for a segment of n = chunks·B·H matrices, chunks outermost."""

    q: Tensor  # scaled, [n, C, K]
    k: Tensor  # [n, C, K]
    attention: Tensor  # P, [n, C, C]
    ratio: Tensor | None  # L, lower part valid, [n, C, C]
    grow: Tensor | None  # e^c, [n, C, 1]
    fade: Tensor | None  # e^{c_last − c}, [n, C, 1]
    total: Tensor | None  # e^{c_last}, [n, 1, 1]


class _Chunk(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        beta: Tensor | None,
        g: Tensor | None,
        initial_state: Tensor,
        scale: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        out, state, kept = _forward(q, k, v, beta, g, scale, initial_state, chunk, keep=True)
        ctx.save_for_backward(q, k, v, beta, g, *kept)
        ctx.scale, ctx.chunk = scale, chunk
        return out, state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_state: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, beta, g, *kept = ctx.saved_tensors
        return (*_backward(q, k, v, beta, g, ctx.scale, ctx.chunk, kept, d_out, d_state), None, None)


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    scale: float,
    state: Tensor,
    chunk: int,
    keep: bool,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    out = torch.empty_like(v, memory_format=torch.contiguous_format)
    heads = state.shape[0] * state.shape[1]
    final, kept = state.reshape(heads, *state.shape[2:]), []
    for start, stop in _segments(q, v, chunk):
        part = _segment(q, k, g, scale, chunk, start, stop, state.dtype)
        values = _take(v, chunk, start, stop, state.dtype)
        states = values.new_empty(len(values) // heads + 1, *final.shape)
        states[0] = final
        if beta is None:
            writes = torch.bmm(_times(part.k, part.fade).mT, values).view(-1, *final.shape)
            for i in range(len(writes)):
                _decayed(states[i], part.total, i, heads, out=states[i + 1]).add_(writes[i])
            update = values
        else:
            step = _take(beta, chunk, start, stop, state.dtype)
            mixing = _mixing(part, step)
            update = _delta_scan(part, mixing * step[:, None, :], step, values, states)
            part.attention.mul_(step[:, None, :])
            if keep:
                kept.append(mixing)
        outputs = torch.bmm(_times(part.q, part.grow), states[:-1].flatten(0, 1))
        _put(outputs.baddbmm_(part.attention, update), out, chunk, start, stop)
        final = states[-1]
        if keep:
            kept += [states] if beta is None else [update, states]
    return out, final.reshape(state.shape).clone(), kept


def _delta_scan(part: _Segment, mixing: Tensor, step: Tensor, values: Tensor, states: Tensor) -> Tensor:
    """Fill `states` after the first; return w, [n, C, V]. `mixing` is N diag β."""
    heads = states.shape[1]
    reads = _times(part.k, part.grow)
    writes = _times(part.k, part.fade) * step[:, :, None]
    update = torch.empty_like(values)
    for i in range(len(states) - 1):
        at = slice(i * heads, (i + 1) * heads)
        error = values[at].baddbmm_(reads[at], states[i], alpha=-1)
        torch.baddbmm(error, mixing[at], error, alpha=-1, out=update[at])
        _decayed(states[i], part.total, i, heads, out=states[i + 1]).baddbmm_(writes[at].mT, update[at])
    return update


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    scale: float,
    chunk: int,
    kept: list[Tensor],
    d_out: Tensor,
    d_state: Tensor,
) -> tuple[Tensor | None, ...]:
    dq, dk, dv, d_beta, dg = (None if x is None else torch.empty_like(x) for x in (q, k, v, beta, g))
    assert dq is not None and dk is not None and dv is not None
    dtype, heads = kept[-1].dtype, kept[-1].shape[1]
    d_final = d_state.to(dtype).reshape(heads, *d_state.shape[2:])
    for start, stop in reversed(_segments(q, v, chunk)):
        states = kept.pop()
        part = _segment(q, k, g, scale, chunk, start, stop, dtype)
        d_outputs = _take(d_out, chunk, start, stop, dtype)
        d_states = torch.empty_like(states)
        d_states[-1] = d_final
        d_states[:-1] = torch.bmm(_times(part.q, part.grow).mT, d_outputs).view_as(d_states[:-1])
        d_update = torch.bmm(part.attention.mT, d_outputs)
        writes = _times(part.k, part.fade)
        if beta is None:
            for i in reversed(range(len(d_states) - 1)):
                d_states[i] += _decayed(d_states[i + 1], part.total, i, heads)
            update = _take(v, chunk, start, stop, dtype)
            d_update.baddbmm_(writes, d_states[1:].flatten(0, 1))
            _put(d_update, dv, chunk, start, stop)
            d_error = None
        else:
            assert d_beta is not None
            step = _take(beta, chunk, start, stop, dtype)[:, :, None]
            update, mixing = kept.pop(), kept.pop() * step
            reads = _times(part.k, part.grow) * step
            d_error = torch.empty_like(d_update)
            for i in reversed(range(len(d_states) - 1)):
                at = slice(i * heads, (i + 1) * heads)
                d_update[at].baddbmm_(writes[at], d_states[i + 1])
                torch.baddbmm(d_update[at], mixing[at].mT, d_update[at], alpha=-1, out=d_error[at])
                d_states[i] += _decayed(d_states[i + 1], part.total, i, heads)
                d_states[i].baddbmm_(reads[at].mT, d_error[at], alpha=-1)
            _put((d_error * update).sum(-1), d_beta, chunk, start, stop)
            d_error.mul_(step)
            update = update * step
            _put(d_error, dv, chunk, start, stop)
        before, after = states[:-1].flatten(0, 1), d_states[1:].flatten(0, 1)
        d_attention = _lower(torch.bmm(d_outputs, update.mT), part.ratio, 0)
        grad_q = torch.baddbmm(_times_(torch.bmm(d_outputs, before.mT), part.grow), d_attention, part.k)
        # The gradient of k as a written key, scaled with e^{−c}, and as a read key, scaled with e^{c}.
        written = torch.baddbmm(_times_(torch.bmm(update, after.mT), part.fade), d_attention.mT, part.q)
        read = None
        if d_error is not None:
            d_overlap = _lower(torch.bmm(d_error, update.mT), part.ratio, -1)
            read = torch.baddbmm(_times_(torch.bmm(d_error, before.mT), part.grow), d_overlap, part.k).neg_()
            written.baddbmm_(d_overlap.mT, part.k, alpha=-1)
        if dg is not None:
            grad_g = (part.q * grad_q).sum(-1) - (part.k * written).sum(-1)
            if read is not None:
                grad_g += (part.k * read).sum(-1)
            grad_g[:, -1] += (states[1:] * d_states[1:]).sum((-1, -2)).flatten()
            _put(grad_g.flip(-1).cumsum(-1).flip(-1), dg, chunk, start, stop)
        _put(grad_q.mul_(scale), dq, chunk, start, stop)
        _put(written if read is None else written.add_(read), dk, chunk, start, stop)
        d_final = d_states[0]
    return dq, dk, dv, d_beta, dg, d_final.reshape(d_state.shape).clone()


def _segments(q: Tensor, v: Tensor, chunk: int) -> list[tuple[int, int]]:
    batch, length, heads, width = q.shape
    per_chunk = batch * heads * chunk * max(width, v.shape[-1], chunk) * 4
    tokens = max(1, _SEGMENT_BYTES // per_chunk) * chunk
    return [(start, min(start + tokens, length)) for start in range(0, length, tokens)]


def _segment(
    q: Tensor, k: Tensor, g: Tensor | None, scale: float, chunk: int, start: int, stop: int, dtype: torch.dtype
) -> _Segment:
    queries, keys = _take(q, chunk, start, stop, dtype).mul_(scale), _take(k, chunk, start, stop, dtype)
    ratio = grow = fade = total = None
    if g is not None:
        decay = _take(g, chunk, start, stop, dtype).cumsum(-1)
        # The upper part is cleared before exp, where it could overflow.
        ratio = (decay[:, :, None] - decay[:, None, :]).tril_().exp_()
        grow, fade = decay.exp()[:, :, None], (decay[:, -1:] - decay).exp_()[:, :, None]
        total = grow[:, -1:]
    attention = _lower(torch.bmm(queries, keys.mT), ratio, 0)
    return _Segment(queries, keys, attention, ratio, grow, fade, total)


def _mixing(part: _Segment, step: Tensor) -> Tensor:
    """Return N = (I + M diag β)⁻¹ M, [n, C, C], strictly lower."""
    overlap = _lower(torch.bmm(part.k, part.k.mT), part.ratio, -1)
    mixing: Tensor = torch.linalg.solve_triangular(overlap * step[:, None, :], overlap, upper=False, unitriangular=True)
    return mixing


def _take(x: Tensor, chunk: int, start: int, stop: int, dtype: torch.dtype) -> Tensor:
    """Copy tokens start to stop of [B, T, H, …] into [chunks·B·H, C, …], padded with zeros to whole chunks."""
    x = x[:, start:stop]
    if missing := -(stop - start) % chunk:
        x = torch.nn.functional.pad(x, (0, 0) * (x.dim() - 2) + (0, missing))
    x = x.view(x.shape[0], -1, chunk, *x.shape[2:]).permute(1, 0, 3, 2, *range(4, x.dim() + 1))
    return x.to(dtype, memory_format=torch.contiguous_format, copy=True).flatten(0, 2)


def _put(x: Tensor, out: Tensor, chunk: int, start: int, stop: int) -> None:
    """Write [chunks·B·H, C, …] as tokens start to stop of [B, T, H, …]."""
    batch, _, heads, *_ = out.shape
    x = x.view(-1, batch, heads, *x.shape[1:]).permute(1, 0, 3, 2, *range(4, x.dim() + 2))
    whole = (stop - start) // chunk
    middle = start + whole * chunk
    out[:, start:middle].view(batch, whole, chunk, *out.shape[2:]).copy_(x[:, :whole])
    if middle < stop:
        out[:, middle:stop].copy_(x[:, whole, : stop - middle])


def _times(x: Tensor, factor: Tensor | None) -> Tensor:
    return x if factor is None else x * factor


def _times_(x: Tensor, factor: Tensor | None) -> Tensor:
    return x if factor is None else x.mul_(factor)


def _lower(x: Tensor, ratio: Tensor | None, diagonal: int) -> Tensor:
    return _times_(x, ratio).tril_(diagonal)


def _decayed(state: Tensor, total: Tensor | None, i: int, heads: int, out: Tensor | None = None) -> Tensor:
    """Return the state times the decay over chunk i."""
    if total is not None:
        return torch.mul(state, total[i * heads : (i + 1) * heads], out=out)
    return state if out is None else out.copy_(state)
