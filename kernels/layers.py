"""Sequence mixers as PyTorch modules: DeltaNet, gated DeltaNet, a Mamba-2-like layer and softmax attention.

All have the interface `forward(x, state=None) -> (y, state)` with x and y [B, T, width]. A later call continues from
the state, a dictionary of tensors whose size does not depend on T (except softmax attention's keys and values), so
that a sequence may be fed in pieces of any length.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.operators import delta_rule, gated_delta_rule, ssd

__all__ = ["LAYERS", "DeltaNet", "GatedDeltaNet", "Mamba2", "ShortConvolution", "SoftmaxAttention", "State"]

State = dict[str, Tensor]


class ShortConvolution(nn.Module):
    """Causal depthwise convolution over the last `size` tokens, followed by SiLU.

    Args:
        width: channels.
        size: tokens that an output depends on, its own included.
    """

    def __init__(self, width: int, size: int = 4) -> None:
        super().__init__()
        self.size = size
        self.weight = nn.Parameter(torch.empty(width, 1, size))
        nn.init.uniform_(self.weight, -(size**-0.5), size**-0.5)

    def forward(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return outputs and the new past. x: [B, T, width]; past: the last inputs before, [B, size − 1, width]."""
        if past is None:
            past = x.new_zeros(x.shape[0], self.size - 1, x.shape[2])
        seen = torch.cat([past.to(x.dtype), x], 1)
        mixed = F.conv1d(seen.mT, self.weight, groups=x.shape[2]).mT
        return F.silu(mixed), seen[:, seen.shape[1] - self.size + 1 :]


