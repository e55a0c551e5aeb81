"""The delta rule, forwards, as a plain Triton kernel: one program for each sequence and head, token by token."""

import torch
import triton
import triton.language as tl


@triton.jit
def run_head(q, k, v, beta, out, tokens, heads, keys, values, K: tl.constexpr, V: tl.constexpr):
    batch, head = tl.program_id(0) // heads, tl.program_id(0) % heads
    i, j = tl.arange(0, K), tl.arange(0, V)
    state = tl.zeros((K, V), tl.float32)
    for t in range(tokens):
        row = (batch * tokens + t) * heads + head
        key = tl.load(k + row * keys + i, mask=i < keys, other=0.0)
        query = tl.load(q + row * keys + i, mask=i < keys, other=0.0)
        value = tl.load(v + row * values + j, mask=j < values, other=0.0)
        write = tl.load(beta + row) * (value - tl.sum(state * key[:, None], 0))
        state += key[:, None] * write[None, :]
        tl.store(out + row * values + j, tl.sum(state * query[:, None], 0), mask=j < values)


def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, beta: torch.Tensor, out: torch.Tensor) -> None:
    batch, tokens, heads, keys = q.shape
    values = v.shape[-1]
    sizes = triton.next_power_of_2(keys), triton.next_power_of_2(values)
    run_head[(batch * heads,)](q, k, v, beta, out, tokens, heads, keys, values, *sizes)
