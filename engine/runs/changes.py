"""Check a change of a run's settings: what `set` may change, and to what."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import msgspec

from engine.errors import UsageError
from engine.settings.decode import convert_table, deep_merge
from engine.settings.fitness import fitness_of
from engine.settings.model import Settings, check_whole
from engine.state.run_state import RunState

__all__ = ["FIXED", "check_fitness", "check_set"]

FIXED = ("designer.name", "designer.bandit", "devices", "seed", "data_seed", "answers")
"""Settings that an engine reads once, at its start; `answers` since what is asked of a person then depends on it."""


def check_set(settings: Settings, change: dict[str, Any]) -> Settings:
    """Return the settings with a change on top.

    Raises:
        UsageError: a key is unknown, a value does not fit, or the setting cannot change during a run.
    """
    merged = convert_table(deep_merge(msgspec.to_builtins(settings), change), Settings, "set", UsageError)
    fixed = [path for path in FIXED if attrgetter(path)(merged) != attrgetter(path)(settings)]
    if fixed:
        raise UsageError(f"set: {', '.join(fixed)} cannot change during a run")
    check_whole(merged)
    return merged


def check_fitness(state: RunState, settings: Settings) -> None:
    """Check that the best node has all that a fitness weighs, and that some node keeps its constraints.

    It goes through all nodes if the constraints change.

    Raises:
        UsageError: nothing would be ranked, or nothing could be the best.
    """
    spec, best = state.spec, state.best_node
    if best is None:
        return
    seed = state.nodes[0]
    measured, baseline = ({**node.metrics, spec.metric: node.score} for node in (best, seed))
    if fitness_of(settings.fitness, spec.metric, spec.direction, measured, baseline, best.judge) is None:
        known = [name for name in measured if name in baseline]
        judged = "it was judged" if best.judge is not None else "it was not judged"
        raise UsageError(
            f"set: the best node, {best.id}, lacks a part of that fitness",
            f"It and the baseline have {', '.join(known)}; {judged}",
        )
    if settings.fitness.require != state.settings.fitness.require:
        _check_constraints(state, settings.fitness.require)


def _check_constraints(state: RunState, require: dict[str, str]) -> None:
    breaches = [
        state.breach(node.id, node.score, node.metrics, require)
        for node in state.nodes
        if node.fitness is not None and not node.doubted
    ]
    nearest = min(breaches, key=lambda breach: 0.0 if breach is None else breach.excess, default=None)
    if nearest is not None:
        raise UsageError(
            "set: every node breaks these constraints, so that none could be the best",
            f"The nearest: {nearest.reason}",
        )
