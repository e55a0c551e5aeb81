"""Run a trained model whose layers stay in the candidate's sandbox: everything else is computed in this process."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import evolve_task
import numpy as np
import torch
import torch.nn.functional as F
from contract import Budget, audit, audit_time, check_state, checked, compare, forward
from problems import Problem
from torch import nn

from kernels.language_model import LanguageModel

__all__ = ["Trained", "check_future", "summarise"]

MIXER = ".mixer."
LEAK = 1e-2
"""Differences up to this share of the outputs' size count as rounding, which grows from layer to layer."""


class _Away(nn.Module):
    """Stand in for a layer: ask a session for that layer's outputs."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index
        self.ask: Callable[[int, np.ndarray], np.ndarray] | None = None

    def forward(self, x: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        assert self.ask is not None
        return torch.from_numpy(self.ask(self.index, x.cpu().numpy())).to(x.device), None


class Trained:
    """A trained model.

    Args:
        problem: the problem that it was trained on.
        state: all its weights by name, as returned by the sandbox.
        most: the most numbers in one of its layers.
        report: the report of this evaluation.

    Raises:
        Invalid: weights are missing, not finite or of another shape, or a layer holds too many.
    """

    def __init__(self, problem: Problem, state: Any, most: int, report: Any) -> None:
        self.problem = problem
        self.rows = int(report.settings["rows"])
        torch.set_num_threads(int(report.settings["threads"]))
        self.device = torch.device("cuda" if report.device else "cpu")
        ours, self.layers = _part(state, problem.size.layers)
        for layer in self.layers:
            count = sum(value.size for value in layer.values())
            if count > most:
                raise evolve_task.Invalid(f"parameter budget: the layer holds {count:,} numbers; {most:,} may be")
        places = iter(range(problem.size.layers))
        self.model = LanguageModel(problem.size, lambda width, heads: _Away(next(places)))
        wanted = {name: tuple(value.shape) for name, value in self.model.state_dict().items()}
        if {name: value.shape for name, value in ours.items()} != wanted:
            raise evolve_task.Invalid("training handed back another model than it was to train")
        self.model.load_state_dict({name: torch.from_numpy(value) for name, value in ours.items()})
        self.model.to(self.device).eval()
        self.passes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        """Inputs and outputs of each layer's last pass."""

    def features(self, session: Any, tokens: np.ndarray) -> np.ndarray:
        """Return the inputs of the output layer, [n, context, width], for tokens [n, context]."""
        size = self.problem.size
        session.call("load", size.width, size.heads, self.layers)

        def ask(index: int, x: np.ndarray) -> np.ndarray:
            y, _ = forward(session, index, x, True)
            self.passes[index] = x, y
            return y

        for block in self.model.blocks:
            block.mixer.ask = ask
        found = []
        with torch.no_grad():
            for part in torch.from_numpy(tokens.astype(np.int64)).split(self.rows):
                x = self.model.embedding(part.to(self.device))
                for block in self.model.blocks:
                    x, _ = block(x, None)
                found.append(self.model.norm(x).cpu().numpy())
        return np.concatenate(found)

    def first_pieces(self, session: Any) -> list[tuple[np.ndarray, int, Any]]:
        """Feed each layer the beginnings of some sequences of its last pass.

        Returns:
            For each layer the sequences, how many tokens of them it got, and what the sandbox handed back.
        """
        rng = np.random.default_rng([self.problem.seed, 17])
        found = []
        for index, (every, _) in sorted(self.passes.items()):
            x = every[rng.permutation(len(every))[: int(rng.integers(2, 6))]]
            cut = int(rng.integers(1, x.shape[1]))
            found.append((x, cut, session.call("piece", index, x[:, :cut], None)))
        return found

    def check_pieces(self, session: Any, pieces: list[tuple[np.ndarray, int, Any]], budget: Budget) -> None:
        """Feed the rest of the sequences to a process that never saw their beginnings, with the state handed on.

        Raises:
            Invalid: outputs are others than without a break, or a state is too large.
        """
        for index, (x, cut, first) in enumerate(pieces):
            whole, _ = forward(session, index, x)
            if not isinstance(first, list) or len(first) != 3:
                raise evolve_task.Invalid("pieces: the sandbox handed back no state")
            check_state(first[2], cut, budget)
            rest = session.call("piece", index, x[:, cut:], first[1])
            if not isinstance(rest, list) or len(rest) != 3:
                raise evolve_task.Invalid("pieces: the sandbox handed back no outputs")
            check_state(rest[2], x.shape[1], budget)
            compare(
                np.concatenate([checked(first[0], x[:, :cut]), checked(rest[0], x[:, cut:])], 1),
                whole,
                f"pieces: when {x.shape[1]} tokens are fed in two pieces, the second after token {cut} to a process "
                "that has only the state of the first, outputs are others",
            )

    def audit(self, session: Any, budget: Budget) -> dict[str, float]:
        """Count the work of each layer at many lengths, beside the passes that are scored; return the first one's.

        Raises:
            Invalid: a layer does more work than its contract allows, or other work than in the scored passes.
        """
        found = [
            audit(session, index, x, y, budget, np.random.default_rng([self.problem.seed, 19, index]))
            for index, (x, y) in sorted(self.passes.items())
        ]
        return found[0] | {"growth": max(part["growth"] for part in found)}

    def audit_time(self, session: Any, clock: Callable[[], float]) -> None:
        """Compare how the time of one of the layers grows with the length with how the counted work does.

        Raises:
            Invalid: time grows faster.
        """
        rng = np.random.default_rng([self.problem.seed, 23])
        index = int(rng.integers(self.problem.size.layers))
        audit_time(session, index, self.problem.size.width, rng, clock)

    def cuts(self) -> np.ndarray:
        """Return a random position in each held-out sequence."""
        count, length = self.problem.inputs.shape
        return np.random.default_rng([self.problem.seed, 13]).integers(1, length - 1, count)

    def cut_rows(self) -> np.ndarray:
        """Return the held-out sequences, each with the end of another one after its cut."""
        inputs = self.problem.inputs
        later = np.arange(inputs.shape[1]) > self.cuts()[:, None]
        return np.where(later, np.roll(inputs, 1, 0), inputs)

    def measure(self, features: np.ndarray) -> tuple[float, float]:
        """Return the mean loss in nats and the share of right predictions over counted held-out tokens."""
        problem = self.problem
        surprise, right = 0.0, 0
        with torch.no_grad():
            for start in range(0, len(features), self.rows):
                stop = start + self.rows
                marks = torch.from_numpy(problem.marks[start:stop])
                x = torch.from_numpy(features[start:stop])[marks].to(self.device)
                targets = torch.from_numpy(problem.tokens[start:stop, 1:].astype(np.int64))[marks].to(self.device)
                logits = F.linear(x, self.model.embedding.weight)
                surprise += float(F.cross_entropy(logits, targets, reduction="sum"))
                right += int((logits.argmax(-1) == targets).sum())
        count = int(problem.marks.sum())
        return surprise / count, right / count