class DeltaNet(nn.Module):
    """The delta rule with unit keys and queries (Yang et al., 2024): short convolutions, SiLU, normalised heads.

    Args:
        width: of the residual stream.
        heads: divides `width`.
        convolution: tokens that the short convolutions see.
    """

    def __init__(self, width: int, heads: int, convolution: int = 4) -> None:
        super().__init__()
        self.heads = _divided(width, heads)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.beta = nn.Linear(width, heads, bias=False)
        self.convolution = ShortConvolution(3 * width, convolution)
        self.norm = nn.RMSNorm(width // heads, eps=1e-5)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """x: [B, T, width]."""
        state = state or {}
        mixed, past = self.convolution(self.qkv(x), state.get("past"))
        q, k, v = _heads(mixed, self.heads, 3)
        o, memory = self._recur(x, _unit(q), _unit(k), v, self.beta(x).sigmoid(), state.get("memory"))
        return self.out(self._gated(x, self.norm(o).flatten(2))), {"past": past, "memory": memory}

    def _recur(
        self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return delta_rule(q, k, v, beta, initial_state=memory)

    def _gated(self, x: Tensor, y: Tensor) -> Tensor:
        return y


class GatedDeltaNet(DeltaNet):
    """The gated delta rule (Yang, Kautz and Hatamizadeh, 2024): DeltaNet with Mamba-2's decay and an output gate.

    Args:
        width: of the residual stream.
        heads: divides `width`.
        convolution: tokens that the short convolutions see.
    """

    def __init__(self, width: int, heads: int, convolution: int = 4) -> None:
        super().__init__(width, heads, convolution)
        self.decay = _Decay(width, heads)
        self.gate = nn.Linear(width, width, bias=False)

    def _recur(
        self, x: Tensor, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        g, _ = self.decay(x)
        return gated_delta_rule(q, k, v, beta, g, initial_state=memory)

    def _gated(self, x: Tensor, y: Tensor) -> Tensor:
        return y * F.silu(self.gate(x))


class Mamba2(nn.Module):
    """A Mamba-2-like layer (Dao and Gu, 2024): scalar decay, B and C shared by the heads, skip and gated norm.

    Args:
        width: of the residual stream; the inner width is the same.
        heads: divides `width`.
        state_width: of B and C, 64 by default.
        convolution: tokens that the short convolution sees.
    """

    def __init__(self, width: int, heads: int, state_width: int = 64, convolution: int = 4) -> None:
        super().__init__()
        self.heads, self.state_width = _divided(width, heads), state_width
        self.inputs = nn.Linear(width, width + 2 * state_width, bias=False)
        self.decay = _Decay(width, heads)
        self.convolution = ShortConvolution(width + 2 * state_width, convolution)
        self.skip = nn.Parameter(torch.ones(heads))
        self.gate = nn.Linear(width, width, bias=False)
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """x: [B, T, width]."""
        state = state or {}
        mixed, past = self.convolution(self.inputs(x), state.get("past"))
        inner, keys, queries = mixed.split([x.shape[2], self.state_width, self.state_width], -1)
        values = inner.reshape(*x.shape[:2], self.heads, -1)
        k, q = (y[:, :, None].expand(-1, -1, self.heads, -1) for y in (keys, queries))
        g, step = self.decay(x)
        o, memory = ssd(q, k, values * step[..., None].to(values.dtype), g, initial_state=state.get("memory"))
        y = (o + values * self.skip[:, None]).flatten(2) * F.silu(self.gate(x))
        return self.out(self.norm(y)), {"past": past, "memory": memory}


class SoftmaxAttention(nn.Module):
    """Causal softmax attention with rotary positions (Su et al., 2021): the quadratic baseline.

    Args:
        width: of the residual stream.
        heads: divides `width`; a head's width must be even.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = _divided(width, heads)
        if width // heads % 2:
            raise ValueError(f"width {width} with {heads} heads: rotary positions need heads of an even width")
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """x: [B, T, width]; the state holds the keys and values of all tokens before."""
        q, k, v = (y.transpose(1, 2) for y in _heads(self.qkv(x), self.heads, 3))
        seen = 0 if state is None else state["keys"].shape[2]
        q, k = (_rotate(y, seen) for y in (q, k))
        if state is None:
            o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            k, v = torch.cat([state["keys"], k], 2), torch.cat([state["values"], v], 2)
            visible = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=x.device).tril(seen)
            o = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return self.out(o.transpose(1, 2).flatten(2)), {"keys": k, "values": v}


class _Decay(nn.Module):
    """Mamba-2's decay per head: g = −exp(a)·Δ with Δ = softplus(projection + bias).

    As in Mamba-2, exp(a) starts between 1 and 16 and softplus(bias) between 0.001 and 0.1.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, heads, bias=False)
        self.log_rate = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        step = torch.empty(heads).uniform_(math.log(1e-3), math.log(1e-1)).exp()
        self.bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return g and Δ, [B, T, heads] in float32, for x of [B, T, width]."""
        step = F.softplus(self.projection(x).float() + self.bias.float())
        return -self.log_rate.float().exp() * step, step


def _divided(width: int, heads: int) -> int:
    if heads < 1 or width % heads:
        raise ValueError(f"width {width} with {heads} heads: the heads must divide the width")
    return heads


def _heads(x: Tensor, heads: int, parts: int) -> tuple[Tensor, ...]:
    """Split [B, T, parts·width] into `parts` tensors [B, T, heads, width/heads]."""
    return x.reshape(*x.shape[:2], parts, heads, -1).unbind(2)


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x.float(), dim=-1, eps=1e-6).to(x.dtype)


def _rotate(x: Tensor, first: int) -> Tensor:
    """Rotate pairs of [B, H, T, D] by an angle that grows with the position; positions start at `first`."""
    half = x.shape[-1] // 2
    rates = 10_000.0 ** -(torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = torch.arange(first, first + x.shape[2], device=x.device, dtype=torch.float32)[:, None] * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


LAYERS: dict[str, type[nn.Module]] = {
    "delta_net": DeltaNet,
    "gated_delta_net": GatedDeltaNet,
    "mamba2": Mamba2,
    "softmax_attention": SoftmaxAttention,
}
"""The layers by name; construct each with `layer(width, heads)`."""
