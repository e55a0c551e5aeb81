"""Whether a run stands still: the pace and the size of its gains, and what each action against a standstill brought.

A gain counts from the last one that counted: many small ones add up. It counts if it is above the task's noise, above
the spread of the seed's own measurements, and above a thousandth of all that the run has gained; so a search that only
turns the last digits stands still. Of several objectives every rise of the hypervolume counts. If gains come by chance
at an even rate, a wait of six times the mean of the last five has a chance of (1 + 6/5)^-5 = 2 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from engine.journal import events as ev
from engine.state.bandit import Credit
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = [
    "STANDSTILL_HANDLERS",
    "action_of",
    "count_gain",
    "count_measured",
    "counts",
    "end_of_standstill",
    "in_force",
    "least_counted",
    "raised_by",
    "rescale",
    "stands_still",
    "window_of",
]

_PACE = 6
"""Multiples of the mean wait for a gain after which a run stands still."""
_LEAST = 20
"""Fewest evaluations of the window: the first gains of a run say little of its pace."""
_GAINS = 5
"""Newest gains that the pace is taken from."""
_SHARE = 1e-3
"""Share of all that a run has gained below which a gain does not count."""


def least_counted(state: RunState) -> float:
    """Return the gain in fitness over the mark above which it counts."""
    still = state.standstill
    least = max(state.noise, still.spread)
    if still.mark is not None and still.first is not None:
        gained = _SHARE * (still.mark - still.first)
        least = max(least, gained) if math.isfinite(gained) else least
    return least


def counts(state: RunState, fitness: float | None) -> bool:
    """Return whether a new best of this fitness would be a gain that counts."""
    mark = state.standstill.mark
    return fitness is not None and mark is not None and fitness - mark > least_counted(state)


def window_of(state: RunState) -> int:
    """Return the evaluations without a gain after which the run stands still."""
    window = state.settings.standstill.window
    if window != "auto":
        return window
    gaps = state.standstill.gaps
    return max(_LEAST, math.ceil(_PACE * sum(gaps) / len(gaps))) if gaps else _LEAST


def stands_still(state: RunState) -> bool:
    """Return whether no design has gained for as long as the window."""
    still = state.standstill
    return still.mark is not None and still.waited >= window_of(state)


def in_force(state: RunState) -> bool:
    """Return whether an action holds for the next round."""
    still = state.standstill
    return still.acted is not None and state.rounds_started - still.acted_round < still.acted.rounds


def end_of_standstill(state: RunState, node: Node, fitness: float | None, more: int = 0) -> ev.StandstillEnded | None:
    """Return the event that goes with the crowning of a node if that is the gain that a standstill waited for.

    Args:
        state: the run before the crowning.
        node: the node.
        fitness: its fitness then.
        more: evaluations that are recorded together with it.
    """
    still = state.standstill
    if still.began is None or fitness is None or still.mark is None or not counts(state, fitness):
        return None
    if state.settings.fitness.kind == "pareto":
        return None
    return ev.StandstillEnded(still.waited + more, min(fitness - still.mark, 1e300), action_of(state, node))


def count_measured(state: RunState, node: Node) -> None:
    """Count a design that was measured for the first time, for the action that it was made under."""
    if not node.round:
        return
    still = state.standstill
    still.evaluations += 1
    action = action_of(state, node)
    if action:
        still.credits.setdefault(action, Credit()).tries += 1
        if action == "restart" and still.acted is not None and node.parents[:1] and node.parents[0] in still.restarted:
            still.restarted.append(node.id)
    if node.hypervolume is not None and still.mark is not None:
        # It is on a front of several objectives, and raised it.
        if action:
            still.credits.setdefault(action, Credit()).gain += min(raised_by(state, node), 1e300)
        _gain(state)


def count_gain(state: RunState, node: Node, before: float | None) -> None:
    """Take in a node that was crowned.

    Args:
        state: the run, before or after the crowning.
        node: the node.
        before: the fitness of the best before it; None if there was none.
    """
    still, fitness = state.standstill, node.fitness
    if fitness is None:
        return
    if still.mark is None or still.first is None:
        still.mark = still.first = fitness
        still.marked_at = still.evaluations
        return
    if state.settings.fitness.kind == "pareto":
        # Its gains are rises of the hypervolume.
        return
    action = action_of(state, node)
    if action and before is not None and fitness > before:
        still.credits.setdefault(action, Credit()).gain += min(fitness - before, 1e300)
    if counts(state, fitness):
        still.mark = fitness
        _gain(state)
    elif fitness < still.mark:
        # The best was measured again, or doubted.
        still.mark = fitness


def _gain(state: RunState) -> None:
    """Start to wait for the next gain."""
    still = state.standstill
    still.gaps.append(max(1, still.waited))
    del still.gaps[:-_GAINS]
    still.marked_at = still.evaluations
    still.began = still.acted = None
    still.restarted = []


def raised_by(state: RunState, node: Node) -> float:
    """Return by how much a node that was measured last raised the hypervolume."""
    before = state.front_steps[-2].hypervolume if len(state.front_steps) > 1 else 0.0
    return 0.0 if node.hypervolume is None else max(0.0, node.hypervolume - before)


def rescale(state: RunState) -> None:
    """Take up what nodes are ranked by now: gains in the former terms say nothing any more."""
    still, best = state.standstill, state.best_node
    first = state.nodes[0].fitness if state.nodes else None
    still.credits.clear()
    still.spread = 0.0
    still.mark = None if best is None else best.fitness
    still.first = still.mark if first is None else first


def action_of(state: RunState, node: Node) -> str:
    """Return the action that a node's round is under; empty if none is, or if the round has ended."""
    round_ = state.open_rounds.get(node.round)
    return "" if round_ is None or round_.learned is None else round_.learned.action


def _began(state: RunState, event: ev.Event, data: ev.StandstillBegan) -> None:
    state.standstill.began = data


def _acted(state: RunState, event: ev.Event, data: ev.StandstillActed) -> None:
    still = state.standstill
    for node in data.nodes:
        state.node(node)
    still.acted, still.acted_round = data, state.rounds_started
    still.restarted = list(data.nodes)
    still.actions += 1
    credit = still.credits.setdefault(data.action, Credit())
    credit.chosen += 1


def _noise(state: RunState, event: ev.Event, data: ev.NoiseMeasured) -> None:
    state.standstill.spread = data.spread


STANDSTILL_HANDLERS: dict[str, Callable[[RunState, ev.Event, Any], None]] = {
    ev.StandstillBegan.KIND: _began,
    ev.StandstillActed.KIND: _acted,
    ev.NoiseMeasured.KIND: _noise,
}
"""By kind, what takes an event into a state; `standstill.ended` only tells people what a crowning did."""