def _part(state: Any, layers: int) -> tuple[dict[str, np.ndarray], list[dict[str, np.ndarray]]]:
    """Split a state into our weights by name, and each layer's weights by the layer's own names."""
    if not isinstance(state, dict) or not all(isinstance(v, np.ndarray) for v in state.values()):
        raise evolve_task.Invalid("training must hand back arrays by name")
    ours: dict[str, np.ndarray] = {}
    theirs: list[dict[str, np.ndarray]] = [{} for _ in range(layers)]
    for name, value in state.items():
        if not np.isfinite(value).all():
            raise evolve_task.Invalid(f"the trained weights {name[:60]!r} are not finite")
        head, mixer, tail = name.partition(MIXER)
        number = head.rpartition(".")[2]
        if mixer and number.isdecimal() and int(number) < layers:
            theirs[int(number)][tail] = value
        else:
            ours[name] = value.astype(np.float32)
    return ours, theirs


def check_future(model: Trained, whole: np.ndarray, cut: np.ndarray) -> float:
    """Compare results for the held-out sequences with those of a process that got another future.

    Each sequence is cut at a position of its own, unknown to the layer: one that uses later tokens returns other
    results before the cut.

    Returns:
        The largest difference, as a share of the outputs' size.

    Raises:
        Invalid: results before the cut depend on tokens after it.
    """
    before = np.arange(whole.shape[1]) <= model.cuts()[:, None]
    size = float(np.sqrt(np.mean(np.square(whole, dtype=np.float64)))) + 1e-6
    moved = np.abs(cut - whole).max(-1)[before] / size
    largest = float(moved.max())
    if not largest <= LEAK:
        raise evolve_task.Invalid(
            f"leakage: after training on {model.problem.name}, {int((moved > LEAK).sum()):,} of {len(moved):,} outputs "
            f"change when the tokens after them do (by up to {largest:.2g} of their size)"
        )
    return largest


def summarise(models: list[Trained], features: list[np.ndarray]) -> dict[str, Any]:
    """Return the score and its parts; the last of the models of one recall problem is that at the end of training."""
    losses = []
    recalls: dict[tuple[str, int], list[float]] = {}
    for model, found in zip(models, features, strict=True):
        surprise, right = model.measure(found)
        if model.problem.corpus:
            losses.append(surprise)
        else:
            recalls.setdefault((model.problem.name, model.problem.seed), []).append(right)
    areas = {key: statistics.fmean(values) for key, values in recalls.items()}
    names = dict.fromkeys(name for name, _ in recalls)
    loss, recall = statistics.fmean(losses), statistics.fmean(areas.values())
    text = next(model.problem for model in models if model.problem.corpus)
    return {
        "score": 0.5 * recall + 0.5 * (1 - loss / math.log(text.size.vocabulary)),
        "loss": loss,
        "bits": loss / math.log(2),
        "recall": recall,
        "recall_at_the_end": statistics.fmean(values[-1] for values in recalls.values()),
        **{f"recall_{name}": statistics.fmean(area for key, area in areas.items() if key[0] == name) for name in names},
        "text": text.corpus.name if text.corpus else "",
    }
