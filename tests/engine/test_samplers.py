"""Every sampler against its formula, and what must hold of all of them."""

from __future__ import annotations

import math
import random
from collections import Counter
from statistics import median
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from engine.errors import UsageError
from engine.journal import events as ev
from engine.programs.minhash import mean_distance, read_sketch, sketch
from engine.samplers import Sampler, make_sampler, take_up
from engine.samplers.base import Sample
from engine.samplers.map_elites import MapElites
from engine.settings.model import SamplerSettings, Settings, merge_settings, parse_setting
from engine.state.fold import apply
from engine.state.run_state import RunState

NAMES: tuple[str, ...] = get_args(get_type_hints(SamplerSettings)["name"])


def program(*lines: int) -> str:
    return "\n".join(f"x = {line}" for line in lines)


class Search:
    """A run without an engine: samplers see what they would see in one."""

    def __init__(self, direction: str = "maximize", **sampler: Any) -> None:
        self.settings = msgspec.convert(sampler, SamplerSettings)
        started = ev.RunStarted("t", msgspec.to_builtins(Settings()), {"name": "t", "direction": direction}, {})
        self.events = [ev.Event(1, 0, None, None, started)]
        self.state = RunState(self.events[0])
        self.sampler: Sampler | None = make_sampler(self.settings)

    @property
    def islands(self) -> MapElites:
        assert isinstance(self.sampler, MapElites)
        return self.sampler

    def apply(self, data: ev.Data, node: int | None = None, round: int = 1) -> None:
        event = ev.Event(self.state.seq + 1, self.state.seq, round, node, data)
        self.events.append(event)
        apply(self.state, event)
        if self.sampler is not None:
            self.sampler.apply(event, self.state)

    def add(
        self, score: float | None, parents: list[int] | None = None, code: str = "", round: int = 1, **metrics: float
    ) -> int:
        node = len(self.state.nodes)
        made = ev.DesignDone(
            "0" * 64, "tune", "n", "", parents or [], digest=str(node), size=len(code), sketch=sketch(code)
        )
        self.apply(made, node, round)
        self.measure(node, score, **metrics)
        return node

    def measure(self, node: int, score: float | None, **metrics: float) -> None:
        self.apply(ev.EvalDone("ok" if score is not None else "crashed", score, metrics), node)

    def grow(self, score: float | None, rng: random.Random, code: str = "", **metrics: float) -> tuple[Sample, int]:
        """One round: sample, learn, design, measure."""
        number = self.state.rounds_started + 1
        sample = self.sample(rng)
        self.apply(ev.RoundStarted(), round=number)
        self.apply(ev.LearnDone(sample.parent, sample.inspirations, island=sample.island), round=number)
        node = self.add(score, [sample.parent], code, number, **metrics)
        self.apply(ev.RoundEnded("node"), round=number)
        return sample, node

    def sample(self, rng: random.Random, inspirations: int = 2) -> Sample:
        assert self.sampler is not None
        sample = self.sampler.sample(self.state, inspirations, rng)
        assert sample is not None
        return sample


def fits(counts: Counter[int], chances: dict[int, float]) -> bool:
    """Whether draws come from these chances, by the chi-square test at p = 0.001."""
    draws = sum(counts.values())
    assert set(counts) <= {node for node, chance in chances.items() if chance > 0}, "what has no chance was drawn"
    # The approximation needs some draws in every class: rare ones are put together.
    rare = [node for node, chance in chances.items() if chance * draws < 10]
    classes = [([node], chance) for node, chance in chances.items() if node not in rare]
    if sum(chances[node] for node in rare) * draws >= 10:
        classes.append((rare, sum(chances[node] for node in rare)))
    statistic = sum((sum(counts[n] for n in nodes) - c * draws) ** 2 / (c * draws) for nodes, c in classes)
    return len(classes) < 2 or bool(chi2.sf(statistic, len(classes) - 1) > 0.001)


