"""DeltaNet (Yang et al., 2024): the delta rule on unit keys and queries, short convolutions, normalised heads."""

import torch
from torch import nn
from torch.nn import functional as F

from kernels.operators import delta_rule, gated_delta_rule

TAPS = 4  # tune: effort 2..8


class DepthwiseConvolution(nn.Module):
    """Every channel over its last few tokens, then SiLU."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 1, TAPS).uniform_(-(TAPS**-0.5), TAPS**-0.5))

    def forward(self, x, past):
        if past is None:
            past = x.new_zeros(x.shape[0], TAPS - 1, x.shape[2])
        seen = torch.cat([past, x], 1)
        mixed = F.conv1d(seen.mT, self.weight, groups=x.shape[2]).mT
        return F.silu(mixed), seen[:, seen.shape[1] - TAPS + 1 :]


class SigmoidStep(nn.Module):
    """How far a memory moves towards a new value, from the token: 0 to 1."""

    def __init__(self, width, heads):
        super().__init__()
        self.linear = nn.Linear(width, heads, bias=False)

    def forward(self, x):
        return torch.sigmoid(self.linear(x))


class Nothing(nn.Module):
    """In the place of a part that there is none of: gives its last argument back, or None."""

    def __init__(self, gives=True):
        super().__init__()
        self.gives = gives

    def forward(self, *inputs):
        return inputs[-1] if self.gives else None


def head_count(width, heads):
    """Heads of the layer: as many as the model asks for."""
    return heads


def shift(width):
    """Looks back before the projections: module (x [B, T, width], kept) -> (x, kept). Here nothing."""
    return Pass()


class Pass(nn.Module):
    """No looking back."""

    def forward(self, x, kept):
        return x, None


def convolution(width):
    """Mixes near tokens of queries, keys and values: module (x [B, T, width], past) -> (x, past)."""
    return DepthwiseConvolution(width)


def query_features(q):
    """Queries [B, T, H, D] as the memory reads with them: of unit length."""
    return F.normalize(q, dim=-1, eps=1e-6)


def key_features(k):
    """Keys [B, T, H, D] as the memory writes under them: of unit length."""
    return F.normalize(k, dim=-1, eps=1e-6)


def value_features(v):
    """Values [B, T, H, D] as they are written: unchanged."""
    return v


def step(width, heads):
    """Step size of the delta rule: module x [B, T, width] -> [B, T, H]."""
    return SigmoidStep(width, heads)


def decay(width, heads):
    """Log of what a memory keeps from token to token: module x [B, T, width] -> [B, T, H] up to 0, or None for all."""
    return Nothing(gives=False)


def memory(q, k, v, beta, g, state):
    """The recurrence: (o [B, T, H, D], state). All that reaches later tokens beyond the convolution passes here."""
    if g is None:
        return delta_rule(q, k, v, beta, initial_state=state)
    return gated_delta_rule(q, k, v, beta, g, initial_state=state)


def skip(width, heads):
    """A way around the memory: module (v [B, T, H, D], o) -> o. Here there is none."""
    return Nothing()


def route(width, heads):
    """How much each head counts: module (x [B, T, width], o [B, T, H, D]) -> o. Here all alike."""
    return Nothing()


def norm(size):
    """Normalises the outputs [B, T, H, size] of the heads."""
    return nn.RMSNorm(size, eps=1e-5)


def gate(width):
    """Gates the output: module (x [B, T, width], y [B, T, width]) -> y. Here nothing."""
    return Nothing()


def initialise(layer):
    """Sets first weights of a new layer: as PyTorch leaves them."""


class Layer(nn.Module):
    """The layer: parts made by the functions above, in their order."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads = head_count(width, heads)
        self.shift = shift(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.convolution = convolution(3 * width)
        self.step, self.decay = step(width, heads), decay(width, heads)
        self.skip, self.route = skip(width, heads), route(width, heads)
        self.norm = norm(width // heads)
        self.gate = gate(width)
        self.out = nn.Linear(width, width, bias=False)
        initialise(self)

    def forward(self, x, state=None):
        state = state or {}
        seen, kept = self.shift(x, state.get("kept"))
        mixed, past = self.convolution(self.qkv(seen), state.get("past"))
        q, k, v = mixed.reshape(*x.shape[:2], 3, self.heads, -1).unbind(2)
        q, k, v = query_features(q), key_features(k), value_features(v)
        o, held = memory(q, k, v, self.step(seen), self.decay(seen), state.get("held"))
        o = self.route(seen, self.skip(v, o))
        y = self.gate(seen, self.norm(o).flatten(2))
        return self.out(y), {"kept": kept, "past": past, "held": held}
