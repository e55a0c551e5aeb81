"""Islands and grids of map_elites."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.journal import events as ev
from engine.samplers import make_sampler, take_up
from engine.samplers.base import Sample
from engine.samplers.map_elites import MapElites
from tests.engine.searches import SMALL, Search, fits, parents, program

GROWTH = st.lists(st.tuples(st.floats(-4, 4), st.floats(-10, 10), st.floats(0, 3)), min_size=1, max_size=60)


def grown(growth: list[tuple[float, float, float]], **sampler: Any) -> tuple[Search, list[tuple[Sample, int]]]:
    """Islands over two metrics, and what each round sampled and made."""
    search = Search(**{"name": "map_elites", "features": ["a", "b"], **SMALL, **sampler})
    search.add(0.0, round=0, a=0.0, b=0.0)
    rng = random.Random(len(growth))
    return search, [search.grow(score, rng, a=a, b=b) for score, a, b in growth]


@given(GROWTH)
def test_child_joins_the_island_of_its_parent(growth: list[tuple[float, float, float]]) -> None:
    search, rounds = grown(growth)
    for sample, child in rounds:
        assert search.islands.home(child) == sample.island
        assert sample.island in search.islands.islands_of(sample.parent)
    assert search.islands.home(0) is None
    assert search.islands.islands_of(0) == [0, 1, 2]


@given(GROWTH)
def test_islands_archive_and_cells_hold_the_best(growth: list[tuple[float, float, float]]) -> None:
    search, _ = grown(growth)
    for island in range(3):
        members = search.islands.members(island)
        scores = [search.state.nodes[node].score for node in members]
        assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
        assert search.islands.archive(island) == members[:3], "9 places for 3 islands"
        cells: dict[tuple[int, ...], int] = {}
        for node in reversed(members):
            cells[cell_of(search, node)] = node
        grid = search.islands.grid(island)
        assert set(grid) == set(cells)
        for cell, node in cells.items():
            assert search.state.nodes[grid[cell]].score == search.state.nodes[node].score


def cell_of(search: Search, node: int) -> tuple[int, ...]:
    """The cell of a node by the definition: equal parts of the range that all nodes span."""
    found = []
    for name in ("a", "b"):
        values = [other.metrics[name] for other in search.state.nodes]
        low, high = min(values), max(values)
        width = high - low if high > low else 1.0
        found.append(min(3, int((search.state.nodes[node].metrics[name] - low) / width * 4)))
    return tuple(found)


def test_growing_range_moves_elites_and_loses_none() -> None:
    search = Search(name="map_elites", features=["a"], bins=10, islands=1)
    for place in range(10):
        search.add(float(place % 3), round=0, a=float(place))
    assert search.islands.grid(0) == {(place,): place for place in range(10)}
    search.add(0.5, round=0, a=90.0)
    # The old cells share one now: the best of them is its elite, and the newcomer has a cell of its own.
    elites = search.islands.grid(0)
    assert set(elites) == {(0,), (1,), (9,)} or set(elites) == {(0,), (9,)}
    assert search.state.nodes[elites[(0,)]].score == 2.0
    assert elites[(9,)] == 10
    search.measure(10, 0.5, a=5.0)
    assert set(search.islands.grid(0)) == {(place,) for place in range(10)}, "and back, when it is measured again"


def test_other_code_that_behaves_the_same_has_no_cell_of_its_own() -> None:
    search = Search(name="map_elites", features=["complexity"], bins=10, islands=1)
    short, long, longer = (program(*range(count)) for count in (2, 6, 20))
    for code, score in ((short, 1.0), (longer, 2.0)):
        search.add(score, round=0, code=code, loss=score)
    twin = search.add(1.0, [0], long, loss=1.0)
    assert search.state.nodes[twin].same_as == 0
    assert search.islands.grid(0) == {(0,): twin, (9,): 1}
    other = search.add(1.0, [0], long, loss=1.5)
    assert other in search.islands.grid(0).values()


def test_sampling_reads_the_grid() -> None:
    search = Search(name="map_elites", features=["a"], bins=10, islands=1, exploration=0, exploitation=0)
    for node in range(60):
        search.add(float(node % 7) + node / 100, round=0, a=float(node % 6))
    elites = sorted(search.islands.grid(0).values(), key=lambda node: search.state.nodes[node].score or 0.0)
    assert len(elites) == 6
    scores = [search.state.nodes[node].score or 0.0 for node in elites]
    weights = [0.05 + (score - scores[0]) / (scores[-1] - scores[0]) for score in scores]
    assert fits(parents(search), {n: w / sum(weights) for n, w in zip(elites, weights, strict=True)})
    for seed in range(100):
        assert set(search.sample(random.Random(seed)).inspirations) <= set(elites), "others are not worth showing"


def test_island_keeps_elites_before_better_nodes_of_their_cells() -> None:
    search = Search(name="map_elites", features=["a"], islands=1, keep=4, exploration=1, exploitation=0)
    for score, place in ((1.0, 0.0), (2.0, 9.0), (5.0, 5.0), (4.0, 5.0), (3.0, 5.0)):
        search.add(score, round=0, a=place)
    assert search.islands.grid(0) == {(0,): 0, (9,): 1, (5,): 2}
    assert set(parents(search, 400)) == {0, 1, 2, 3}, "the elites, and the best of the others"
    search.add(0.0, round=0, a=2.0)
    search.add(0.5, round=0, a=7.0)
    assert search.islands.archive(0) == [2, 1, 0, 6], "five elites: the best four"


def test_exploration_and_exploitation_follow_their_formulas() -> None:
    def made(**sampler: Any) -> Search:
        search = Search(name="map_elites", features=["a"], islands=1, archive=5, **sampler)
        for node in range(20):
            search.add(float(node), round=0, a=0.0)
        return search

    assert fits(parents(made(exploration=1, exploitation=0)), dict.fromkeys(range(20), 0.05))
    ranked = {19 - rank: (1 / (rank + 1)) / sum(1 / r for r in range(1, 6)) for rank in range(5)}
    assert fits(parents(made(exploration=0, exploitation=1)), ranked)
    mixed = {node: 0.2 / 20 + 0.3 * ranked.get(node, 0.0) + 0.5 * (node == 19) for node in range(20)}
    assert fits(parents(made(exploration=0.2, exploitation=0.3)), mixed)
    # One of the two alone goes with the other's default: exploration comes first.
    capped = {node: 0.4 / 20 + 0.6 * ranked.get(node, 0.0) for node in range(20)}
    assert fits(parents(made(exploration=0.4)), capped)


def test_elite_that_breaks_a_constraint_leaves_the_weights_of_the_others_apart() -> None:
    require = {"fitness": {"require": {"speed": ">= 1"}}}
    made = Search(settings=require, name="map_elites", features=["a"], islands=1, exploration=0, exploitation=0)
    for place, score, speed in ((0.0, 0.0, 1.0), (5.0, 1.0, 1.0), (9.0, 4.0, 1.0), (14.0, 9.0, -1e30)):
        made.add(score, round=0, a=place, speed=speed)
    weights = {0: 0.05, 1: 0.3, 2: 1.05, 3: 0.05}
    assert made.state.nodes[3].broken and set(made.islands.grid(0).values()) == set(weights)
    assert fits(parents(made), {node: weight / sum(weights.values()) for node, weight in weights.items()})


def test_islands_are_drawn_evenly_without_empty_ones() -> None:
    search = Search(name="map_elites", islands=4)
    search.add(0.0, round=0)
    rng = random.Random(3)
    found = Counter(search.sample(rng, 0).island or 0 for _ in range(4000))
    assert fits(found, dict.fromkeys(range(4), 0.25))
    search.add(1.0, [0])
    search.apply(ev.NodePruned(), 0)
    assert {search.sample(rng, 0).island for _ in range(20)} == {0}


def test_best_migrate_to_the_next_island_only() -> None:
    search = Search(name="map_elites", islands=3, migration_interval=5, migration_rate=0.4)
    search.add(0.0, round=0)
    rng = random.Random(5)
    for number in range(240):
        search.grow(rng.random() + number / 100, rng)
    for island in range(3):
        following = (island + 1) % 3
        natives = [n for n in range(1, 241) if search.islands.home(n) == island]
        guests = [n for n in search.islands.members(following) if n in natives]
        assert guests, "nobody came over"
        assert not [n for n in search.islands.members((island + 2) % 3) if n in natives], "a guest travelled on"
        born = len(natives) - len(natives) % 5
        best = sorted(natives[:born], key=lambda n: search.state.nodes[n].score or 0.0, reverse=True)
        assert set(best[: int(born * 0.4)]) <= set(guests)
        # A child of a guest belongs to the island where its parent was a guest.
    assert any(
        search.islands.home(node.parents[0]) not in (None, search.islands.home(node.id))
        for node in search.state.nodes[1:]
    )


def test_pruned_guest_leaves_its_islands_and_returns_when_restored() -> None:
    search = Search(name="map_elites", islands=2, migration_interval=1, migration_rate=0.0)
    search.add(0.0, round=0)
    child = search.add(1.0, [0])
    assert search.islands.islands_of(child) == [0, 1]
    search.apply(ev.NodePruned(), child)
    assert [search.islands.members(island) for island in range(2)] == [[0], [0]]
    search.apply(ev.NodeRestored(), child)
    assert [search.islands.members(island) for island in range(2)] == [[child, 0], [child, 0]]
    search.measure(child, -1.0)
    assert [search.islands.members(island) for island in range(2)] == [[0, child], [0, child]]


def test_programs_without_an_island_join_the_smallest() -> None:
    search = Search(name="map_elites", islands=3, migration_interval=100)
    search.add(0.0, round=0)
    assert [search.islands.home(search.add(1.0, [0])) for _ in range(4)] == [0, 1, 2, 0]
    assert search.islands.home(search.add(1.0)) == 1, "an injected program has no parent"
    failed = search.add(None, [2])
    assert search.islands.home(search.add(1.0, [failed])) == 1, "the line of a failure is followed back"


@given(st.lists(st.lists(st.integers(0, 30), max_size=25), min_size=2, max_size=40))
def test_complexity_and_diversity_do_not_depend_on_when_a_node_was_folded(lines: list[list[int]]) -> None:
    search = Search(name="map_elites", islands=1)
    for numbers in lines:
        search.add(1.0, code=program(*numbers), round=0)
    late = make_sampler(search.settings)
    take_up(late, search.state)
    assert isinstance(late, MapElites)
    assert late.grid(0) == search.islands.grid(0)


def test_old_journals_have_neither_size_nor_sketch() -> None:
    old = b'{"program":"p","operator":"tune","name":"n","motivation":"m"}'
    made = ev.decode_data("design.done", old)
    assert made == ev.DesignDone("p", "tune", "n", "m")
    assert b"sketch" not in ev.encode_data(made)
    learned = ev.decode_data("learn.done", b'{"parent":3}')
    assert learned == ev.LearnDone(3)
    search = Search(name="map_elites", islands=1)
    for score in (1.0, 2.0):
        search.add(score, round=0)
    assert search.islands.grid(0) == {(0, 0): 1}
