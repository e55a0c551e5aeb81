"""Call the candidate in its sandbox and check the returned numbers before the trainer uses them."""

from __future__ import annotations

import time
from typing import Any

import evolve_task
import numpy as np

__all__ = ["Candidate", "Hand", "probe"]


class Candidate:
    """A session with a program."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.seconds = 0.0
        """Time spent waiting for it, measured in this process."""

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of `beside.py`."""
        began = time.perf_counter()
        found = self._session.call(function, *arguments)
        self.seconds += time.perf_counter() - began
        return found


class Hand:
    """Implement `trainer.Algorithm` with the program's functions, for one training.

    Args:
        name: the training's name, used in messages and to load the program separately for it.
    """

    def __init__(self, candidate: Candidate, name: str) -> None:
        self._candidate, self._name = candidate, name

    def advantages(self, rewards: np.ndarray, mask: np.ndarray, logp_old: np.ndarray, progress: float) -> np.ndarray:
        """Return the program's advantages, [P, G, T].

        Raises:
            Invalid: they are not a tensor, have another shape, or hold numbers that are not finite.
        """
        found = self._candidate.call("advantages", self._name, rewards, mask, logp_old, progress)
        found = self._numbers(found, "advantages() must return a tensor", (mask.shape, rewards.shape), progress)
        return found * np.ones_like(mask) if found.ndim == mask.ndim else found[..., None] * np.ones_like(mask)

    def gradient(self, parts: dict[str, np.ndarray], progress: float) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the program's loss and its gradients by `logp` and `entropy`; zeros if it does not depend on them.

        Raises:
            Invalid: the loss is not a scalar tensor, or a number is not finite.
        """
        found = self._candidate.call("gradient", self._name, parts, progress)
        if not isinstance(found, list) or len(found) != 3:
            raise evolve_task.Invalid("the sandbox handed back no gradient")
        loss = self._numbers(found[0], "policy_loss() must return a tensor with one number", ((), (1,)), progress)
        shape = parts["logp"].shape
        by = [
            np.zeros(shape, np.float32)
            if item is None
            else self._numbers(item, f"the gradient of policy_loss() by {name} must be a tensor", (shape,), progress)
            for item, name in zip(found[1:], ("logp", "entropy"), strict=True)
        ]
        return float(loss.sum()), by[0], by[1]

    def _numbers(self, found: Any, rule: str, shapes: tuple[tuple[int, ...], ...], progress: float) -> np.ndarray:
        if not isinstance(found, np.ndarray) or found.shape not in shapes:
            what = f"one of the shape {list(found.shape)}" if isinstance(found, np.ndarray) else "something else"
            wanted = " or ".join(str(list(shape)) for shape in shapes)
            raise evolve_task.Invalid(f"{rule} of the shape {wanted}; it returned {what}")
        bad = int((~np.isfinite(found)).sum())
        if bad:
            where = f"{self._name}, after {progress:.0%} of its steps"
            raise evolve_task.Invalid(f"{rule} of finite numbers; {bad} of {found.size} were not ({where})")
        return found.astype(np.float32)


def probe(hand: Hand) -> None:
    """Check a program against the contract on invented numbers, before any training.

    Raises:
        Invalid: a rule is broken; the message gives the measured figure.
    """
    rng = np.random.default_rng(0)
    prompts, answers, length = 4, 8, 6
    shape = (prompts, answers, length)
    mask = (np.arange(length) < rng.integers(1, length + 1, (prompts, answers, 1))).astype(np.float32)
    rewards = rng.random((prompts, answers)).astype(np.float32)
    rewards[0] = 0.5  # equal rewards for all answers to a prompt: nothing to learn from it
    logp_old = -rng.random(shape, np.float32) * 3
    found = hand.advantages(rewards, mask, logp_old, 0.5)
    parts = {
        "logp": logp_old + 0.1 * rng.standard_normal(shape).astype(np.float32),
        "logp_old": logp_old,
        "logp_ref": logp_old + 0.5 * rng.standard_normal(shape).astype(np.float32),
        "advantages": found,
        "mask": mask,
        "entropy": rng.random(shape, np.float32),
    }
    _, by_logp, by_entropy = hand.gradient(parts, 0.5)
    largest = float(np.abs(by_logp).max())
    if largest == 0:
        raise evolve_task.Invalid("policy_loss() teaches nothing: its gradient by logp is zero everywhere")
    for by, name in ((by_logp, "logp"), (by_entropy, "entropy")):
        outside = float((np.abs(by) * (1 - mask)).max())
        if outside > 1e-6 * max(largest, float(np.abs(by).max())):
            raise evolve_task.Invalid(
                f"policy_loss() looks beyond the end of the answers: its gradient by {name} is {outside:.3g} where the "
                f"mask is 0 (at most {largest:.3g} where it is 1)"
            )
