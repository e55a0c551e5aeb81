"""A small decoder-only language model around any sequence mixer, and its named sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from kernels.layers import State

__all__ = ["SIZES", "LanguageModel", "Size"]


@dataclass(frozen=True)
class Size:
    """The shape of a model and of its training batches."""

    vocabulary: int
    layers: int
    width: int
    heads: int
    context: int
    """Tokens per training sequence."""


# The two larger ones are the exploration and verification sizes of ASI-Arch (arXiv 2507.18074), with GPT-2's tokens.
SIZES = {
    "cpu-tiny": Size(vocabulary=256, layers=2, width=64, heads=2, context=128),
    "cpu-small": Size(vocabulary=256, layers=4, width=128, heads=4, context=256),
    "20m": Size(vocabulary=50_257, layers=8, width=256, heads=8, context=2048),
    "340m": Size(vocabulary=50_257, layers=24, width=1024, heads=8, context=2048),
}
"""Models by name. The cpu sizes read bytes and train in seconds to minutes on two cores; the others need a GPU."""


class LanguageModel(nn.Module):
    """Pre-norm blocks of a sequence mixer and a gated feed-forward part; input and output share their embedding.

    Args:
        size: the shape.
        mixer: builds the mixer of a block from (width, heads): a module with `forward(x, state) -> (y, state)`, like
            those of `kernels.layers`.
    """

    def __init__(self, size: Size, mixer: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.size = size
        self.embedding = nn.Embedding(size.vocabulary, size.width)
        self.blocks = nn.ModuleList(_Block(size.width, mixer(size.width, size.heads)) for _ in range(size.layers))
        self.norm = nn.RMSNorm(size.width, eps=1e-5)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, tokens: Tensor, state: list[State] | None = None) -> tuple[Tensor, list[State]]:
        """Return the logits of each next token.

        Args:
            tokens: [B, T], integers below the vocabulary size.
            state: the state returned for the preceding tokens; None at the start of a sequence.

        Returns:
            Logits, [B, T, vocabulary], and the state, one entry per block.
        """
        x = self.embedding(tokens)
        after = []
        for i, block in enumerate(self.blocks):
            x, reached = block(x, None if state is None else state[i])
            after.append(reached)
        return F.linear(self.norm(x), self.embedding.weight), after

    def loss(self, tokens: Tensor) -> Tensor:
        """Return the mean cross-entropy, in nats, of all tokens of [B, T + 1] but the first, given those before."""
        logits, _ = self(tokens[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())

    def parameters_count(self) -> int:
        """Return the number of trainable parameters, embedding included."""
        return sum(p.numel() for p in self.parameters())


class _Block(nn.Module):
    """x + mixer(norm(x)), then x + feed-forward(norm(x)) with SwiGLU (Shazeer, 2020) of 8/3 the width."""

    def __init__(self, width: int, mixer: nn.Module) -> None:
        super().__init__()
        inner = -(-8 * width // 3 // 16) * 16
        self.mixer, self.mixer_norm = mixer, nn.RMSNorm(width, eps=1e-5)
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.rise = nn.Linear(width, 2 * inner, bias=False)
        self.fall = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        mixed, state = self.mixer(self.mixer_norm(x), state)
        x = x + mixed
        gate, value = self.rise(self.norm(x)).chunk(2, -1)
        return x + self.fall(F.silu(gate) * value), state
