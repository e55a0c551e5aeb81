"""The nodes that pass a filter, in an order; an update takes only the changed node."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from typing import Any, Literal

from engine.state.node import Node

__all__ = ["Listing", "Order"]

Order = Literal["tree", "best", "newest", "islands"]
"""Orders of rows: by descent, by rank, by age, by island and rank. A filtered tree is a list by id."""


class Listing:
    """Sorted ids of the nodes that pass.

    Args:
        passes: the filter.
        order: `best` (ties and unranked nodes by age), `newest`, or by id.
        key: what to sort by instead; it ends with the node's id.
    """

    def __init__(
        self, passes: Callable[[Node], bool], order: Order, key: Callable[[Node], tuple[Any, ...]] | None = None
    ) -> None:
        self.rows: list[int] = []
        self._passes = passes
        self._order = order
        self._own_key = key
        self._sorted: list[tuple[Any, ...]] = []
        self._keys: dict[int, tuple[Any, ...]] = {}

    def load(self, nodes: Iterable[Node]) -> None:
        """Replace all nodes."""
        self._keys = {node.id: self._key(node) for node in nodes if self._passes(node)}
        self._sorted = sorted(self._keys.values())
        sign = -1 if self._order == "newest" and self._own_key is None else 1
        self.rows = [sign * key[-1] for key in self._sorted]

    def update(self, node: Node) -> None:
        """Update the list for a new or changed node."""
        key = self._key(node) if self._passes(node) else None
        before = self._keys.get(node.id)
        if key == before:
            return
        if before is not None:
            place = bisect_left(self._sorted, before)
            del self._sorted[place], self.rows[place], self._keys[node.id]
        if key is not None:
            place = bisect_left(self._sorted, key)
            insort(self._sorted, key)
            self.rows.insert(place, node.id)
            self._keys[node.id] = key

    def add(self, key: tuple[Any, ...]) -> None:
        """Add a row that is no node; its number is the last part of its key."""
        place = bisect_left(self._sorted, key)
        if place == len(self._sorted) or self._sorted[place] != key:
            self._sorted.insert(place, key)
            self.rows.insert(place, key[-1])

    def _key(self, node: Node) -> tuple[Any, ...]:
        if self._own_key is not None:
            return self._own_key(node)
        if self._order == "best":
            return (-node.fitness if node.fitness is not None else float("inf"), node.id)
        return (0.0, -node.id if self._order == "newest" else node.id)