def parents(search: Search, draws: int = 4000, seed: int = 11) -> Counter[int]:
    rng = random.Random(seed)
    return Counter(search.sample(rng, 0).parent for _ in range(draws))


SCORES = [0.3, -2.0, 5.0, 0.1, 0.4, 0.45, 0.2, 0.45, 100.0, -0.1]
EXPANDED = [0, 3, 1, 0, 2, 0, 5, 0, 1, 0]


def filled(direction: str = "maximize", **sampler: Any) -> Search:
    search = Search(direction, **sampler)
    for score in SCORES:
        search.add(score)
    for node, times in enumerate(EXPANDED):
        for _ in range(times):
            search.apply(ev.LearnDone(node))
    search.add(None)
    return search


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_random_is_even(direction: str) -> None:
    assert fits(parents(filled(direction, name="random")), dict.fromkeys(range(10), 0.1))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_power_law_is_its_formula(direction: str, alpha: float) -> None:
    search = filled(direction, name="power_law", alpha=alpha)
    sign = 1 if direction == "maximize" else -1
    ranked = sorted(range(10), key=lambda n: (sign * SCORES[n], n), reverse=True)
    whole = sum(rank**-alpha for rank in range(1, 11))
    assert fits(parents(search), {node: rank**-alpha / whole for rank, node in enumerate(ranked, 1)})


def weighted_chances(scores: list[float], steepness: float) -> dict[int, float]:
    middle = median(scores)
    mad = median(abs(score - middle) for score in scores)
    weights = [
        1 / (1 + math.exp(-steepness * (score - middle) / mad)) / (1 + times)
        for score, times in zip(scores, EXPANDED, strict=True)
    ]
    return {node: weight / sum(weights) for node, weight in enumerate(weights)}


@pytest.mark.parametrize("steepness", [0.5, 10.0])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_weighted_is_its_formula(direction: str, steepness: float) -> None:
    search = filled(direction, name="weighted", steepness=steepness)
    sign = 1 if direction == "maximize" else -1
    # Scores near the median only, or the reference itself would overflow.
    chances = weighted_chances([max(-8.0, min(8.0, sign * score)) for score in SCORES], steepness)
    assert fits(parents(search), chances)


def test_weighted_without_spread_takes_the_limit() -> None:
    search = Search(name="weighted")
    for score in (1.0, 1.0, 1.0, 2.0, 0.0):
        search.add(score)
    assert fits(parents(search), {0: 0.2, 1: 0.2, 2: 0.2, 3: 0.4, 4: 0.0})


def test_greedy_takes_the_best_and_the_next_best() -> None:
    search = filled(name="greedy")
    sample = search.sample(random.Random(0))
    assert (sample.parent, sample.inspirations) == (8, [2, 7])
    assert filled("minimize", name="greedy").sample(random.Random(0)).parent == 1
    even = Search(name="greedy")
    for _ in range(4):
        even.add(1.0)
    even.add(0.0)
    assert fits(parents(even), {**dict.fromkeys(range(4), 0.25), 4: 0.0})
    assert 4 not in even.sample(random.Random(1), 3).inspirations


@given(
    st.lists(st.floats(-3, 3) | st.just(1.0), min_size=1, max_size=12),
    st.lists(st.lists(st.integers(0, 11), min_size=1, max_size=3, unique=True), max_size=30),
    st.sampled_from(["maximize", "minimize"]),
)
def test_ucb1_paper_is_its_formula(scores: list[float], shown: list[list[int]], direction: str) -> None:
    search = Search(direction, name="ucb1_paper")
    for score in scores:
        search.add(score)
    visits = [0] * len(scores)
    for context in shown:
        known = [node for node in context if node < len(scores)]
        if known:
            search.apply(ev.LearnDone(known[0], known[1:]))
            for node in known:
                visits[node] += 1
    sign = 1 if direction == "maximize" else -1
    turned = [sign * score for score in scores]
    low, spread = min(turned), max(turned) - min(turned)

    def value(node: int) -> float:
        if visits[node] == 0:
            return math.inf
        gain = (turned[node] - low) / spread if spread else 0.0
        return gain + 1.414 * math.sqrt(math.log(sum(visits)) / visits[node])

    sample = search.sample(random.Random(0), 2)
    chosen = [sample.parent, *sample.inspirations]
    expected = sorted(range(len(scores)), key=lambda node: (-value(node), node))[:3]
    assert len(set(chosen)) == len(chosen) == min(3, len(scores))
    assert [value(node) for node in chosen] == pytest.approx([value(node) for node in expected])
    never = [node for node in expected if visits[node] == 0]
    assert chosen[: len(never)] == never, "what was never shown comes first, oldest first"


