"""By age: the oldest or the newest node is the parent, and nothing is shown beside it; two baselines without selection.

`iid` always takes the oldest node, the seed: designs are independent draws, as in best-of-n sampling, so that what is
found does not depend on what was found before. `sequential` takes the newest node that ran: one program that is changed
again and again, better or not. A search that does not beat both gains nothing by selection.
"""

from __future__ import annotations

import heapq
import random

from engine.journal.events import EvalDone, Event, NodePruned, NodeRestored
from engine.samplers.base import Sample
from engine.state.run_state import RunState

__all__ = ["ByAge"]


class ByAge:
    """Take the oldest or the newest node that has a score and is not pruned.

    Args:
        newest: whether the newest, else the oldest.
    """

    def __init__(self, newest: bool) -> None:
        self._sign = -1 if newest else 1
        self._why = "sequential, the newest that ran" if newest else "iid, the oldest"
        self._queue: list[int] = []
        """A heap of signed ids; a node that was pruned or lost its score leaves it when it comes to the top."""
        self._queued: set[int] = set()

    def apply(self, event: Event, state: RunState) -> None:
        """Queue a node that got a score or was restored."""
        if not isinstance(event.data, EvalDone | NodePruned | NodeRestored) or event.node is None:
            return
        if event.node not in self._queued and _stands(event.node, state):
            heapq.heappush(self._queue, self._sign * event.node)
            self._queued.add(event.node)

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Return the node without inspirations."""
        while self._queue and not _stands(abs(self._queue[0]), state):
            self._queued.discard(abs(heapq.heappop(self._queue)))
        return Sample(abs(self._queue[0]), [], self._why) if self._queue else None


def _stands(node: int, state: RunState) -> bool:
    return state.nodes[node].standing is not None and not state.nodes[node].pruned
