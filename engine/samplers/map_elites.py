"""MAP-Elites on islands: each island keeps the best node of every cell of feature space and samples from those.

Mouret and Clune, "Illuminating search spaces by mapping elites", arXiv 1504.04909, with the islands of AlphaEvolve as
OpenEvolve and ASI-Evolve (arXiv 2603.29640) describe them. An island is drawn evenly, then with chance `exploration` a
node of it evenly, with chance `exploitation` one of its elite archive by rank (P(r) ∝ 1/r), else the elite of a cell
with a chance in proportion to 0.05 + (s − min)/(max − min) over the elites, so that neither sign nor scale of the
scores matter; min is taken over elites that break no constraint, and one that breaks any weighs 0.05. Inspirations are
elites of other cells.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.journal.events import Event
from engine.samplers.base import Sample
from engine.samplers.grid import FeatureGrid
from engine.samplers.population import Population, draw, is_moved, rank_weights
from engine.settings.model import SamplerSettings
from engine.state.node import Node
from engine.state.run_state import RunState

__all__ = ["MapElites"]

_LEAST_WEIGHT = 0.05
"""Weight of the worst elite; the best one weighs 1 more."""
_EVERYWHERE = -1
"""Home of seeds, which belong to every island."""
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

    - Seeds belong to every island. A child joins the island that its parent was drawn from (recorded in `learn.done`),
      else its parent's island. A program without a parent, or whose parent is a seed, joins the smallest island.
    - After every `migration_interval` births on an island, the best `migration_rate` of the nodes born there, at least
      one, also join the next island of the ring. They travel no further.
    - The elite archive of an island is its best `archive`/`islands` nodes.
    - An island samples at most `keep`/`islands` nodes: elites of cells first, then the best of the others.

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
        """The island that each node was born on, by node id, if it ever had a score."""
        self._travelled: NDArray[np.bool_] = np.zeros(64, dtype=np.bool_)
        """Whether each node also belongs to the island after its home, by node id."""
        self._broken: NDArray[np.bool_] = np.zeros(64, dtype=np.bool_)
        """Whether each node breaks a constraint, by node id."""
        self._born = [0 for _ in self._islands]
        """How many nodes were born on each island."""

    def apply(self, event: Event, state: RunState) -> None:
        """Give a newly scored node an island, move a node that was measured again, remove a pruned one."""
        if event.node is None or not is_moved(event, state):
            return
        node = state.nodes[event.node]
        while node.id >= len(self._homes):
            self._homes = np.concatenate([self._homes, np.full_like(self._homes, _NOWHERE)])
            self._travelled = np.concatenate([self._travelled, np.zeros_like(self._travelled)])
            self._broken = np.concatenate([self._broken, np.zeros_like(self._broken)])
        self._broken[node.id] = bool(node.broken)
        newborn = self._homes[node.id] == _NOWHERE
        if newborn:
            if node.standing is None:
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
        # Usually one step; further up only if the parent never had a score, as after a failure was fixed.
        while home == _NOWHERE:
            if node.island is not None:
                return node.island % count
            if not node.parents:
                break
            node = state.nodes[node.parents[0]]
            home = int(self._homes[node.id]) if node.id < len(self._homes) else _NOWHERE
        return home if home >= 0 else min(range(count), key=self._born.__getitem__)

    def _put(self, node: Node, state: RunState) -> None:
        """Insert or move a node in all its islands."""
        if node.standing is not None:
            self._grid.put(node, state)
        self._all.put(node)
        for island in self.islands_of(node.id):
            self._islands[island].put(node)
        # If a range grew, nodes of every island change their cells.
        self._views = [None] * len(self._islands)

    def _migrate(self, island: int, state: RunState) -> None:
        following = (island + 1) % len(self._islands)
        if following == island:
            return
        ids = self._islands[island].ids
        natives = ids[self._homes[ids] == island]
        count = max(1, int(len(natives) * self._settings.migration_rate))
        best = natives[-count:]
        # Most of the best have travelled before.
        for node in best[~self._travelled[best]].tolist():
            self._travelled[node] = True
            self._islands[following].put(state.nodes[node])

    # Contents

    def home(self, node: int) -> int | None:
        """Return the island that a node with a score was born on; None for a seed, which belongs to all."""
        home = int(self._homes[node])
        return None if home == _EVERYWHERE else home

    def islands_of(self, node: int) -> list[int]:
        """Return the islands that a node belongs to, unless it is pruned."""
        home = int(self._homes[node])
        if home == _EVERYWHERE:
            return list(range(len(self._islands)))
        return [home, (home + 1) % len(self._islands)] if self._travelled[node] else [home]

    def members(self, island: int) -> list[int]:
        """Return the nodes of an island, best first."""
        ids: list[int] = self._islands[island].ids[::-1].tolist()
        return ids

    def archive(self, island: int) -> list[int]:
        """Return the elite archive of an island, best first."""
        ids: list[int] = self._view(island).ids[-self._archive_size :][::-1].tolist()
        return ids

    def grid(self, island: int) -> dict[tuple[int, ...], int]:
        """Return the elite of every occupied cell of an island, by the cell's bins."""
        view = self._view(island)
        elites = view.ids[view.elites]
        places = map(self._grid.place, self._grid.cells(elites).tolist())
        return dict(zip(places, elites.tolist(), strict=True))

    @property
    def _archive_size(self) -> int:
        return max(1, self._settings.archive // len(self._islands))

    def _view(self, island: int) -> _View:
        """Return the island as it is sampled; compute it anew after a change."""
        view = self._views[island]
        if view is None:
            population, keep = self._islands[island], self._settings.kept
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
        """Return a position in the view and how it was drawn."""
        settings, kind = self._settings, rng.random()
        if kind < settings.exploration:
            return rng.randrange(len(view.ids)), "explored"
        if kind < settings.exploration + settings.exploitation:
            size = min(self._archive_size, len(view.ids))
            at = draw(rank_weights(size, 1.0), 1, rng)[0]
            return len(view.ids) - size + at, f"archive rank {size - at}/{size}"
        # What breaks a constraint may stand so far below the others that they would all weigh the same.
        broken = self._broken[view.ids[view.elites]]
        scores = view.scores[view.elites] / 2  # halves, since the difference of two very large scores would overflow
        first = 0 if broken.all() else int(np.argmin(broken))
        spread = float(scores[-1] - scores[first])
        above = np.zeros(len(scores))
        above[first:] = (scores[first:] - scores[first]) / spread if spread > 0.0 else 1.0
        at = int(view.elites[draw(above + _LEAST_WEIGHT, 1, rng)[0]])
        cell = self._grid.place(int(self._grid.cells(view.ids[[at]])[0]))
        return at, f"elite of cell {'×'.join(map(str, cell))}"

    def _draw_inspirations(self, view: _View, parent: int, count: int, rng: random.Random) -> list[int]:
        """Draw elites of other cells evenly; if they are too few, add the best of the island, then of the run."""
        elites = view.ids[view.elites]
        elites = elites[elites != parent]
        chosen = {int(elites[at]): None for at in rng.sample(range(len(elites)), min(count, len(elites)))}
        for ids in (view.ids, self._all.ids):
            # So many nodes are enough even if the parent and all chosen ones are among them.
            for node in ids[-2 * count - 1 :][::-1].tolist():
                if len(chosen) < count and node != parent:
                    chosen.setdefault(node)
        return list(chosen)