# What holds of every sampler

Step = tuple[str, int, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["grow", "grow", "grow", "fail", "prune", "restore", "rerun"]),
        st.integers(0, 40),
        st.floats(-4, 4) | st.just(1.0),
    ),
    max_size=45,
)
SMALL = {"islands": 3, "bins": 4, "migration_interval": 3, "migration_rate": 0.4, "archive": 9}


def play(steps: list[Step], name: str, **sampler: Any) -> Search:
    """A search by these steps: nodes come, are pruned, restored and measured again."""
    search = Search(name=name, **{**SMALL, **sampler})
    for seed in range(2):
        search.add(float(seed), code=program(1, 2, seed), round=0)
    rng = random.Random(len(steps))
    for step, (what, which, score) in enumerate(steps):
        node = search.state.nodes[which % len(search.state.nodes)]
        free = [other for other in search.state.nodes if other.score is not None and not other.pruned]
        if what in ("grow", "fail") and free:
            search.grow(None if what == "fail" else score, rng, program(*range(step, step + which)))
        elif what == "prune":
            search.apply(ev.NodePruned(), node.id)
        elif what == "restore":
            search.apply(ev.NodeRestored(), node.id)
        elif what == "rerun" and node.status is not None:
            search.measure(node.id, score if which % 5 else None)
    return search


def draws(sampler: Sampler, state: RunState, count: int = 12) -> list[Sample | None]:
    return [sampler.sample(state, 2, random.Random(seed)) for seed in range(count)]


@pytest.mark.parametrize("name", NAMES)
@given(STEPS)
@settings(max_examples=40)
def test_context_is_whole_distinct_scored_and_never_pruned(name: str, steps: list[Step]) -> None:
    search = play(steps, name)
    assert search.sampler is not None
    free = {n.id for n in search.state.nodes if n.score is not None and not n.pruned}
    for sample in draws(search.sampler, search.state):
        if sample is None:
            assert not free
            continue
        context = [sample.parent, *sample.inspirations]
        assert len(context) == len(set(context)) == min(3, len(free)), "fewer context nodes than there could be"
        assert set(context) <= free


@pytest.mark.parametrize("name", NAMES)
@given(STEPS, st.data())
@settings(max_examples=25)
def test_a_fold_of_the_events_is_the_sampler_that_lived_through_them(name: str, steps: list[Step], data: Any) -> None:
    search = play(steps, name)
    assert search.sampler is not None
    again, state = make_sampler(search.settings), RunState(search.events[0])
    cut = data.draw(st.integers(1, len(search.events)))
    for event in search.events[1:cut]:
        apply(state, event)
        again.apply(event, state)
    # Drawing in the middle leaves no trace: a replay draws less often than the engine did.
    draws(again, state, 3)
    for event in search.events[cut:]:
        apply(state, event)
        again.apply(event, state)
    assert draws(again, state) == draws(search.sampler, search.state)


