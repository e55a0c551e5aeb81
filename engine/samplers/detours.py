"""Parents to take in a standstill, whichever sampler the run has: almost any node, or a restart from a diverse elite.

No draw looks at more than a few nodes. The elite is chosen once an action, by a pass over all of them.
"""

from __future__ import annotations

import heapq
import random

import numpy as np
from numpy.typing import NDArray

from engine.programs.minhash import mean_distance, read_sketch
from engine.samplers.base import Sample
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["DETOURS", "choose_elite", "detour"]

DETOURS = ("explore", "restart")
"""The actions that choose parents."""
_ROUND = 3
"""Nodes of a tournament: the best of three draws has a rank of 3/4 on average."""
_LOOKED_AT = 12
"""Draws at most to find them among nodes without a score."""
_ELITE = 5
_POOL = 100
"""Best nodes from which the elite is chosen."""
_SHARE = 0.5
"""Share of the ranked nodes that may be of the elite: the others are too bad to go on from."""


def detour(state: RunState, sample: Sample, inspirations: int, rng: random.Random) -> Sample | None:
    """Return the context of a design under the action in force; None if it chooses no parent, or finds none.

    The parent is the best of three drawn evenly (tournament selection; Goldberg and Deb, "A comparative analysis of
    selection schemes used in genetic algorithms", 1991): of all nodes (`explore`), or of those that the run was
    restarted from and what was made from them (`restart`).

    Args:
        state: the run.
        sample: what the run's sampler chose; its nodes are shown beside the parent.
        inspirations: how many at most.
        rng: the only source of chance.
    """
    acted = state.standstill.acted
    if acted is None or acted.action not in DETOURS:
        return None
    restarted = state.standstill.restarted if acted.action == "restart" else None
    if restarted is not None and not restarted:
        return None
    found: list[Node] = []
    for _ in range(_LOOKED_AT):
        node = state.nodes[rng.randrange(len(state.nodes)) if restarted is None else rng.choice(restarted)]
        if node.standing is not None and not node.pruned:
            found.append(node)
            if len(found) == _ROUND:
                break
    if not found:
        return None
    parent = max(found, key=lambda node: (node.standing, node.id))
    shown = [node for node in (sample.parent, *sample.inspirations) if node != parent.id][:inspirations]
    what, rank = "restart" if restarted is not None else "any node", state.rank(parent.id)
    place = "which breaks a constraint" if rank is None else f"rank {rank}"
    return Sample(parent.id, shown, f"standstill: {what}, {place}", parent.island)


def choose_elite(state: RunState, rng: random.Random) -> list[int]:
    """Return up to five good nodes that differ most from the best and from each other; it goes through all nodes.

    One after the other, the node is taken whose least distance to the best and to those taken is the largest.

    Args:
        state: the run.
        rng: draws among equals.
    """
    best = state.best_node
    ranked = ((node.standing, node.id) for node in state.nodes if node.standing is not None and not node.pruned)
    pool = heapq.nlargest(min(_POOL, max(2 * _ELITE, int(_SHARE * len(state.ranked)))), ranked)
    sketches = {node: read_sketch(state.nodes[node].sketch) for _, node in pool}
    left = [node for _, node in pool if best is None or node != best.id]
    taken: list[int] = []
    start = None if best is None else read_sketch(best.sketch)
    least = {node: _distance(sketches[node], start) for node in left}
    while left and len(taken) < _ELITE:
        far = max(least[node] for node in left)
        node = rng.choice([node for node in left if least[node] == far])
        taken.append(node)
        left.remove(node)
        for other in left:
            least[other] = min(least[other], _distance(sketches[other], sketches[node]))
    return taken


def _distance(one: NDArray[np.uint8] | None, other: NDArray[np.uint8] | None) -> float:
    return 0.0 if one is None or other is None else mean_distance(one, other[None])
