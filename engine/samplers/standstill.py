"""What a run does about a standstill: when it is told, and which action is tried for how long.

A decision is a function of the state and of a generator that follows from the run's seed, and it is an event: resume,
replay and fork need nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from engine.journal.events import Data, StandstillActed, StandstillBegan
from engine.samplers.detours import choose_elite
from engine.settings.standstill import Action
from engine.state.bandit import choose_ucb
from engine.state.run_state import RunState
from engine.state.standstill import in_force, least_counted, stands_still, window_of

__all__ = ["acts_on", "due"]

_SHARE = 0.5
"""Share of the rounds that an action shapes; the others go on as before, since waiting may be all that it takes."""
_LEAST_ROUNDS = 8
"""Rounds for which an action is in force at least, before another one is tried."""


def due(
    state: RunState,
    possible: Sequence[Action],
    rng: random.Random,
    complete: Callable[[StandstillActed], StandstillActed],
) -> list[Data]:
    """Return the events that are due before the next round starts: a standstill that begins, an action against it.

    Args:
        state: the run.
        possible: the actions that the run can take.
        rng: for the choice that may be due now.
        complete: adds to an action what it needs from elsewhere.
    """
    settings, still = state.settings.standstill, state.standstill
    told: list[Data] = []
    if settings.action == "off":
        return told
    if still.began is None:
        if not stands_still(state):
            return told
        told.append(StandstillBegan(still.waited, window_of(state), least_counted(state)))
    if settings.action == "tell" or in_force(state):
        return told
    arms = [action for action in settings.actions if action in possible]
    if not arms:
        return told
    action = choose_ucb(still.credits, arms, rng)
    nodes = choose_elite(state, rng) if action == "restart" else []
    others = [arm for arm in arms if arm != "restart"]
    if action == "restart" and not nodes and others:
        # Only the best has a score. Where nothing else can be tried, this keeps the pass over all nodes from every
        # round.
        action = choose_ucb(still.credits, others, rng)
    rounds = max(_LEAST_ROUNDS, window_of(state) // 2)
    return [*told, complete(StandstillActed(action, rounds, _why(state, action), nodes))]


def acts_on(state: RunState, round_: int, rng: random.Random) -> str:
    """Return the action that a started round is under; empty in half of them, and if none is in force.

    An action whose rounds are over is in force no longer, also where settings leave no other one to follow it.
    """
    acted = state.standstill.acted
    if acted is None or round_ - state.standstill.acted_round > acted.rounds:
        return ""
    if state.settings.standstill.action != "act" or rng.random() >= _SHARE:
        return ""
    return acted.action


def _why(state: RunState, action: str) -> str:
    credit = state.standstill.credits.get(action)
    if credit is None or not credit.chosen:
        return "not tried before"
    return f"gained {credit.gain:.4g} in {credit.tries} evaluations so far"
