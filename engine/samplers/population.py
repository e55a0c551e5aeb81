"""Population: the nodes that can be sampled, sorted by fitness; most samplers are built on it."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.journal.events import EvalDone, Event, LearnDone, NodePruned, NodeRestored, VerifyDone
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["Population", "draw", "expansions", "is_moved", "rank_weights"]


_MOVING = frozenset((EvalDone, NodePruned, NodeRestored))


def expansions(node: Node) -> int:
    """Return how often a node was taken as a parent, including rounds in flight."""
    return node.expanded


def is_moved(event: Event, state: RunState) -> bool:
    """Return whether an event that `state` has folded may give its node another standing, or takes it out or in."""
    if type(event.data) is VerifyDone:
        return event.node is not None and state.nodes[event.node].quarantined
    return type(event.data) in _MOVING


class Population:
    """Keep ranked nodes sorted by fitness in growing arrays, so that a draw is a few passes of numpy over them.

    A node enters when it gets a fitness, moves when it is measured again or quarantined, leaves when it is pruned or
    loses its fitness, and returns when it is restored. Among equals the one that entered last ranks higher.

    Args:
        keep: how many nodes, the best, the sampler sees; None: all. The others are kept, and one of them moves up when
            a better one is pruned.
        count: counts something of a node; called again whenever the node was shown to a design.
    """

    def __init__(self, keep: int | None = None, count: Callable[[Node], int] = expansions) -> None:
        self._keep = keep
        self._count = count
        self._size = 0
        self._scores: NDArray[np.float64] = np.empty(64)
        self._ids: NDArray[np.int64] = np.empty(64, dtype=np.int64)
        self._counts: NDArray[np.float64] = np.empty(64)
        self._known: dict[int, float] = {}
        """The fitness by which each node is sorted."""

    def __len__(self) -> int:
        """Return how many nodes the sampler sees."""
        return self._size if self._keep is None else min(self._keep, self._size)

    def __contains__(self, node: int) -> bool:
        return node in self._known

    @property
    def scores(self) -> NDArray[np.float64]:
        """Return the fitness of each node, ascending (higher is better), shape [n]."""
        return self._scores[self._size - len(self) : self._size]

    @property
    def ids(self) -> NDArray[np.int64]:
        """Return the nodes in the order of `scores`, shape [n]."""
        return self._ids[self._size - len(self) : self._size]

    @property
    def counts(self) -> NDArray[np.float64]:
        """Return the result of `count` for each node, in the order of `scores`, shape [n]."""
        return self._counts[self._size - len(self) : self._size]

    def apply(self, event: Event, state: RunState) -> bool:
        """Take in an event that `state` has folded; return whether nodes entered, left or moved."""
        data = event.data
        if event.node is not None and is_moved(event, state):
            return self.put(state.nodes[event.node])
        if isinstance(data, LearnDone):
            for shown in {data.parent, *data.inspirations}:
                if shown in self._known:
                    self._counts[self._position(shown)] = self._count(state.nodes[shown])
        return False

    def put(self, node: Node) -> bool:
        """Insert, move or remove a node, as its fitness and marks say; return whether anything changed."""
        changed = self._remove(node.id)
        if node.standing is not None and not node.pruned:
            self._insert(node.id, node.standing, float(self._count(node)))
            return True
        return changed

    def _insert(self, node: int, score: float, count: float) -> None:
        size = self._size
        if size == len(self._ids):
            self._scores, self._ids, self._counts = (
                np.concatenate([self._scores, np.empty(size)]),
                np.concatenate([self._ids, np.empty(size, dtype=np.int64)]),
                np.concatenate([self._counts, np.empty(size)]),
            )
        at = int(self._scores[:size].searchsorted(score, side="right"))
        column: NDArray[np.float64] | NDArray[np.int64]
        for column, value in ((self._scores, score), (self._ids, node), (self._counts, count)):
            column[at + 1 : size + 1] = column[at:size]
            column[at] = value
        self._size += 1
        self._known[node] = score

    def _remove(self, node: int) -> bool:
        if node not in self._known:
            return False
        at, size = self._position(node), self._size
        column: NDArray[np.float64] | NDArray[np.int64]
        for column in (self._scores, self._ids, self._counts):
            column[at : size - 1] = column[at + 1 : size]
        self._size -= 1
        del self._known[node]
        return True

    def _position(self, node: int) -> int:
        score = self._known[node]
        scores = self._scores[: self._size]
        first = int(scores.searchsorted(score, side="left"))
        if self._ids[first] == node:
            return first
        last = int(scores.searchsorted(score, side="right"))
        return first + int(np.flatnonzero(self._ids[first:last] == node)[0])

    def ranks(self) -> NDArray[np.float64]:
        """Return ranks from 0 for the worst to 1 for the best, shape [n]; equal scores share their mean rank."""
        scores = self.scores
        count = len(scores)
        ranks = np.arange(count, dtype=np.float64)
        changes = scores[1:] != scores[:-1]
        if not changes.all():
            # Equal scores are adjacent: their mean rank lies half-way between the first and the last of them.
            begins = np.concatenate([[0], changes.nonzero()[0] + 1])
            lengths = np.diff(begins, append=count)
            ranks = np.repeat(begins + (lengths - 1) / 2.0, lengths)
        ranks /= max(1, count - 1)
        return ranks


def draw(weights: NDArray[np.float64], count: int, rng: random.Random) -> list[int]:
    """Draw positions without replacement, each with a probability in proportion to its weight.

    Args:
        weights: not negative, shape [n]; if all remaining weights are 0, the rest is drawn evenly.
        count: how many to draw; if there are fewer, all are drawn.
    """
    left = np.array(weights)
    taken: list[int] = []
    for _ in range(min(count, len(left))):
        sums = left.cumsum()
        if sums[-1] > 0.0:
            at = int(sums.searchsorted(rng.random() * sums[-1], side="right"))
            # If the product was rounded up to the whole sum, it belongs to the last position with a weight.
            at = at if at < len(left) else int(np.flatnonzero(left)[-1])
        else:
            others = np.setdiff1d(np.arange(len(left)), taken)
            at = int(others[rng.randrange(len(others))])
        taken.append(at)
        left[at] = 0.0
    return taken


def rank_weights(count: int, alpha: float) -> NDArray[np.float64]:
    """Return r^(−α) for ranks r = count … 1, shape [count]: weights for scores in ascending order."""
    return np.arange(count, 0, -1, dtype=np.float64) ** -alpha
