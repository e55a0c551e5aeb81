"""The trained policy: a small transformer over tokens, with sampling from cached keys and values."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["Policy"]


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_in, self.norm_mlp = nn.RMSNorm(width), nn.RMSNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: torch.Tensor, cache: dict[str, torch.Tensor] | None) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(self.norm_in(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = parts
        seen = None
        if cache:
            k, v = torch.cat([cache["k"], k], 2), torch.cat([cache["v"], v], 2)
            seen = torch.ones(length, k.shape[2], dtype=torch.bool).tril(k.shape[2] - length)
        if cache is not None:
            cache.update(k=k, v=v)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=seen is None and length > 1)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm_mlp(x))


class Policy(nn.Module):
    """A causal transformer with learned positions.

    Args:
        vocabulary: number of tokens.
        length: the longest sequence, prompt and answer together.
    """

    def __init__(self, vocabulary: int, length: int, width: int = 64, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.randn(length, width) * 0.02)
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        nn.init.normal_(self.tokens.weight, std=0.1)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(
        self, tokens: torch.Tensor, caches: list[dict[str, torch.Tensor]] | None = None, start: int = 0
    ) -> torch.Tensor:
        """Return logits [n, length, vocabulary] of next tokens for [n, length]; `start` is the first position."""
        x = self.tokens(tokens) + self.places[start : start + tokens.shape[1]]
        for index, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[index])
        return self.head(self.norm(x))

    def _begin(self, prompts: torch.Tensor, copies: int) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
        """Return logits for the first token after each prompt, and the caches to continue from, `copies` times each.

        Copies of a prompt share its computation, in training too.
        """
        caches: list[dict[str, torch.Tensor]] = [{} for _ in self.blocks]
        logits = self(prompts, caches)[:, -1:]
        for cache in caches:
            for name in cache:
                cache[name] = cache[name].repeat_interleave(copies, 0)
        return logits.repeat_interleave(copies, 0), caches

    @torch.no_grad()
    def write(
        self, prompts: torch.Tensor, count: int, copies: int = 1, rng: torch.Generator | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write `count` tokens after each prompt, `copies` times: sampled with `rng`, else the likeliest.

        Returns:
            Tokens and their log-probabilities, [len(prompts) * copies, count]; copies of a prompt are adjacent.
        """
        logits, caches = self._begin(prompts, copies)
        written, logps = [], []
        for index in range(count):
            logp = F.log_softmax(logits[:, -1], -1)
            token = logp.argmax(-1) if rng is None else torch.multinomial(logp.exp(), 1, generator=rng)[:, 0]
            written.append(token)
            logps.append(logp.gather(1, token[:, None])[:, 0])
            if index < count - 1:
                logits = self(token[:, None], caches, prompts.shape[1] + index)
        return torch.stack(written, 1), torch.stack(logps, 1)

    def score(self, prompts: torch.Tensor, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log-probability of each written token and the entropy at its position, in nats.

        Args:
            prompts: [n, length].
            tokens: [n * copies, count], copies of a prompt adjacent; the results have this shape.
        """
        first, caches = self._begin(prompts, len(tokens) // len(prompts))
        logits = torch.cat([first, self(tokens[:, :-1], caches, prompts.shape[1])], 1)
        logp = F.log_softmax(logits, -1)
        entropy = -(logp.exp() * logp).sum(-1)
        return logp.gather(2, tokens[..., None])[..., 0], entropy
