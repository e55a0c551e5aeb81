"""FeatureGrid: map nodes to cells of feature space, for MAP-Elites.

Features are `complexity` (the program's length in bytes), `diversity` (mean distance to a reference set, see
`engine.programs.minhash`) or the name of a metric that the evaluator returns. Cells are computed from a node's features
and the current ranges, so that a node changes its cell when a range grows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.programs.minhash import mean_distance, read_sketch
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["REFERENCES", "FeatureGrid"]

REFERENCES = 20
"""Size of the reference set of `diversity`: the run's first programs."""


class FeatureGrid:
    """Hold the features of nodes and the range of each feature, and divide each dimension into `bins` parts.

    A node without a feature (a metric that is missing or not a number, an old journal without sketches) lies in the
    first bin of that dimension. A range spans all nodes that ever had a score, including pruned ones.

    Args:
        features: names of the dimensions, [d].
        bins: number of parts of each dimension.
    """

    def __init__(self, features: Sequence[str], bins: int) -> None:
        self.features = tuple(features)
        self.bins = bins
        self.cells_in_all = bins ** len(self.features)
        self._strides = bins ** np.arange(len(self.features), dtype=np.int64)
        self._values: NDArray[np.float64] = np.full((64, len(self.features)), np.nan)
        """Features by node id; NaN if a node has none."""
        self._references: NDArray[np.uint8] = np.empty((0, 32), dtype=np.uint8)
        self._ranges: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._looked = 0
        """How many nodes were considered for the reference set."""
        self._sketched: dict[int, NDArray[np.uint8]] = {}
        """Sketches of the nodes whose diversity may still change, because the reference set is not full."""

    def put(self, node: Node, state: RunState) -> None:
        """Store a node's features, for the first time or after it was measured again."""
        while node.id >= len(self._values):
            self._values = np.concatenate([self._values, np.full_like(self._values, np.nan)])
        # Different code with the same behaviour is not new: it shares the cell of the node that it behaves like.
        like = node if node.same_as is None else state.nodes[node.same_as]
        for dimension, name in enumerate(self.features):
            if name == "diversity":
                self._put_diversity(node.id, like.sketch, dimension, state)
            elif name == "complexity":
                self._set(node.id, dimension, float(like.size) if like.size else math.nan)
            else:
                self._set(node.id, dimension, _number(node.metrics.get(name)))

    def _set(self, node: int, dimension: int, value: float) -> None:
        before = float(self._values[node, dimension])
        self._values[node, dimension] = value
        if self._ranges is None or value == before:
            return
        low, high = self._ranges
        if before in (low[dimension], high[dimension]):
            # It may have been the only node at the edge: compute the range anew when it is needed next.
            self._ranges = None
        elif value < low[dimension] or value > high[dimension]:
            low[dimension], high[dimension] = min(low[dimension], value), max(high[dimension], value)

    def _put_diversity(self, node: int, text: str, dimension: int, state: RunState) -> None:
        grown = self._extend_references(state)
        sketch = read_sketch(text)
        if sketch is None:
            return
        self._sketched[node] = sketch
        for changed, one in self._sketched.items() if grown else [(node, sketch)]:
            self._set(changed, dimension, mean_distance(one, self._references))
        if len(self._references) == REFERENCES:
            # The reference set is full, so no diversity changes any more.
            self._sketched.clear()

    def _extend_references(self, state: RunState) -> bool:
        before = len(self._references)
        while len(self._references) < REFERENCES and self._looked < len(state.nodes):
            sketch = read_sketch(state.nodes[self._looked].sketch)
            self._looked += 1
            if sketch is not None:
                self._references = np.concatenate([self._references, sketch[None]])
        return len(self._references) > before

    @property
    def ranges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the least and largest value of each feature over all nodes, [d] each; infinite if no node has it."""
        if self._ranges is None:
            self._ranges = (
                np.fmin.reduce(self._values, initial=np.inf),
                np.fmax.reduce(self._values, initial=-np.inf),
            )
        return self._ranges

    def cells(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the cell of each of these nodes under the current ranges, [n], from 0 to bins^d − 1."""
        low, high = self.ranges
        with np.errstate(over="ignore", invalid="ignore"):
            width = np.where(high > low, high - low, 1.0)
            parts = np.nan_to_num((self._values[ids] - low) / width * self.bins)
        bins = np.clip(parts, 0, self.bins - 1).astype(np.int64)
        return np.asarray(bins @ self._strides, dtype=np.int64)

    def place(self, cell: int) -> tuple[int, ...]:
        """Return the bins of a cell, one a dimension."""
        return tuple(int(part) for part in cell // self._strides % self.bins)

    def elites(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the best node of every cell that holds any.

        Args:
            ids: nodes in ascending order of their scores, [n].

        Returns:
            Positions in `ids`, ascending, so that the best elite stands last.
        """
        best = np.full(self.cells_in_all, -1, dtype=np.int64)
        # maximum.at is defined for repeated cells: the position of the better node stays.
        np.maximum.at(best, self.cells(ids), np.arange(len(ids)))
        return np.sort(best[best >= 0])


def _number(value: object) -> float:
    """Return a metric as a number; NaN if it is not one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan
