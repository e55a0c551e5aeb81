"""The population as flat rows in depth-first order, updated node by node.

Everything is iterative, because a lineage may be thousands of generations long. Any order of inserts gives the same
rows: siblings are ordered by id, and a node whose parent is not known yet waits for it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

__all__ = ["Forest"]


class Forest:
    """A forest of nodes by id, and its rows that are not folded away."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        """Ids of the rows to show, in depth-first order."""
        self.folded: set[int] = set()
        """Nodes whose descendants are hidden."""
        self.parents: dict[int, int | None] = {}
        self.depths: dict[int, int] = {}
        self.descendants: dict[int, int] = {}
        """The number of descendants of each node."""
        self._children: dict[int | None, list[int]] = {None: []}
        self._waiting: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self.parents)

    def __contains__(self, node: int) -> bool:
        return node in self.parents

    def load(self, nodes: Iterable[tuple[int, int | None]]) -> None:
        """Add many nodes `(id, parent)` at once."""
        parents, depths, below = self.parents, self.depths, self._children
        for node, parent in nodes:
            # A run's nodes come in order, each after its parent: then nothing needs to be searched.
            if parent is not None and parent < node and parent in parents and node not in parents and not self._waiting:
                parents[node] = parent
                depths[node] = depths[parent] + 1
                siblings = below.setdefault(parent, [])
                siblings.append(node) if not siblings or siblings[-1] < node else insort(siblings, node)
            else:
                self._place(node, parent, counted=False)
        self.descendants = dict.fromkeys(self.parents, 0)
        # A parent's id is below its children's, so this meets every node after all of its descendants.
        for node in sorted(self.parents, reverse=True):
            above = self.parents[node]
            if above is not None:
                self.descendants[above] += self.descendants[node] + 1
        self._rebuild()

    def insert(self, node: int, parent: int | None) -> None:
        """Add one node; the rows after it move down."""
        placed = self._place(node, parent)
        if len(placed) > 1:
            # Other nodes had waited for this one, which the engine's own order never causes.
            self._rebuild()
        elif placed and not self.is_hidden(node):
            follower = self._follower(node)
            self.rows.insert(len(self.rows) if follower is None else self.rows.index(follower), node)

    def children(self, node: int | None) -> list[int]:
        """Return the node's children by id; the roots for None."""
        return self._children.get(node, [])

    def is_hidden(self, node: int) -> bool:
        """Return whether an ancestor is folded."""
        if not self.folded:
            return False
        above = self.parents[node]
        while above is not None:
            if above in self.folded:
                return True
            above = self.parents[above]
        return False

    def lineage(self, node: int) -> list[int]:
        """Return the node, its parent, and so on up to a root."""
        path = [node]
        while (above := self.parents[path[-1]]) is not None:
            path.append(above)
        return path

    def fold(self, node: int) -> None:
        """Hide the node's descendants."""
        if node in self.folded or not self.children(node):
            return
        self.folded.add(node)
        self._rebuild()

    def unfold(self, node: int) -> None:
        """Show the node's descendants again, except below folded ones."""
        if node in self.folded:
            self.folded.discard(node)
            self._rebuild()

    def reveal(self, node: int) -> None:
        """Unfold every ancestor of the node."""
        hiding = self.folded.intersection(self.lineage(node)[1:])
        if hiding:
            self.folded -= hiding
            self._rebuild()

    def fold_all(self, but: Iterable[int] = ()) -> None:
        """Fold every node that has children, except those named."""
        self.folded = {node for node in self.parents if self.children(node)} - set(but)
        self._rebuild()

    def fold_again(self, folded: Iterable[int]) -> None:
        """Fold the given nodes that exist, as in another view of the same run."""
        self.folded = {node for node in folded if node in self.parents}
        if self.folded:
            self._rebuild()

    def unfold_all(self) -> None:
        """Show every node."""
        self.folded.clear()
        self._rebuild()

    def _place(self, node: int, parent: int | None, counted: bool = True) -> list[int]:
        """Place a node in the forest, and those that waited for it; return the placed ones, parents first."""
        if node in self.parents:
            return []
        if parent is not None and parent >= node:
            # No engine writes this: a node cannot descend from a later one, and a cycle would never end.
            parent = None
        if parent is not None and parent not in self.parents:
            self._waiting.setdefault(parent, []).append(node)
            return []
        placed = []
        pending = [(node, parent)]
        while pending:
            child, above = pending.pop()
            self.parents[child] = above
            self.depths[child] = 0 if above is None else self.depths[above] + 1
            self.descendants[child] = 0
            insort(self._children.setdefault(above, []), child)
            while counted and above is not None:
                self.descendants[above] += 1
                above = self.parents[above]
            placed.append(child)
            pending.extend((waiting, child) for waiting in self._waiting.pop(child, ()))
        return placed

    def _follower(self, node: int) -> int | None:
        """Return the row after the node's subtree, or None at the end."""
        current = node
        while True:
            above = self.parents[current]
            siblings = self._children[above]
            place = bisect_left(siblings, current) + 1
            if place < len(siblings):
                return siblings[place]
            if above is None:
                return None
            current = above

    def everything(self) -> list[int]:
        """Return all nodes in depth-first order, folded ones included."""
        return self._walk(set()) if self.folded else self.rows

    def _rebuild(self) -> None:
        self.rows = self._walk(self.folded)

    def _walk(self, folded: set[int]) -> list[int]:
        rows: list[int] = []
        pending = list(reversed(self._children[None]))
        while pending:
            node = pending.pop()
            rows.append(node)
            if node not in folded:
                pending.extend(reversed(self._children.get(node, ())))
        return rows