@pytest.mark.parametrize("name", NAMES)
@given(STEPS)
@settings(max_examples=25)
def test_a_sampler_that_is_taken_up_knows_the_population(name: str, steps: list[Step]) -> None:
    search = play(steps, name)
    assert search.sampler is not None
    late = make_sampler(search.settings)
    take_up(late, search.state)
    if name in ("ucb1_paper", "random", "weighted"):
        # Equal scores stand in the order in which they came, which these three do not look at, or only by chance.
        scores = [n.score for n in search.state.nodes if n.score is not None and not n.pruned]
        if len(set(scores)) == len(scores):
            assert draws(late, search.state) == draws(search.sampler, search.state)
    for sample in draws(late, search.state):
        free = {n.id for n in search.state.nodes if n.score is not None and not n.pruned}
        assert (sample is None) == (not free)
        assert sample is None or {sample.parent, *sample.inspirations} <= free


@pytest.mark.parametrize("name", NAMES)
def test_a_score_that_is_no_number_is_never_sampled(name: str) -> None:
    search = Search(name=name, features=["complexity", "loss"])
    search.add(1.0, loss=math.nan)
    for score in (math.nan, math.inf, -math.inf):
        search.add(score, loss=score)
    search.add(1e308, loss=1e308)
    search.add(-1e308, loss=-1e308)
    for seed in range(200):
        sample = search.sample(random.Random(seed))
        assert {sample.parent, *sample.inspirations} <= {0, 4, 5}


@pytest.mark.parametrize("name", NAMES)
@given(STEPS)
@settings(max_examples=15)
def test_only_the_best_that_are_kept_are_sampled(name: str, steps: list[Step]) -> None:
    search = play(steps, name, keep=4, islands=1)
    assert search.sampler is not None
    scores = sorted((n.score for n in search.state.nodes if n.score is not None and not n.pruned), reverse=True)
    if name == "map_elites":
        assert len(search.islands.archive(0)) <= 4
        return
    for sample in draws(search.sampler, search.state):
        assert sample is None or search.state.nodes[sample.parent].score in scores[:4]
    best = [n for n in search.state.nodes if n.score in scores[:1] and not n.pruned]
    for node in best:
        search.apply(ev.NodePruned(), node.id)
    left = scores[len(best) : len(best) + 4]
    for sample in draws(search.sampler, search.state):
        assert sample is None or search.state.nodes[sample.parent].score in left


# map_elites

GROWTH = st.lists(st.tuples(st.floats(-4, 4), st.floats(-10, 10), st.floats(0, 3)), min_size=1, max_size=60)


def grown(growth: list[tuple[float, float, float]], **sampler: Any) -> tuple[Search, list[tuple[Sample, int]]]:
    """Islands over two metrics, and what each round sampled and made."""
    search = Search(**{"name": "map_elites", "features": ["a", "b"], **SMALL, **sampler})
    search.add(0.0, round=0, a=0.0, b=0.0)
    rng = random.Random(len(growth))
    return search, [search.grow(score, rng, a=a, b=b) for score, a, b in growth]


@given(GROWTH)
def test_every_child_is_in_the_island_its_parent_was_drawn_from(growth: list[tuple[float, float, float]]) -> None:
    search, rounds = grown(growth)
    for sample, child in rounds:
        assert search.islands.home(child) == sample.island
        assert sample.island in search.islands.islands_of(sample.parent)
    assert search.islands.home(0) is None
    assert search.islands.islands_of(0) == [0, 1, 2]


@given(GROWTH)
def test_best_of_island_archive_and_cells_are_the_best(growth: list[tuple[float, float, float]]) -> None:
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


def test_a_range_that_grows_moves_the_elites_and_loses_none() -> None:
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


def test_an_island_keeps_elites_before_better_nodes_of_their_cells() -> None:
    search = Search(name="map_elites", features=["a"], islands=1, keep=4, exploration=1, exploitation=0)
    for score, place in ((1.0, 0.0), (2.0, 9.0), (5.0, 5.0), (4.0, 5.0), (3.0, 5.0)):
        search.add(score, round=0, a=place)
    assert search.islands.grid(0) == {(0,): 0, (9,): 1, (5,): 2}
    assert set(parents(search, 400)) == {0, 1, 2, 3}, "the elites, and the best of the others"
    search.add(0.0, round=0, a=2.0)
    search.add(0.5, round=0, a=7.0)
    assert search.islands.archive(0) == [2, 1, 0, 6], "five elites: the best four"


