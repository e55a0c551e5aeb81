"""Every sampler against its formula, and what must hold of all of them."""

from __future__ import annotations

import math
import random
from statistics import median
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.journal import events as ev
from engine.samplers import Sampler, make_sampler, take_up
from engine.samplers.base import Sample
from engine.settings.model import SamplerSettings, merge_settings, parse_setting
from engine.state.fold import apply
from engine.state.run_state import RunState
from tests.engine.searches import SMALL, Search, fits, parents, program

NAMES: tuple[str, ...] = get_args(get_type_hints(SamplerSettings)["name"])

SELECTING = [name for name in NAMES if name not in ("iid", "sequential")]
"""Those that look at scores."""

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
def test_random_draws_evenly(direction: str) -> None:
    assert fits(parents(filled(direction, name="random")), dict.fromkeys(range(10), 0.1))


@pytest.mark.parametrize("alpha", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_power_law_follows_its_formula(direction: str, alpha: float) -> None:
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
def test_weighted_follows_its_formula(direction: str, steepness: float) -> None:
    search = filled(direction, name="weighted", steepness=steepness)
    sign = 1 if direction == "maximize" else -1
    # Scores near the median only, or the reference itself would overflow.
    chances = weighted_chances([max(-8.0, min(8.0, sign * score)) for score in SCORES], steepness)
    assert fits(parents(search), chances)


def test_weighted_sees_its_archive_of_the_best_alone() -> None:
    search = Search(name="weighted")
    for score in range(60):
        search.add(float(score))
    counts = parents(search)
    assert set(counts) <= set(range(20, 60))
    # Half of the archive lies below its own median, 39.5, and is hardly drawn.
    assert sum(times for node, times in counts.items() if node < 39) < 0.02 * sum(counts.values())
    everything = Search(name="weighted", keep=None)
    for score in range(60):
        everything.add(float(score))
    assert min(parents(everything)) < 40


def test_defaults_of_now_do_not_change_an_old_run() -> None:
    journalled = msgspec.convert({"name": "weighted", "keep": None, "islands": 5}, SamplerSettings)
    assert (journalled.kept, journalled.islands) == (None, 5)
    assert msgspec.convert({"name": "weighted"}, SamplerSettings).kept == 40
    assert msgspec.convert({"name": "ucb1"}, SamplerSettings).kept is None
    assert set(msgspec.to_builtins(SamplerSettings())) == set(SamplerSettings.__struct_fields__), "a run names them all"


def test_weighted_without_spread_takes_the_limit() -> None:
    search = Search(name="weighted")
    for score in (1.0, 1.0, 1.0, 2.0, 0.0):
        search.add(score)
    assert fits(parents(search), {0: 0.2, 1: 0.2, 2: 0.2, 3: 0.4, 4: 0.0})


def test_greedy_picks_the_best_and_the_next_best() -> None:
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
def test_ucb1_paper_follows_its_formula(scores: list[float], shown: list[list[int]], direction: str) -> None:
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


@pytest.mark.parametrize("name", SELECTING)
@given(STEPS)
def test_context_is_complete_distinct_scored_and_not_pruned(name: str, steps: list[Step]) -> None:
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
def test_fold_of_events_gives_the_same_sampler(name: str, steps: list[Step], data: Any) -> None:
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
def test_sampler_chosen_late_knows_the_population(name: str, steps: list[Step]) -> None:
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
def test_score_that_is_not_a_number_is_never_sampled(name: str) -> None:
    search = Search(name=name, features=["complexity", "loss"])
    search.add(1.0, loss=math.nan)
    for score in (math.nan, math.inf, -math.inf):
        search.add(score, loss=score)
    search.add(1e308, loss=1e308)
    search.add(-1e308, loss=-1e308)
    for seed in range(200):
        sample = search.sample(random.Random(seed))
        assert {sample.parent, *sample.inspirations} <= {0, 4, 5}


@pytest.mark.parametrize("name", SELECTING)
@given(STEPS)
@settings(max_examples=15)
def test_only_kept_nodes_are_sampled(name: str, steps: list[Step]) -> None:
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


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "best"}, "name"),
        ({"k": 1}, "unknown key 'sampler.k'"),
        ({"c": -0.1}, "`c`"),
        ({"alpha": -1.0}, "`alpha`"),
        ({"keep": 0}, "`keep`"),
        ({"features": []}, "`features`"),
        ({"features": ["a", "a"]}, "`features`"),
        ({"features": ["a", "b", "c", "d", "e"]}, "cells"),
        ({"migration_rate": 1.5}, "`migration_rate`"),
        ({"islands": 0}, "`islands`"),
        ({"islands": 10_000}, "`islands`"),
    ],
)
def test_invalid_settings_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        merge_settings(("test", {"sampler": table}))


@pytest.mark.parametrize("name", SELECTING)
def test_what_a_person_had_verified_in_vain_is_drawn_by_its_lower_standing(name: str) -> None:
    search = Search(name=name, keep=2 if name != "map_elites" else None)
    for score in (1.0, 2.0, 9.0):
        search.add(score)
    search.apply(ev.VerifyDone("quarantined", scores=[0.5], asked=True), 2)
    assert search.state.nodes[2].standing == 0.5
    fresh = make_sampler(search.settings)
    take_up(fresh, search.state)
    assert search.sampler is not None
    for seed in range(20):
        drawn = search.sampler.sample(search.state, 2, random.Random(seed))
        assert drawn == fresh.sample(search.state, 2, random.Random(seed))


def test_sampler_can_be_set_by_its_name() -> None:
    assert parse_setting("sampler=greedy") == {"sampler": {"name": "greedy"}}
    assert parse_setting("sampler.c=0.2") == {"sampler": {"c": 0.2}}
    assert parse_setting("rounds=3") == {"rounds": 3}


@given(STEPS, st.sampled_from(["iid", "sequential"]))
def test_baselines_take_oldest_or_newest_node_alone(steps: list[Step], name: str) -> None:
    search = play(steps, name)
    assert search.sampler is not None
    free = [n.id for n in search.state.nodes if n.score is not None and not n.pruned]
    wanted = (min if name == "iid" else max)(free, default=None)
    for sample in draws(search.sampler, search.state):
        assert (sample and (sample.parent, sample.inspirations)) == (None if wanted is None else (wanted, []))
