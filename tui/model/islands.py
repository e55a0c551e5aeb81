"""The nodes of a run grouped by island, best first in each, below a heading that can be folded."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.state.node import Node
from tui.model.labels import outcome
from tui.model.listing import Listing
from tui.model.run_model import RunModel

__all__ = ["Islands", "has_islands", "heading_of", "heading_pieces", "island_of"]

_HEADING = -2
"""A heading is the row of this number less that of its island, so that -1 is that of nodes without one."""
_NONE = -1
_ISLANDS_IN = 50
"""The first nodes, of which one has an island if any has."""


def has_islands(nodes: list[Node]) -> bool:
    """Return whether the sampler of a run keeps islands."""
    return any(node.island is not None for node in nodes[:_ISLANDS_IN])


def island_of(row: int) -> int | None:
    """Return the island of a heading, -1 for that of nodes without an island; None if the row is a node."""
    return None if row >= 0 else _HEADING - row


def heading_of(island: int) -> int:
    """Return the row of an island's heading."""
    return _HEADING - island


def heading_pieces(islands: Islands, model: RunModel, island: int) -> list[tuple[str, str]]:
    """Return the row above the nodes of an island, as texts with looks: their number and the best of them."""
    name = f"Island {island}" if island >= 0 else "On no island"
    best = islands.bests.get(island)
    node = model.node(best[1]) if best is not None else None
    told = f", best {outcome(model, node).strip()} #{node.id}" if node is not None else ""
    count = islands.counts.get(island, 0)
    return [
        (f"{'▸' if island in islands.folded else '▾'} {name}", "heading"),
        (f"  {count:,} node{'s' * (count != 1)}{told}", "dim"),
    ]


class Islands(Listing):
    """Rows of headings and nodes; an update takes only the changed node.

    Args:
        passes: the filter.
        folded: islands whose nodes are not shown, -1 for nodes without one.
    """

    def __init__(self, passes: Callable[[Node], bool], folded: frozenset[int] = frozenset()) -> None:
        super().__init__(self._is_shown, "best", _key)
        self.counts: dict[int, int] = {}
        """How many nodes each island has."""
        self.bests: dict[int, tuple[float, int]] = {}
        """By island the best node: its fitness with the sign turned, and its number."""
        self.folded = folded
        self._fits = passes
        self._groups: dict[int, int] = {}

    def load(self, nodes: Iterable[Node]) -> None:
        """Replace all nodes."""
        kept = list(nodes)
        self.counts, self.bests, self._groups = {}, {}, {}
        super().load(kept)
        for node in kept:
            self._count(node)

    def update(self, node: Node) -> None:
        """Update the rows for a new or changed node."""
        super().update(node)
        self._count(node)

    def group_of(self, node: Node) -> int:
        """Return the island of a node, -1 if it has none."""
        return _group(node)

    def _is_shown(self, node: Node) -> bool:
        return _group(node) not in self.folded and self._fits(node)

    def _count(self, node: Node) -> None:
        """Count a node for its island, whether or not the island is folded."""
        if not self._fits(node):
            # Rare, and only a filter does it: the best of the island may be another one now.
            if self._groups.pop(node.id, None) is not None:
                self.counts[_group(node)] -= 1
            return
        group = _group(node)
        if node.id not in self._groups:
            self._groups[node.id] = group
            self.counts[group] = self.counts.get(group, 0) + 1
            if self.counts[group] == 1:
                self.add((group, 0, 0.0, heading_of(group)))
        if node.fitness is not None:
            self.bests[group] = min(self.bests.get(group, (-node.fitness, node.id)), (-node.fitness, node.id))


def _group(node: Node) -> int:
    return _NONE if node.island is None else node.island


def _key(node: Node) -> tuple[int, int, float, int]:
    return _group(node), 1, -node.fitness if node.fitness is not None else float("inf"), node.id
