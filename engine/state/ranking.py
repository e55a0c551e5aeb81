"""The quantity that ranks nodes, as people see it: the fitness with the score beside it, or the score alone."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import msgspec

__all__ = ["Figures", "Ranked", "Ranking"]


class Ranked(Protocol):
    """A node, or one improvement."""

    @property
    def score(self) -> float | None:
        """The score, in the task's metric and with its sign."""

    @property
    def fitness(self) -> float | None:
        """The fitness, higher is better; None: it is not ranked."""


class Figures(NamedTuple):
    """Score and fitness of a node that is not loaded."""

    score: float | None
    fitness: float | None


class Ranking(msgspec.Struct, frozen=True):
    """The quantity that ranks nodes.

    If that is the score alone, fitness is the same number (turned, if lower is better) and is not shown.
    """

    metric: str = "score"
    """The task's name for its score."""
    direction: Literal["maximize", "minimize"] = "maximize"
    """Whether a higher or a lower score is better."""
    by_fitness: bool = False
    """Whether more than the score counts: a composite, or a judge's mark."""

    @property
    def key(self) -> Literal["score", "fitness"]:
        """The field of a node that ranks it."""
        return "fitness" if self.by_fitness else "score"

    @property
    def name(self) -> str:
        """The task's name for the ranked quantity."""
        return "fitness" if self.by_fitness else self.metric

    @property
    def maximize(self) -> bool:
        """Whether a higher value ranks higher."""
        return self.by_fitness or self.direction == "maximize"

    def of(self, item: Ranked) -> float | None:
        """Return the value that ranks an item, with the sign that people see."""
        return item.fitness if self.by_fitness else item.score

    def gain(self, item: Ranked, other: Ranked) -> float | None:
        """Return by how much an item is better than another one; below 0 if worse, None if either has no value."""
        value, before = self.of(item), self.of(other)
        if value is None or before is None:
            return None
        return value - before if self.maximize else before - value

    def describe(self, item: Ranked, digits: int = 6) -> str:
        """Return `fitness 0.86, score 0.77`; `0.77` if the score alone ranks."""
        if item.score is None:
            return "no score"
        score = f"{item.score:.{digits}g}"
        if not self.by_fitness:
            return score
        fitness = "no fitness" if item.fitness is None else f"fitness {item.fitness:.{digits}g}"
        return f"{fitness}, score {score}"

    def brief(self, item: Ranked, digits: int = 4) -> str:
        """Return the short form `fitness 0.86 (0.77)`; `0.77` if the score alone ranks."""
        if not self.by_fitness or item.score is None or item.fitness is None:
            return self.describe(item)
        return f"fitness {item.fitness:.{digits}g} ({item.score:.{digits}g})"