def test_exploration_and_exploitation_are_their_formulas() -> None:
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


def test_islands_are_drawn_evenly_and_empty_ones_left_out() -> None:
    search = Search(name="map_elites", islands=4)
    search.add(0.0, round=0)
    rng = random.Random(3)
    found = Counter(search.sample(rng, 0).island or 0 for _ in range(4000))
    assert fits(found, dict.fromkeys(range(4), 0.25))
    search.add(1.0, [0])
    search.apply(ev.NodePruned(), 0)
    assert {search.sample(rng, 0).island for _ in range(20)} == {0}


def test_the_best_migrate_to_the_next_island_of_the_ring_and_no_further() -> None:
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


def test_a_pruned_guest_leaves_all_its_islands_and_comes_back_to_them() -> None:
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


def test_programs_without_an_island_go_where_fewest_are() -> None:
    search = Search(name="map_elites", islands=3, migration_interval=100)
    search.add(0.0, round=0)
    assert [search.islands.home(search.add(1.0, [0])) for _ in range(4)] == [0, 1, 2, 0]
    assert search.islands.home(search.add(1.0)) == 1, "an injected program has no parent"
    failed = search.add(None, [2])
    assert search.islands.home(search.add(1.0, [failed])) == 1, "the line of a failure is followed back"


@given(st.lists(st.lists(st.integers(0, 30), max_size=25), min_size=2, max_size=40))
@settings(max_examples=30)
def test_complexity_and_diversity_place_a_node_wherever_it_was_folded(lines: list[list[int]]) -> None:
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


@given(st.sets(st.integers(0, 200), min_size=1, max_size=60), st.sets(st.integers(0, 200), min_size=1, max_size=60))
def test_the_distance_of_sketches_is_the_share_of_lines_not_in_common(a: set[int], b: set[int]) -> None:
    one, other = read_sketch(sketch(program(*a))), read_sketch(sketch(program(*sorted(b, reverse=True))))
    assert one is not None
    assert other is not None
    expected = 1 - len(a & b) / len(a | b)
    # Five standard errors of 32 coins, and a few bytes that are equal by chance.
    assert abs(mean_distance(one, other[None]) - expected) <= 5 * math.sqrt(expected * (1 - expected) / 32) + 0.1


def test_a_sketch_is_the_same_in_every_process() -> None:
    assert sketch("a = 1\n\n# note\nb = 2\n") == sketch("b = 2\n    a = 1")
    assert sketch("a = 1\nb = 2\n") == SKETCH, "a sketch is kept in journals: it must never change"
    assert (sketch(""), sketch("# nothing\n"), read_sketch(""), read_sketch("zz")) == ("", "", None, None)


SKETCH = "d3f538406c34486367727fd2e85e8b5291cada89df24d5c232368a1541ce8d4c"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "best"}, "name"),
        ({"k": 1}, "unknown key 'sampler.k'"),
        ({"c": -0.1}, "`c`"),
        ({"alpha": -1.0}, "`alpha`"),
        ({"keep": 0}, "`keep`"),
        ({"exploration": 0.8, "exploitation": 0.3}, "together"),
        ({"features": []}, "`features`"),
        ({"features": ["a", "a"]}, "`features`"),
        ({"features": ["a", "b", "c", "d", "e"]}, "cells"),
        ({"migration_rate": 1.5}, "`migration_rate`"),
        ({"islands": 0}, "`islands`"),
        ({"islands": 10_000}, "`islands`"),
    ],
)
def test_settings_that_cannot_be_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        merge_settings(("test", {"sampler": table}))


def test_the_name_of_a_sampler_may_stand_for_it() -> None:
    assert parse_setting("sampler=greedy") == {"sampler": {"name": "greedy"}}
    assert parse_setting("sampler.c=0.2") == {"sampler": {"c": 0.2}}
    assert parse_setting("rounds=3") == {"rounds": 3}
