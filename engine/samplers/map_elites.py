"""MAP-Elites on islands: each island keeps the best node of every cell of feature space and samples from those.

Mouret and Clune, "Illuminating search spaces by mapping elites", arXiv 1504.04909, with the islands of AlphaEvolve as
OpenEvolve and ASI-Evolve (arXiv 2603.29640) describe them. An island is drawn evenly, then with chance `exploration` a
node of it evenly, with chance `exploitation` one of its elite archive by rank (P(r) ∝ 1/r), else the elite of a cell
with a chance in proportion to 0.05 + (s − min)/(max − min) over the elites, so that neither sign nor scale of the
scores matter. Inspirations are elites of other cells.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.journal.events import EvalDone, Event, NodePruned, NodeRestored
from engine.samplers.base import Sample
from engine.samplers.grid import FeatureGrid
from engine.samplers.population import Population, draw, rank_weights
from engine.settings.model import SamplerSettings
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["MapElites"]

_LEAST_WEIGHT = 0.05
"""What the worst elite weighs, the best one having 1 more."""
_EVERYWHERE = -1
"""Home of a node that belongs to every island: the seeds."""
_NOWHERE = -2
"""Home of a node that never had a score."""


@dataclass(frozen=True)
class _View:
    """An island as it is sampled."""

    ids: NDArray[np.int64]
    """Nodes that are sampled, ascending by score."""
    scores: NDArray[np.float64]
    elites: NDArray[np.int64]
    """Positions of the elites of the cells, ascending."""


class MapElites:
    """Islands, each with a grid of elites.

    - Seeds belong to every island. A child joins the island that its parent was drawn from (`learn.done` says which);
      where none was, its parent's; a program without a parent, or with a seed for one, the island with the fewest.
    - Every `migration_interval` nodes that are born on an island, the best `migration_rate` of those born there, at
      least one, belong to the next island of the ring too. Guests do not travel on.
    - The elite archive of an island is its best `archive`/`islands` nodes.
    - `keep` divided by `islands` is what an island may sample: elites of cells come first, then the best others.

    Args:
        settings: the sampler's settings.
    """

    def __init__(self, settings: SamplerSettings) -> None:
        self._settings = settings
        self._islands = [Population() for _ in range(settings.islands)]
        self._all = Population()
        self._grid = FeatureGrid(settings.features, settings.bins)
        self._views: list[_View | None] = [None] * settings.islands
        self._homes: NDArray[np.int64] = np.full(64, _NOWHERE, dtype=np.int64)
        """The island that each node was born on, by node id, for all that ever had a score."""
        self._travelled: NDArray[np.bool_] = np.zeros(64, dtype=np.bool_)
        """Whether each node belongs to the island after its home too, by node id."""
        self._born = [0 for _ in self._islands]
        """How many nodes were born on each island."""

    def apply(self, event: Event, state: RunState) -> None:
        """Give a node that got a score an island, move one that was measured again, leave out one that was pruned."""
        if not isinstance(event.data, EvalDone | NodePruned | NodeRestored) or event.node is None:
            return
        node = state.nodes[event.node]
        while node.id >= len(self._homes):
            self._homes = np.concatenate([self._homes, np.full_like(self._homes, _NOWHERE)])
            self._travelled = np.concatenate([self._travelled, np.zeros_like(self._travelled)])
        newborn = self._homes[node.id] == _NOWHERE
        if newborn:
            if node.fitness is None:
                return
            self._homes[node.id] = self._choose_home(node, state)
        self._put(node, state)
        home = int(self._homes[node.id])
        if newborn and home != _EVERYWHERE:
            self._born[home] += 1
            if self._born[home] % self._settings.migration_interval == 0:
                self._migrate(home, state)

    def _choose_home(self, node: Node, state: RunState) -> int:
        if node.round == 0:
            return _EVERYWHERE
        count, home = len(self._islands), _NOWHERE
        # One step as a rule: only a parent that never had a score, as where a failure was mended, is looked behind.
        while home == _NOWHERE:
            if node.island is not None:
                return node.island % count
            if not node.parents:
                break
            node = state.nodes[node.parents[0]]
            home = int(self._homes[node.id]) if node.id < len(self._homes) else _NOWHERE
        return home if home >= 0 else min(range(count), key=self._born.__getitem__)

    def _put(self, node: Node, state: RunState) -> None:
        """Bring a node to where it belongs in all its islands."""
        if node.fitness is not None:
            self._grid.put(node, state)
        self._all.put(node)
        for island in self.islands_of(node.id):
            self._islands[island].put(node)
        # A range that grew moves nodes of every island.
        self._views = [None] * len(self._islands)

    def _migrate(self, island: int, state: RunState) -> None:
        following = (island + 1) % len(self._islands)
        if following == island:
            return
        ids = self._islands[island].ids
        natives = ids[self._homes[ids] == island]
        count = max(1, int(len(natives) * self._settings.migration_rate))
        best = natives[-count:]
        # Most of the best were there the last time already.
        for node in best[~self._travelled[best]].tolist():
            self._travelled[node] = True
            self._islands[following].put(state.nodes[node])

    # What there is

    def home(self, node: int) -> int | None:
        """The island that a node with a score was born on; None for a seed, which belongs to all."""
        home = int(self._homes[node])
        return None if home == _EVERYWHERE else home

    def islands_of(self, node: int) -> list[int]:
        """The islands that a node belongs to, unless it is pruned."""
        home = int(self._homes[node])
        if home == _EVERYWHERE:
            return list(range(len(self._islands)))
        return [home, (home + 1) % len(self._islands)] if self._travelled[node] else [home]

    def members(self, island: int) -> list[int]:
        """The nodes of an island, best first."""
        ids: list[int] = self._islands[island].ids[::-1].tolist()
        return ids

    def archive(self, island: int) -> list[int]:
        """The elite archive of an island, best first."""
        ids: list[int] = self._view(island).ids[-self._archive_size :][::-1].tolist()
        return ids

    def grid(self, island: int) -> dict[tuple[int, ...], int]:
        """The elite of every cell of an island that holds one; a cell is its bins."""
        view = self._view(island)
        elites = view.ids[view.elites]
        places = map(self._grid.place, self._grid.cells(elites).tolist())
        return dict(zip(places, elites.tolist(), strict=True))

    @property
    def _archive_size(self) -> int:
        return max(1, self._settings.archive // len(self._islands))

    def _view(self, island: int) -> _View:
        """The island as it is sampled, worked out again after anything changed."""
        view = self._views[island]
        if view is None:
            population, keep = self._islands[island], self._settings.keep
            ids, scores = population.ids, population.scores
            elites = self._grid.elites(ids)
            share = len(ids) if keep is None else max(1, keep // len(self._islands))
            if share < len(ids):
                others = np.setdiff1d(np.arange(len(ids)), elites, assume_unique=True)
                kept = np.sort(np.concatenate([others, elites])[-share:])
                elites = np.flatnonzero(np.isin(kept, elites, assume_unique=True))
                ids, scores = ids[kept], scores[kept]
            # Copies, since the population moves its arrays in place.
            view = self._views[island] = _View(ids.copy(), scores.copy(), elites)
        return view

    # Sampling

    def sample(self, state: RunState, inspirations: int, rng: random.Random) -> Sample | None:
        """Draw an island, a parent on it, and elites of other cells beside it."""
        peopled = [index for index, population in enumerate(self._islands) if len(population)]
        if not peopled:
            return None
        island = peopled[rng.randrange(len(peopled))]
        view = self._view(island)
        at, how = self._draw_parent(view, rng)
        parent = int(view.ids[at])
        shown = self._draw_inspirations(view, parent, inspirations, rng)
        return Sample(parent, shown, f"map_elites, island {island + 1}, {how}", island)

    def _draw_parent(self, view: _View, rng: random.Random) -> tuple[int, str]:
        """A position in the view, and how it was come by."""
        settings, kind = self._settings, rng.random()
        if kind < settings.exploration:
            return rng.randrange(len(view.ids)), "explored"
        if kind < settings.exploration + settings.exploitation:
            size = min(self._archive_size, len(view.ids))
            at = draw(rank_weights(size, 1.0), 1, rng)[0]
            return len(view.ids) - size + at, f"archive rank {size - at}/{size}"
        scores = view.scores[view.elites]
        # Halves, since the difference of two very large scores is no number.
        spread = float(scores[-1] / 2 - scores[0] / 2)
        above = (scores / 2 - scores[0] / 2) / spread if spread > 0.0 else np.zeros(len(scores))
        at = int(view.elites[draw(above + _LEAST_WEIGHT, 1, rng)[0]])
        cell = self._grid.place(int(self._grid.cells(view.ids[[at]])[0]))
        return at, f"elite of cell {'×'.join(map(str, cell))}"

    def _draw_inspirations(self, view: _View, parent: int, count: int, rng: random.Random) -> list[int]:
        """Elites of other cells, drawn evenly; where they are too few, the best of the island, then of the run."""
        elites = view.ids[view.elites]
        elites = elites[elites != parent]
        chosen = {int(elites[at]): None for at in rng.sample(range(len(elites)), min(count, len(elites)))}
        for ids in (view.ids, self._all.ids):
            # Of so many nodes enough are left when the parent and those chosen already are left out.
            for node in ids[-2 * count - 1 :][::-1].tolist():
                if len(chosen) < count and node != parent:
                    chosen.setdefault(node)
        return list(chosen)
