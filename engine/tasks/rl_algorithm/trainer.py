"""Train a small policy on one problem with an algorithm that only computes numbers.

The algorithm never sees the policy, the prompts, the answers or the tokens. It receives rewards, masks and
log-probabilities, and returns advantages and the gradient of its loss; everything else happens here.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import torch
from policy import Policy
from problems import Problem, draw, mark, rewards

__all__ = ["Algorithm", "Run"]

Array = np.ndarray


class Algorithm(Protocol):
    """A candidate's interface, with arrays."""

    def advantages(self, rewards: Array, mask: Array, logp_old: Array, progress: float) -> Array:
        """Return advantages [P, G, T] for P prompts with G answers of up to T tokens each."""

    def gradient(self, parts: dict[str, Array], progress: float) -> tuple[float, Array, Array]:
        """Return the loss and its gradients by `logp` and `entropy`, [P, G, T] each.

        Args:
            parts: logp, logp_old, logp_ref, advantages, mask, entropy, [P, G, T] each.
        """


class Run:
    """One training, on one problem with one seed.

    Args:
        settings: prompts, answers, epochs, batches, steps, learning_rate, width, layers, heads, held_out.
        held_out_seed: seed of the held-out prompts: equal for every program and every training seed.
    """

    def __init__(self, problem: Problem, seed: int, settings: dict[str, Any], held_out_seed: int = 10**6) -> None:
        self.problem, self.settings = problem, settings
        torch.manual_seed(seed)
        self.rng = torch.Generator().manual_seed(seed + 1)
        sizes = {name: settings[name] for name in ("width", "layers", "heads")}
        length = problem.width + problem.longest
        self.policy = Policy(problem.vocabulary, length, **sizes)
        self.reference = Policy(problem.vocabulary, length, **sizes)
        self.reference.load_state_dict(self.policy.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.policy.parameters(), lr=settings["learning_rate"], betas=(0.9, 0.98), weight_decay=0.0
        )
        held_out = torch.Generator().manual_seed(held_out_seed)
        self.held_out = draw(problem, settings["held_out"], held_out, held_out=True)
        self.done = 0

    @property
    def progress(self) -> float:
        """Return the share of completed steps."""
        return self.done / self.settings["steps"]

    def step(self, algorithm: Algorithm) -> dict[str, float]:
        """Run one round of sampling and learning; return its measurements."""
        settings, problem = self.settings, self.problem
        count, copies = settings["prompts"], settings["answers"]
        prompts, answers = draw(problem, count, self.rng)
        tokens, logp_old = self.policy.write(prompts, problem.longest, copies, self.rng)
        mask = mark(tokens, problem.end)
        reward, _, exact = rewards(tokens, answers.repeat_interleave(copies, 0), problem.end)
        with torch.no_grad():
            logp_ref, _ = self.reference.score(prompts, tokens)

        def shaped(x: torch.Tensor) -> torch.Tensor:
            return x.view(count, copies, *x.shape[1:])

        advantages = torch.from_numpy(
            algorithm.advantages(shaped(reward).numpy(), shaped(mask).numpy(), shaped(logp_old).numpy(), self.progress)
        )
        fixed = {"logp_old": shaped(logp_old), "logp_ref": shaped(logp_ref), "advantages": advantages}
        fixed["mask"] = shaped(mask)
        sums = dict.fromkeys(("loss", "entropy", "kl", "outside", "gradient"), 0.0)
        updates = 0
        for _ in range(settings["epochs"]):
            for chosen in torch.randperm(count, generator=self.rng).chunk(settings["batches"]):
                found = self._update(algorithm, prompts[chosen], shaped(tokens)[chosen], fixed, chosen)
                updates += 1
                for name, value in found.items():
                    sums[name] += value
        self.done += 1
        measured = {name: value / updates for name, value in sums.items()}
        return measured | {"reward": float(reward.mean()), "sampled_exact": float(exact.mean())}

    def _update(
        self,
        algorithm: Algorithm,
        prompts: torch.Tensor,
        tokens: torch.Tensor,
        fixed: dict[str, torch.Tensor],
        chosen: torch.Tensor,
    ) -> dict[str, float]:
        """Take one optimizer step on some of the prompts."""
        shape = tokens.shape
        logp, entropy = (x.view(shape) for x in self.policy.score(prompts, tokens.flatten(0, 1)))
        parts = {name: value[chosen] for name, value in fixed.items()}
        parts |= {"logp": logp.detach(), "entropy": entropy.detach()}
        loss, by_logp, by_entropy = algorithm.gradient(
            {name: value.numpy() for name, value in parts.items()}, self.progress
        )
        mask = parts["mask"]
        self.optimizer.zero_grad()
        torch.autograd.backward(
            [logp, entropy], [torch.from_numpy(by_logp) * mask, torch.from_numpy(by_entropy) * mask]
        )
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.settings["clip_norm"])
        if not math.isfinite(float(norm)):
            raise FloatingPointError("the gradient by the policy's weights is not finite")
        self.optimizer.step()
        tokens_in = mask.sum()
        difference = (parts["logp_ref"] - parts["logp"]).clamp(-20, 20)
        ratio = (parts["logp"] - parts["logp_old"]).clamp(-20, 20).exp()
        return {
            "loss": loss,
            "entropy": float((parts["entropy"] * mask).sum() / tokens_in),
            "kl": float(((difference.exp() - difference - 1) * mask).sum() / tokens_in),
            "outside": float((((ratio - 1).abs() > 0.2) * mask).sum() / tokens_in),
            "gradient": float(norm),
        }

    def measure(self, count: int | None = None) -> tuple[float, float]:
        """Answer held-out prompts greedily; return the share of right answers and the share of right tokens."""
        prompts, answers = (part[:count] for part in self.held_out)
        tokens, _ = self.policy.write(prompts, self.problem.longest)
        _, share, exact = rewards(tokens, answers, self.problem.end)
        return float(exact.mean()), float(share.mean())
