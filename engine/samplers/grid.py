"""FeatureGrid: which cell of feature space a node lies in, for MAP-Elites.

Features are `complexity` (the program's length in bytes), `diversity` (mean distance to a reference set, see
`engine.programs.minhash`) or the name of a metric that the evaluator returns. Cells follow from a node's features and
today's ranges, so that no node stays in a cell where it no longer belongs.
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
"""The reference set of `diversity` is the run's first so many programs."""


class FeatureGrid:
    """Features of nodes, the range of each feature, and cells of `bins` parts a dimension.

    A node without a feature (a metric that is missing or no number, an old journal without sketches) lies in the
    first bin of that dimension. A range spans all nodes that ever had a score, pruned ones too.

    Args:
        features: names of the dimensions, [d].
        bins: parts of each dimension.
    """

    def __init__(self, features: Sequence[str], bins: int) -> None:
        self.features = tuple(features)
        self.bins = bins
        self.cells_in_all = bins ** len(self.features)
        self._strides = bins ** np.arange(len(self.features), dtype=np.int64)
        self._values: NDArray[np.float64] = np.full((64, len(self.features)), np.nan)
        """Features by node id; NaN where there is none."""
        self._references: NDArray[np.uint8] = np.empty((0, 32), dtype=np.uint8)
        self._ranges: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self._looked = 0
        """Nodes that were looked at for the reference set."""
        self._sketched: dict[int, NDArray[np.uint8]] = {}
        """Sketches of the nodes whose diversity may still change, since the reference set is not full."""

    def put(self, node: Node, state: RunState) -> None:
        """Take note of a node's features, for the first time or after it was measured again."""
        while node.id >= len(self._values):
            self._values = np.concatenate([self._values, np.full_like(self._values, np.nan)])
        for dimension, name in enumerate(self.features):
            if name == "diversity":
                self._put_diversity(node, dimension, state)
            elif name == "complexity":
                self._set(node.id, dimension, float(node.size) if node.size else math.nan)
            else:
                self._set(node.id, dimension, _number(node.metrics.get(name)))

    def _set(self, node: int, dimension: int, value: float) -> None:
        before = float(self._values[node, dimension])
        self._values[node, dimension] = value
        if self._ranges is None or value == before:
            return
        low, high = self._ranges
        if before in (low[dimension], high[dimension]):
            # It may have been the only one at the edge: all are looked at when the range is needed next.
            self._ranges = None
        elif value < low[dimension] or value > high[dimension]:
            low[dimension], high[dimension] = min(low[dimension], value), max(high[dimension], value)

    def _put_diversity(self, node: Node, dimension: int, state: RunState) -> None:
        grown = self._extend_references(state)
        sketch = read_sketch(node.sketch)
        if sketch is None:
            return
        self._sketched[node.id] = sketch
        for changed, one in self._sketched.items() if grown else [(node.id, sketch)]:
            self._set(changed, dimension, mean_distance(one, self._references))
        if len(self._references) == REFERENCES:
            # Nothing changes any more; at most the first few nodes were ever held here.
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
        """Least and largest value of each feature over all nodes, [d] each; infinite where there is none."""
        if self._ranges is None:
            self._ranges = (
                np.fmin.reduce(self._values, initial=np.inf),
                np.fmax.reduce(self._values, initial=-np.inf),
            )
        return self._ranges

    def cells(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The cell of each of these nodes under the ranges of today, [n], from 0 to bins^d − 1."""
        low, high = self.ranges
        with np.errstate(over="ignore", invalid="ignore"):
            width = np.where(high > low, high - low, 1.0)
            parts = np.nan_to_num((self._values[ids] - low) / width * self.bins)
        bins = np.clip(parts, 0, self.bins - 1).astype(np.int64)
        return np.asarray(bins @ self._strides, dtype=np.int64)

    def place(self, cell: int) -> tuple[int, ...]:
        """The bins of a cell, one a dimension."""
        return tuple(int(part) for part in cell // self._strides % self.bins)

    def elites(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """The best node of every cell that holds one.

        Args:
            ids: nodes in ascending order of their scores, [n].

        Returns:
            Positions in `ids`, ascending, so that the best elite stands last.
        """
        best = np.full(self.cells_in_all, -1, dtype=np.int64)
        # maximum.at is defined for cells that come twice: the position of the better node stays.
        np.maximum.at(best, self.cells(ids), np.arange(len(ids)))
        return np.sort(best[best >= 0])


def _number(value: object) -> float:
    """A metric as a number; NaN for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:
        return math.nan
