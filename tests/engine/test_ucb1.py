"""ucb1 against its formula, and on a landscape where its reasons can be seen."""

from __future__ import annotations

import math
import random
from statistics import fmean

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.samplers.ucb1 import UCB1
from engine.settings.model import Settings
from engine.state.fold import apply
from engine.state.run_state import RunState


class Population:
    """A run without an engine: nodes get scores, samples expand them."""

    def __init__(self, c: float, direction: str = "maximize") -> None:
        start = ev.RunStarted("t", msgspec.to_builtins(Settings()), {"name": "t", "direction": direction}, {})
        self.state = RunState(ev.Event(1, 0, None, None, start))
        self.sampler = UCB1(c)

    def _apply(self, data: ev.Data, node: int | None = None) -> None:
        event = ev.Event(self.state.seq + 1, self.state.seq, 1, node, data)
        apply(self.state, event)
        self.sampler.apply(event, self.state)

    def add(self, score: float | None, parents: list[int]) -> int:
        node = len(self.state.nodes)
        self._apply(ev.DesignDone("0" * 64, "tune", "n", "", parents), node)
        self._apply(ev.EvalDone("ok" if score is not None else "crashed", score), node)
        return node

    def expand(self, parent: int) -> None:
        self._apply(ev.LearnDone(parent))


@given(
    st.lists(st.tuples(st.floats(-3, 3) | st.just(1.0), st.integers(0, 4)), min_size=1, max_size=40),
    st.sampled_from(["maximize", "minimize"]),
    st.integers(0, 1000),
)
def test_the_choice_is_the_formulas_argmax(nodes: list[tuple[float, int]], direction: str, seed: int) -> None:
    population = Population(0.3, direction)
    for score, expanded in nodes:
        node = population.add(score, [])
        for _ in range(expanded):
            population.expand(node)
    population.add(None, [])
    sign = 1 if direction == "maximize" else -1
    scores = [sign * score for score, _ in nodes]
    visits = [1 + expanded for _, expanded in nodes]
    total = sum(visits)

    def value(i: int) -> float:
        below = sum(s < scores[i] for s in scores)
        equal = sum(s == scores[i] for s in scores)
        rank = below + (equal - 1) / 2
        return rank / max(1, len(scores) - 1) + 0.3 * math.sqrt(math.log(total) / visits[i])

    sample = population.sampler.sample(population.state, 2, random.Random(seed))
    assert sample is not None
    values = [value(i) for i in range(len(scores))]
    assert values[sample.parent] == pytest.approx(max(values), abs=1e-9)
    others = sorted((v for i, v in enumerate(values) if i != sample.parent), reverse=True)[:2]
    assert [values[i] for i in sample.inspirations] == pytest.approx(others, abs=1e-9)
    assert len({sample.parent, *sample.inspirations}) == 1 + len(others)


def test_no_scored_node_gives_no_sample() -> None:
    population = Population(0.1)
    population.add(None, [])
    assert population.sampler.sample(population.state, 2, random.Random(0)) is None


def test_equal_nodes_are_drawn_evenly() -> None:
    population = Population(0.1)
    for _ in range(4):
        population.add(1.0, [])
    counts = [0] * 4
    rng = random.Random(7)
    for _ in range(4000):
        sample = population.sampler.sample(population.state, 0, rng)
        assert sample is not None
        counts[sample.parent] += 1
    chi_square = sum((count - 1000) ** 2 / 1000 for count in counts)
    assert chi_square < 16.3, counts  # 3 degrees of freedom, p = 0.001


def rugged(x: list[float]) -> float:
    """Rastrigin's function, negated: many local maxima, the best one at 0."""
    return -sum(v * v - 10 * math.cos(2 * math.pi * v) + 10 for v in x) / len(x)


def search(c: float, seed: int, rounds: int = 300) -> tuple[float, int]:
    """Best score and deepest lineage of a search by small steps from the better of nodes chosen with this c."""
    rng = random.Random(seed)
    population = Population(c)
    points = [[rng.uniform(-4, 4) for _ in range(6)]]
    depth = [0]
    population.add(rugged(points[0]), [])
    for _ in range(rounds):
        sample = population.sampler.sample(population.state, 0, rng)
        assert sample is not None
        population.expand(sample.parent)
        child = [v + rng.gauss(0, 0.4) * (rng.random() < 0.5) for v in points[sample.parent]]
        points.append(child)
        depth.append(depth[sample.parent] + 1)
        population.add(rugged(child), [sample.parent])
    return max(rugged(p) for p in points), max(depth)


def test_a_small_c_searches_better_than_the_published_one_and_makes_no_chain() -> None:
    small = [search(0.1, seed) for seed in range(12)]
    large = [search(1.414, seed) for seed in range(12)]
    assert fmean(best for best, _ in small) > fmean(best for best, _ in large) + 1
    assert max(depth for _, depth in small) < 150, "a chain of newest nodes is no search"
