"""The definition of the operators, token by token in float64: every other implementation is tested against it.

With state S of [K, V] per head, zero unless given, at every token:

    linear attention    S ← S + k vᵀ
    ssd                 S ← a·S + k vᵀ                        a = exp(g)
    delta rule          S ← S + β k (v − Sᵀk)ᵀ
    gated delta rule    S ← a·S, then the delta rule

and the output is scale · Sᵀq. Sources: Katharopoulos et al., "Transformers are RNNs", 2020; Dao and Gu, "Transformers
are SSMs" (Mamba-2), 2024; Schlag et al., "Linear Transformers Are Secretly Fast Weight Programmers", 2021; Yang et
al., "Gated Delta Networks", 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["reference_recurrence"]


def reference_recurrence(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    g: Tensor | None,
    scale: float,
    initial_state: Tensor,
) -> tuple[Tensor, Tensor]:
    """Run one of the four recurrences, differentiable by autograd.

    Args:
        q, k: [B, T, H, K].
        v: [B, T, H, V].
        beta: step size of the delta rule, [B, T, H]; None for linear attention.
        g: log of the decay, [B, T, H]; None for no decay.
        scale: factor on q.
        initial_state: [B, H, K, V].

    Returns:
        The outputs, [B, T, H, V], and the final state, [B, H, K, V], both in float64. Autograd keeps one state per
        token: gradients of sequences beyond a few thousand tokens take gigabytes.
    """
    queries, keys, values = (x.double().unbind(1) for x in (q * scale, k, v))
    steps = None if beta is None else beta.double()[..., None].unbind(1)
    decays = None if g is None else g.double().exp()[..., None, None].unbind(1)
    state, outputs = initial_state.double(), []
    for t in range(q.shape[1]):
        if decays is not None:
            state = state * decays[t]
        write = values[t]
        if steps is not None:
            write = steps[t] * (write - torch.einsum("bhkv,bhk->bhv", state, keys[t]))
        state = state + keys[t][..., :, None] * write[..., None, :]
        outputs.append(torch.einsum("bhkv,bhk->bhv", state, queries[t]))
    return torch.stack(outputs, 1), state
