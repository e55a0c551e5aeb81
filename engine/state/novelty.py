"""What a run learns of programs that are alike: how often they behave the same.

A design and a measured node that it resembles are a pair: the nearest one that differs in numbers alone, and the
nearest one that differs otherwise. Once the design is measured, the two behaved the same (score and metrics equal to
the last digit) or not. Pairs are counted by how alike they are, apart for the two kinds, and apart where no meaning of
the change is known. A design is as good as
measured if, of at least ten pairs that are no nearer than its own, the nearest ones, nine of ten behaved the same, with
one more counted as if it had not. So nothing is refused before ten such pairs are seen, and nothing ever is in a run in
which the same behaviour does not occur.
"""

from __future__ import annotations

import math

import msgspec

from engine.journal import events as ev
from engine.state.node import Node, Novelty, Pairs, ProbeRecord
from engine.state.run_state import RunState
from engine.text import counted

__all__ = [
    "count_near",
    "count_probed",
    "hold_taken",
    "likely_same",
    "note_probe",
    "spared_told",
    "taken_over",
    "trusts_probe",
]

LEAST = 10
"""Pairs that a judgement needs."""
SHARE = 0.9
"""Share of them that must have behaved the same."""
_BINS = 24
_PROBED = 3
"""Nodes alike in the probe that are measured all the same before a score is taken over."""


def bin_of(alike: float) -> int:
    """Return the bin of a likeness from 0 to 1: half octaves of what differs, 0 for all, 24 for 1/4096 or less."""
    apart = 1.0 - alike
    return _BINS if apart <= 2.0 ** (-_BINS / 2) else max(0, math.floor(-2.0 * math.log2(apart)))


def likely_same(novelty: Novelty, near: ev.Near) -> tuple[int, int] | None:
    """Return how many pairs speak for the same behaviour of a design, and of how many; None if it is to be measured."""
    pairs = novelty.pairs.get(_kind(near))
    if pairs is None:
        return None
    same = seen = 0
    for at in range(bin_of(near.alike), -1, -1):
        same, seen = same + pairs.same[at], seen + pairs.same[at] + pairs.other[at]
        if seen >= LEAST:
            return (same, seen) if same >= SHARE * (seen + 1) else None
    return None


def count_near(state: RunState, node: Node) -> None:
    """Count the pairs of a node that was measured for the first time; one without a score says nothing of its kind."""
    nears = state.novelty.waiting.pop(node.id, [])
    if node.score is None or node.taken_from is not None:
        return
    for near in nears:
        pairs = state.novelty.pairs.setdefault(_kind(near), Pairs.empty(_BINS + 1))
        counted = pairs.same if _behave_alike(node, state.node(near.node)) else pairs.other
        counted[bin_of(near.alike)] += 1


def _kind(near: ev.Near) -> str:
    return near.kind if near.meaning else f"{near.kind}, lines alone"


def _behave_alike(node: Node, other: Node) -> bool:
    return node.score == other.score and node.metrics == other.metrics


# The probe


def note_probe(state: RunState, node: int, data: ev.EvalStageDone) -> None:
    """Remember what a node returned in the task's probe until it is measured."""
    if data.status == "ok":
        state.probes.waiting[node] = behaviour_of(data)


def behaviour_of(data: ev.EvalStageDone) -> bytes:
    """Return what is compared of a probe: the score and all metrics, to the last digit."""
    return msgspec.json.encode((data.score, data.metrics), order="deterministic")


def hold_taken(state: RunState, node: Node, again: bool) -> None:
    """Keep in mind which scores were taken over, and count one if it is the node's first."""
    if node.taken_from is None:
        state.probes.held.pop(node.id, None)
        return
    state.probes.held[node.id] = None
    state.probes.taken += not again


def count_probed(state: RunState, node: Node) -> None:
    """Count whether a node behaves as the first one with the same probe does, be it by failing."""
    behaviour = state.probes.waiting.pop(node.id, None)
    if behaviour is None or node.status == "cancelled" or node.taken_from is not None:
        return
    first = state.probes.first.setdefault(behaviour, node.id)
    if first != node.id:
        if not _behave_alike(node, state.nodes[first]):
            state.probes.wrong += 1
        elif node.score is not None:
            state.probes.right += 1


def trusts_probe(probes: ProbeRecord) -> bool:
    """Tell whether probes were always right, three times at least."""
    return probes.right >= _PROBED and not probes.wrong


def taken_over(state: RunState, node: Node) -> Node | None:
    """Return the node whose score a probed node may take over; None if it is to be measured.

    That must be measured itself, stand in no doubt, break no constraint and be no better than the best.
    """
    first = state.probes.first.get(state.probes.waiting.get(node.id, b""))
    if first is None or not trusts_probe(state.probes):
        return None
    other = state.nodes[first]
    sound = other.status == "ok" and other.score is not None and other.eligible
    return other if sound and not state.beats(other.fitness, state.best) else None


def spared_told(state: RunState) -> str:
    """Return which evaluations were spared, and whether the probe is trusted; empty if there is nothing to tell."""
    told = []
    if state.novelty.refused:
        told.append(f"{counted(state.novelty.refused, 'design')} refused as near to a measured one")
    if state.probes.taken:
        told.append(f"{counted(state.probes.taken, 'score')} taken over in the probe")
    if state.probes.wrong:
        told.append("the probe was wrong, so that all is measured and no score that was taken over counts")
    return ", ".join(told)
