# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators, allow-incomplete-defs
"""The stages of `kernels.chunk` as Triton kernels; see its docstring for formulas and names.

All tensors are contiguous. Per token: q, k and their gradients [B, T, H, K]; v, w and outputs [B, T, H, V]; beta and
g [B, T, H] in float32; mixing (N) [B, T, H, C]. Per chunk: states before and their gradients after it
[B, chunks, H, K, V]. K and V are the widths, BLOCK_K and BLOCK_V the tiles, powers of two, BLOCK_K ≥ K. A program
handles one head; DELTA and GATED choose among the four recurrences. Elements beyond T, K or V are read as zero: such a
token writes nothing to the state and does not decay it. Sums are float32; operands of products have q's type.
"""

import triton
import triton.language as tl

__all__ = [
    "gradient_kernel",
    "local_gradient_kernel",
    "mixing_kernel",
    "output_kernel",
    "state_gradient_kernel",
    "state_kernel",
]


@triton.jit
def _tile(chunk, i_bh, T, H, D: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr, first):
    """Return offsets and mask of one head's chunk, [C, BLOCK] with columns from `first`, in a [B, T, H, D] tensor."""
    rows = chunk * C + tl.arange(0, C)
    columns = first + tl.arange(0, BLOCK)
    batch, head = (i_bh // H).to(tl.int64), i_bh % H
    at = (batch * T + rows[:, None]) * (H * D) + head * D + columns[None, :]
    return at, (rows[:, None] < T) & (columns[None, :] < D)


@triton.jit
def _load_tile(x, chunk, i_bh, T, H, D: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr, first):
    at, mask = _tile(chunk, i_bh, T, H, D, C, BLOCK, first)
    return tl.load(x + at, mask=mask, other=0.0)


@triton.jit
def _store_tile(x, value, chunk, i_bh, T, H, D: tl.constexpr, C: tl.constexpr, BLOCK: tl.constexpr, first):
    at, mask = _tile(chunk, i_bh, T, H, D, C, BLOCK, first)
    tl.store(x + at, value.to(x.dtype.element_ty), mask=mask)


@triton.jit
def _load_row(x, chunk, i_bh, T, H, C: tl.constexpr):
    """Load one head's chunk, [C], of a [B, T, H] tensor."""
    rows = chunk * C + tl.arange(0, C)
    return tl.load(x + ((i_bh // H).to(tl.int64) * T + rows) * H + i_bh % H, mask=rows < T, other=0.0)


@triton.jit
def _store_row(x, value, chunk, i_bh, T, H, C: tl.constexpr):
    rows = chunk * C + tl.arange(0, C)
    tl.store(x + ((i_bh // H).to(tl.int64) * T + rows) * H + i_bh % H, value, mask=rows < T)


@triton.jit
def _state(index, K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, first):
    """Return offsets and mask of [BLOCK_K, BLOCK_V], columns from `first`, in the state with this index."""
    rows = tl.arange(0, BLOCK_K)
    columns = first + tl.arange(0, BLOCK_V)
    at = index.to(tl.int64) * (K * V) + rows[:, None] * V + columns[None, :]
    return at, (rows[:, None] < K) & (columns[None, :] < V)


@triton.jit
def _load_state(x, index, K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, first):
    at, mask = _state(index, K, V, BLOCK_K, BLOCK_V, first)
    return tl.load(x + at, mask=mask, other=0.0)


@triton.jit
def _store_state(
    x, value, index, K: tl.constexpr, V: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, first
):  # fmt: skip
    at, mask = _state(index, K, V, BLOCK_K, BLOCK_V, first)
    tl.store(x + at, value.to(x.dtype.element_ty), mask=mask)


@triton.jit
def _decay(g, chunk, i_bh, T, H, C: tl.constexpr):
    """Return c, [C], and c_last: cumulative sums of the log decay within a chunk."""
    log = _load_row(g, chunk, i_bh, T, H, C)
    return tl.cumsum(log, 0), tl.sum(log, 0)


@triton.jit
def _ratio(c, C: tl.constexpr):
    """Return L, [C, C]: exp(c_i − c_j) for i ≥ j, and 1 above the diagonal, where exp could overflow."""
    rows = tl.arange(0, C)
    return tl.exp(tl.where(rows[:, None] >= rows[None, :], c[:, None] - c[None, :], 0.0))


@triton.jit
def mixing_kernel(
    k, beta, g, mixing, T, H, K: tl.constexpr, C: tl.constexpr, BLOCK_K: tl.constexpr, GATED: tl.constexpr,
    LEVELS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute N = (I + M diag β)⁻¹ M of one chunk; grid (chunks, B·H); LEVELS = log2 C.

    The inverse X doubles its block size per level: from the inverses of two diagonal blocks to that of both,
    X ← X − X A X with A the part of M diag β that couples them. Each level is exact, so that near-parallel keys cost no
    accuracy.
    """
    chunk, i_bh = tl.program_id(0), tl.program_id(1)
    rows = tl.arange(0, C)
    keys = _load_tile(k, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
    step = _load_row(beta, chunk, i_bh, T, H, C)
    overlap = tl.dot(keys, tl.trans(keys), input_precision=PRECISION)
    if GATED:
        c, _ = _decay(g, chunk, i_bh, T, H, C)
        overlap *= _ratio(c, C)
    overlap = tl.where(rows[:, None] > rows[None, :], overlap, 0.0)
    coupling = overlap * step[None, :]
    inverse = tl.where(rows[:, None] == rows[None, :], 1.0, 0.0)
    for level in tl.static_range(LEVELS):
        block = rows >> level
        couples = (block[:, None] - block[None, :] == 1) & (block[:, None] % 2 == 1)
        between = tl.dot(tl.where(couples, coupling, 0.0), inverse, input_precision=PRECISION)
        inverse -= tl.dot(inverse, between, input_precision=PRECISION)
    result = tl.dot(inverse, overlap, input_precision=PRECISION)
    _store_tile(mixing, result, chunk, i_bh, T, H, C, C, C, 0)


@triton.jit
def state_kernel(
    k, v, beta, g, mixing, initial, update, states, final, T, H, CHUNKS, K: tl.constexpr, V: tl.constexpr,
    C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, DELTA: tl.constexpr, GATED: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute w (`update`) and the state before each chunk of one head; grid (V blocks, B·H)."""
    first, i_bh = tl.program_id(0) * BLOCK_V, tl.program_id(1)
    batch, head = i_bh // H, i_bh % H
    state = _load_state(initial, i_bh, K, V, BLOCK_K, BLOCK_V, first)
    for chunk in range(0, CHUNKS):
        _store_state(states, state, (batch * CHUNKS + chunk) * H + head, K, V, BLOCK_K, BLOCK_V, first)
        keys = _load_tile(k, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
        values = _load_tile(v, chunk, i_bh, T, H, V, C, BLOCK_V, first)
        if GATED:
            c, c_last = _decay(g, chunk, i_bh, T, H, C)
        if DELTA:
            step = _load_row(beta, chunk, i_bh, T, H, C)[:, None]
            error = tl.dot(keys, state.to(keys.dtype), input_precision=PRECISION)
            if GATED:
                error *= tl.exp(c)[:, None]
            error = values.to(tl.float32) - error
            mix = _load_tile(mixing, chunk, i_bh, T, H, C, C, C, 0)
            write = error - tl.dot(mix, (error * step).to(mix.dtype), input_precision=PRECISION)
            _store_tile(update, write, chunk, i_bh, T, H, V, C, BLOCK_V, first)
            write *= step
        else:
            write = values.to(tl.float32)
        if GATED:
            write *= tl.exp(c_last - c)[:, None]
            state *= tl.exp(c_last)
        state += tl.dot(tl.trans(keys), write.to(keys.dtype), input_precision=PRECISION)
    _store_state(final, state, i_bh, K, V, BLOCK_K, BLOCK_V, first)


@triton.jit
def output_kernel(
    q, k, update, beta, g, states, out, scale, T, H, CHUNKS, K: tl.constexpr, V: tl.constexpr, C: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, DELTA: tl.constexpr, GATED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute O = (e^c∘Q) S + P U of one chunk; grid (V blocks, chunks, B·H). Without delta rule `update` is v."""
    first, chunk, i_bh = tl.program_id(0) * BLOCK_V, tl.program_id(1), tl.program_id(2)
    rows = tl.arange(0, C)
    queries = _load_tile(q, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
    keys = _load_tile(k, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
    index = (i_bh // H * CHUNKS + chunk) * H + i_bh % H
    state = _load_state(states, index, K, V, BLOCK_K, BLOCK_V, first)
    outputs = tl.dot(queries, state, input_precision=PRECISION)
    attention = tl.dot(queries, tl.trans(keys), input_precision=PRECISION)
    if GATED:
        c, _ = _decay(g, chunk, i_bh, T, H, C)
        outputs *= tl.exp(c)[:, None]
        attention *= _ratio(c, C)
    if DELTA:
        attention *= _load_row(beta, chunk, i_bh, T, H, C)[None, :]
    attention = tl.where(rows[:, None] >= rows[None, :], attention, 0.0)
    write = _load_tile(update, chunk, i_bh, T, H, V, C, BLOCK_V, first)
    outputs += tl.dot(attention.to(write.dtype), write, input_precision=PRECISION)
    _store_tile(out, outputs * scale, chunk, i_bh, T, H, V, C, BLOCK_V, first)


@triton.jit
def local_gradient_kernel(
    q, k, g, d_out, d_update, scale, T, H, K: tl.constexpr, V: tl.constexpr, C: tl.constexpr,
    BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, GATED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute Pᵀ dO, the gradient of U from its own chunk; grid (V blocks, chunks, B·H)."""
    first, chunk, i_bh = tl.program_id(0) * BLOCK_V, tl.program_id(1), tl.program_id(2)
    rows = tl.arange(0, C)
    queries = _load_tile(q, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
    keys = _load_tile(k, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
    attention = tl.dot(queries, tl.trans(keys), input_precision=PRECISION) * scale
    if GATED:
        c, _ = _decay(g, chunk, i_bh, T, H, C)
        attention *= _ratio(c, C)
    attention = tl.where(rows[:, None] >= rows[None, :], attention, 0.0)
    d_outputs = _load_tile(d_out, chunk, i_bh, T, H, V, C, BLOCK_V, first)
    result = tl.dot(tl.trans(attention).to(d_outputs.dtype), d_outputs, input_precision=PRECISION)
    _store_tile(d_update, result, chunk, i_bh, T, H, V, C, BLOCK_V, first)


@triton.jit
def state_gradient_kernel(
    q, k, beta, g, mixing, d_out, d_final, d_update, d_states, d_initial, scale, T, H, CHUNKS, K: tl.constexpr,
    V: tl.constexpr, C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr, DELTA: tl.constexpr,
    GATED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute state gradients of one head, last chunk first; grid (V blocks, B·H).

    `d_update` holds Pᵀ dO and receives the gradient of v (under the delta rule that of β∘Y); `d_states` receives the
    gradient of the state after each chunk.
    """
    first, i_bh = tl.program_id(0) * BLOCK_V, tl.program_id(1)
    batch, head = i_bh // H, i_bh % H
    d_state = _load_state(d_final, i_bh, K, V, BLOCK_K, BLOCK_V, first)
    for back in range(0, CHUNKS):
        chunk = CHUNKS - 1 - back
        _store_state(d_states, d_state, (batch * CHUNKS + chunk) * H + head, K, V, BLOCK_K, BLOCK_V, first)
        keys = _load_tile(k, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
        d_outputs = _load_tile(d_out, chunk, i_bh, T, H, V, C, BLOCK_V, first)
        if GATED:
            c, c_last = _decay(g, chunk, i_bh, T, H, C)
        d_write = tl.dot(keys, d_state.to(keys.dtype), input_precision=PRECISION)
        if GATED:
            d_write *= tl.exp(c_last - c)[:, None]
            d_state *= tl.exp(c_last)
            d_outputs = (d_outputs.to(tl.float32) * tl.exp(c)[:, None]).to(d_outputs.dtype)
        d_write += _load_tile(d_update, chunk, i_bh, T, H, V, C, BLOCK_V, first).to(tl.float32)
        if DELTA:
            step = _load_row(beta, chunk, i_bh, T, H, C)[:, None]
            mix = _load_tile(mixing, chunk, i_bh, T, H, C, C, C, 0)
            d_write -= tl.dot(tl.trans(mix), (d_write * step).to(mix.dtype), input_precision=PRECISION)
        _store_tile(d_update, d_write, chunk, i_bh, T, H, V, C, BLOCK_V, first)
        if DELTA:
            d_write *= step
            if GATED:
                d_write *= tl.exp(c)[:, None]
            d_state -= tl.dot(tl.trans(keys), d_write.to(keys.dtype), input_precision=PRECISION)
        queries = _load_tile(q, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
        d_state += scale * tl.dot(tl.trans(queries), d_outputs, input_precision=PRECISION)
    _store_state(d_initial, d_state, i_bh, K, V, BLOCK_K, BLOCK_V, first)


@triton.jit
def gradient_kernel(
    q, k, update, beta, g, states, d_out, d_update, d_states, dq, dk, dv, d_beta, dg, scale, T, H, CHUNKS,
    K: tl.constexpr, V: tl.constexpr, C: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_V: tl.constexpr,
    DELTA: tl.constexpr, GATED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of q, k, beta and g (under the delta rule also v) of one chunk; grid (chunks, B·H)."""
    chunk, i_bh = tl.program_id(0), tl.program_id(1)
    rows = tl.arange(0, C)
    index = (i_bh // H * CHUNKS + chunk) * H + i_bh % H
    grad_q = tl.zeros((C, BLOCK_K), dtype=tl.float32)
    written = tl.zeros((C, BLOCK_K), dtype=tl.float32)
    d_attention = tl.zeros((C, C), dtype=tl.float32)
    if DELTA:
        read = tl.zeros((C, BLOCK_K), dtype=tl.float32)
        d_overlap = tl.zeros((C, C), dtype=tl.float32)
        grad_beta = tl.zeros((C,), dtype=tl.float32)
        step = _load_row(beta, chunk, i_bh, T, H, C)[:, None]
    if GATED:
        through_state = tl.zeros((BLOCK_V,), dtype=tl.float32)
    for first in range(0, V, BLOCK_V):
        d_outputs = _load_tile(d_out, chunk, i_bh, T, H, V, C, BLOCK_V, first)
        write = _load_tile(update, chunk, i_bh, T, H, V, C, BLOCK_V, first)
        before = _load_state(states, index, K, V, BLOCK_K, BLOCK_V, first)
        after = _load_state(d_states, index, K, V, BLOCK_K, BLOCK_V, first)
        if GATED:
            through_state += tl.sum(before.to(tl.float32) * after.to(tl.float32), 0)
        if DELTA:
            d_error = _load_tile(d_update, chunk, i_bh, T, H, V, C, BLOCK_V, first).to(tl.float32)
            grad_beta += tl.sum(d_error * write.to(tl.float32), 1)
            d_error = (d_error * step).to(write.dtype)
            write = (write.to(tl.float32) * step).to(write.dtype)
            _store_tile(dv, d_error, chunk, i_bh, T, H, V, C, BLOCK_V, first)
            read += tl.dot(d_error, tl.trans(before), input_precision=PRECISION)
            d_overlap += tl.dot(d_error, tl.trans(write), input_precision=PRECISION)
        grad_q += tl.dot(d_outputs, tl.trans(before), input_precision=PRECISION)
        d_attention += tl.dot(d_outputs, tl.trans(write), input_precision=PRECISION)
        written += tl.dot(write, tl.trans(after), input_precision=PRECISION)
    queries = _load_tile(q, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
    keys = _load_tile(k, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
    if GATED:
        c, c_last = _decay(g, chunk, i_bh, T, H, C)
        ratio = _ratio(c, C)
        d_attention *= ratio
        grad_q *= tl.exp(c)[:, None]
        written *= tl.exp(c_last - c)[:, None]
        d_last = tl.sum(through_state, 0) * tl.exp(c_last) + tl.sum(tl.sum(written * keys.to(tl.float32), 1), 0)
    d_attention = tl.where(rows[:, None] >= rows[None, :], d_attention, 0.0).to(keys.dtype)
    grad_q += tl.dot(d_attention, keys, input_precision=PRECISION)
    written += tl.dot(tl.trans(d_attention), queries, input_precision=PRECISION) * scale
    if GATED:
        d_c = tl.sum(grad_q * queries.to(tl.float32), 1) * scale
    grad_k = written
    if DELTA:
        if GATED:
            read *= tl.exp(c)[:, None]
            d_overlap *= ratio
        d_overlap = tl.where(rows[:, None] > rows[None, :], d_overlap, 0.0).to(keys.dtype)
        read += tl.dot(d_overlap, keys, input_precision=PRECISION)
        written -= tl.dot(tl.trans(d_overlap), keys, input_precision=PRECISION)
        grad_k = written - read
        _store_row(d_beta, grad_beta, chunk, i_bh, T, H, C)
        if GATED:
            d_c -= tl.sum(read * keys.to(tl.float32), 1)
    if GATED:
        d_c -= tl.sum(written * keys.to(tl.float32), 1)
        d_c = tl.sum(d_c, 0) - tl.cumsum(d_c, 0) + d_c + d_last
        _store_row(dg, d_c, chunk, i_bh, T, H, C)
    _store_tile(dq, grad_q * scale, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
    _store_tile(dk, grad_k, chunk, i_bh, T, H, K, C, BLOCK_K, 0)
