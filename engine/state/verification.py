"""What events about a verification change in the state of a run, and how a node in quarantine is held back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from engine.journal import events as ev
from engine.journal.events import Event
from engine.state.fronts import leave
from engine.state.gain import mean_of
from engine.state.node import Node, Verification
from engine.state.run_state import RunState
from engine.state.submissions import name_of_draw, settle

__all__ = ["VERIFY_HANDLERS", "cap_of"]


def _verify_started(state: RunState, event: Event, data: ev.VerifyStarted) -> None:
    node = state.node(event.node)
    if data.reference is not None:
        state.node(data.reference)
    state.verifications[node.id] = Verification(data)
    state.draws = max([state.draws, *data.draws])


def _verify_measured(state: RunState, event: Event, data: ev.VerifyMeasured) -> None:
    verification = state.verifications.get(state.node(event.node).id)
    if verification is not None:
        verification.measured.append(data)
    if state.submitted:
        settle(state, name_of_draw(event.node or 0, data.draw, data.of))


def _verify_done(state: RunState, event: Event, data: ev.VerifyDone) -> None:
    node = state.node(event.node)
    state.verifications.pop(node.id, None)
    if data.reference is not None:
        state.node(data.reference)
    if data.asked:
        node.asked = data
        if data.outcome != "quarantined":
            # It was compared with the seed, which neither crowns a node nor takes a doubt away.
            return
    node.check = data
    node.cap = cap_of(state, node)
    if node.quarantined:
        leave(state, node)


_BROKEN = -1e150
"""Standing of a node that breaks its constraints by infinitely much; half of it if by nothing. No fitness is so low,
and sums and ratios of such numbers stay finite."""


def cap_of(state: RunState, node: Node) -> float | None:
    """Return the upper bound of a node's standing; None if there is none.

    That of a quarantined node is its fitness on fresh data, below the node that it did not beat; that of a node which
    breaks a constraint is below all that break none.
    """
    breach = state.breach(node.id, node.score, node.metrics) if node.broken else None
    if breach is not None:
        share = 1.0 if breach.excess == math.inf else breach.excess / (1.0 + breach.excess)
        return _BROKEN * (0.5 + 0.5 * share)
    check = node.check
    if check is None or not node.quarantined:
        return None
    if check.reference is None:
        scores = [state.fitness(node.id, score, node.metrics, node.judge) for score in check.scores]
        return min((score for score in scores if score is not None), default=-math.inf)
    before, gains = state.nodes[check.reference].fitness, check.gains[len(check.gains) - check.fresh :]
    if before is None or not gains or not check.fresh:
        return -math.inf
    return math.nextafter(before + min(0.0, mean_of(gains)), -math.inf)


VERIFY_HANDLERS: dict[str, Callable[[RunState, Event, Any], None]] = {
    ev.VerifyStarted.KIND: _verify_started,
    ev.VerifyMeasured.KIND: _verify_measured,
    ev.VerifyDone.KIND: _verify_done,
}
"""By kind, what takes an event into a state."""
