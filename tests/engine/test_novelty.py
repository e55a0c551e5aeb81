"""Programs that are alike: how they are compared and found, what a run learns of them, and lines that come back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.journal import events as ev
from engine.loop.novelty import NearWatch
from engine.loop.returned import returned_lines
from engine.programs.minhash import mean_distance, read_sketch, sketch
from engine.programs.near import NearIndex, difference, lines_of
from engine.state.node import Pairs
from engine.state.novelty import LEAST, bin_of, likely_same, spared_told, taken_over, trusts_probe
from engine.state.timeline import copy_state
from tests.engine.searches import Search


def near(alike: float, kind: str = "code", node: int = 0, meaning: bool = False) -> ev.Near:
    return ev.Near(node, alike, kind, meaning)  # type: ignore[arg-type]


class Run(Search):
    """A run that knows what its designs resemble, and what they return in a probe."""

    def design(self, score: float | None, *nears: ev.Near, probe: float | None = None, taken: int | None = None) -> int:
        node = len(self.state.nodes)
        made = ev.DesignDone("", "full", "n", "", [0] if node else [], digest=str(node), near=list(nears))
        self.apply(made, node, 1 if node else 0)
        if probe is not None:
            self.apply(ev.EvalStageDone("probe", "ok", score=probe), node, 1)
        if taken is not None:
            self.apply(ev.EvalDone("ok", score, taken_from=taken, measurements=0), node, 1)
        else:
            self.measure(node, score)
        return node


# Programs


def test_difference_tells_numbers_from_code() -> None:
    one = lines_of("import math\n# why\nSTEP = 0.5\n\n    x = a * 2e-3\nreturn x1\n")
    assert one == {"import math", "STEP = 0.5", "x = a * 2e-3", "return x1"}
    found = difference(lines_of("import math\nSTEP = -1.25\nx = a * 4\nreturn x1\n"), one)
    assert (found.kind, found.shared) == ("numbers", 2 / 6)
    assert (found.come, found.gone) == (["STEP = -1.25", "x = a * 4"], ["STEP = 0.5", "x = a * 2e-3"])
    assert difference(one | {"y = 1"}, one).kind == "code", "a line more is no number"
    assert difference(lines_of("return x2"), lines_of("return x1")).kind == "code", "a name is no number"
    assert difference(one, one) == (1.0, "code", [], [])


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_index_finds_what_a_search_through_all_finds(seed: int) -> None:
    rng = random.Random(seed)
    parent = [f"line {number}" for number in range(40)]
    programs = []
    for _ in range(20):
        lines = [f"other {rng.random()}" if rng.random() < rng.choice((0.02, 0.6)) else line for line in parent]
        programs.append("\n".join(lines))
    index = NearIndex()
    for node, code in enumerate(programs):
        index.add(node, sketch(code))
    wanted = sketch("\n".join([*parent[:-1], "mine"]))
    own = read_sketch(wanted)
    assert own is not None
    apart = {}
    for node, code in enumerate(programs):
        other = read_sketch(sketch(code))
        assert other is not None
        apart[node] = mean_distance(own, other[None])
    found = index.nearest(wanted, 20)
    assert found == sorted(found, key=lambda node: (apart[node], -node))
    # At a quarter of different slots two programs miss each other's bands with a chance below 5 %.
    missed = [node for node in apart if apart[node] <= 0.1 and node not in found]
    assert not missed
    index.add(99, "")
    assert len(index) == 20 and index.nearest("", 5) == []


def test_index_looks_at_a_bounded_number_of_programs() -> None:
    index = NearIndex()
    for node in range(2000):
        index.add(node, sketch(f"a\nb\nc\nd{node}"))
    assert max(len(bucket) for bucket in index._buckets.values()) == 24
    assert len(index.nearest(sketch("a\nb\nc"), 5000)) <= 8 * 24


# What a run learns


def test_nothing_is_judged_before_ten_pairs_and_one_exception_needs_nine_more() -> None:
    run = Run()
    run.design(1.0)
    for _ in range(LEAST):
        assert likely_same(run.state.novelty, near(0.97)) is None
        run.design(1.0, near(0.97))
    assert likely_same(run.state.novelty, near(0.97)) == (10, 10)
    assert likely_same(run.state.novelty, near(0.999)) == (10, 10), "pairs that are no nearer speak for it"
    assert likely_same(run.state.novelty, near(0.8)) is None, "nearer pairs do not"
    assert likely_same(run.state.novelty, near(0.97, "numbers")) is None
    assert likely_same(run.state.novelty, near(0.97, meaning=True)) is None
    run.design(2.0, near(0.97))
    assert likely_same(run.state.novelty, near(0.97)) is None
    for _ in range(8):
        run.design(1.0, near(0.97))
    assert likely_same(run.state.novelty, near(0.97)) == (18, 19)
    # What failed, or was measured before, is no pair.
    before = run.state.novelty.pairs["code, lines alone"].same[:]
    run.measure(run.design(None, near(0.97)), 1.0)
    assert run.state.novelty.pairs["code, lines alone"].same == before and not run.state.novelty.waiting


@pytest.mark.parametrize(("alike", "bin_"), [(0.0, 0), (0.5, 2), (0.75, 4), (0.99, 13), (1.0, 24), (0.99999, 24)])
def test_bins_are_half_octaves_of_what_differs(alike: float, bin_: int) -> None:
    assert bin_of(alike) == bin_


def test_both_kinds_of_a_design_are_counted_and_a_copy_is_independent() -> None:
    run = Run()
    run.design(1.0)
    twin = copy_state(run.state)
    run.design(1.0, near(0.9), near(0.95, "numbers"))
    run.apply(ev.DesignRejected(0, "near", "like node 0", near=near(0.9)))
    run.design(1.0, near(0.9, node=1))
    assert {kind: sum(pairs.same) for kind, pairs in run.state.novelty.pairs.items()} == {
        "code, lines alone": 2, "numbers, lines alone": 1,
    }  # fmt: skip
    assert twin.novelty.pairs == {} and run.state.novelty.refused == 1
    assert spared_told(run.state) == "1 design refused as near to a measured one"
    again = copy_state(run.state)
    run.design(3.0, near(0.9))
    assert sum(again.novelty.pairs["code, lines alone"].other) == 0
    assert Pairs.empty(3) == Pairs([0] * 3, [0] * 3)


# The probe


def test_probe_is_trusted_after_three_and_never_after_one_that_was_wrong() -> None:
    run = Run()
    run.design(1.0, probe=7.0)
    run.crown(0)
    for _ in range(3):
        node = run.design(1.0, probe=7.0)
        assert not trusts_probe(run.state.probes) or node == 3
    state = run.state
    assert trusts_probe(state.probes) and state.probes.first == {b"[7.0,{}]": 0}
    state.probes.waiting[9] = b"[7.0,{}]"
    node = state.nodes[3]
    state.probes.waiting[node.id] = b"[7.0,{}]"
    assert taken_over(state, node) is state.nodes[0]
    state.probes.waiting[node.id] = b"[8.0,{}]"
    assert taken_over(state, node) is None
    copy = run.design(1.0, probe=7.0, taken=0)
    assert (state.nodes[copy].taken_from, state.nodes[copy].eligible, state.probes.taken) == (0, False, 1)
    # It is not the best either if that falls.
    for other in (0, 1, 2, 3):
        run.apply(ev.VerifyDone("quarantined", "no gain"), other)
    assert state.fittest() is None
    state.probes.waiting[node.id] = b"[7.0,{}]"
    assert taken_over(state, node) is None, "its score is in doubt"
    run.measure(copy, 1.0)
    assert state.nodes[copy].eligible, "it was measured after all"
    run.design(2.0, probe=7.0)
    assert not trusts_probe(state.probes) and "the probe was wrong" in spared_told(state)


@pytest.mark.parametrize("fails_first", [False, True])
def test_probe_is_wrong_if_one_of_two_alike_fails(fails_first: bool) -> None:
    run = Run()
    for failed in (fails_first, not fails_first):
        run.design(None if failed else 1.0, probe=7.0)
    assert (run.state.probes.right, run.state.probes.wrong) == (0, 1)


def test_probes_of_another_task_count_for_nothing() -> None:
    run = Run()
    for _ in range(4):
        run.design(1.0, probe=7.0)
    run.design(1.0, probe=7.0, taken=0)
    assert trusts_probe(run.state.probes)
    run.apply(ev.TaskChanged({}, adopted=True, spec={"name": "t", "direction": "maximize"}))
    run.state.probes.waiting[3] = b"[7.0,{}]"
    assert taken_over(run.state, run.state.nodes[3]) is None
    assert (run.state.probes.right, run.state.probes.taken) == (0, 1)


# Lines that come back


def test_lines_that_were_deleted_and_came_back_are_told_once_with_the_outcome() -> None:
    run = Search()
    texts = [
        "a = first()\nb = second()\nelse:",
        "a = first()\nc = third()",  # b is deleted in #1
        "a = first()\nb = second()\nc = third()\nelse:",  # and is back in #2
        "c = third()\nd = fourth()",  # a and b are deleted in #3
        "c = third()\na = first()\nd = fourth()",  # a child of #3 brings a back
    ]
    for node, parents in enumerate([[], [0], [1], [2], [3]]):
        made = ev.DesignDone(str(node), "full", "n", "", parents, digest=str(node))
        run.apply(made, node)
        run.measure(node, float(node))
    told = returned_lines(run.state, run.state.nodes[3], lambda text: texts[int(text)], lambda node: f"of {node.id}")
    assert told == [
        "b = second()   (deleted in #3, back in #2: of 2)",
        "a = first()   (deleted in #3, back in #4: of 4)",
    ]
    assert returned_lines(run.state, run.state.nodes[1], lambda text: texts[int(text)], lambda node: "") == [
        "b = second()   (deleted in #1, back in #2)"
    ]
    assert returned_lines(run.state, run.state.nodes[0], lambda text: texts[int(text)], lambda node: "") == []


async def test_meaning_of_the_lines_that_differ_counts_as_much_as_they_are() -> None:
    run = Search(settings={"novelty": {"near": "meaning"}})
    texts = ["a = first()\nb = second()\nc = 1", "a = first()\nb = second()\nc = 9", "a = first()\nd = other()\ne = 2"]
    for node, text in enumerate(texts):
        run.apply(ev.DesignDone(str(node), "full", "n", "", [], digest=str(node), sketch=sketch(text)), node)
        run.measure(node, float(node))
    asked: list[list[str]] = []

    async def embed(some: Sequence[str]) -> NDArray[np.float32] | None:
        asked.append(list(some))
        # What went and what came lie at an angle of 60 degrees.
        return np.array([[1.0, 0.0], [0.5, 0.75**0.5]] * (len(some) // 2), np.float32)

    session: Any = SimpleNamespace(state=run.state, spec=run.state.spec, text=lambda node: texts[int(node)])
    code = "a = first()\nb = second()\nc = 4"
    found = await NearWatch(session, embed).look(code, [1, 2])
    assert {near.kind: near.node for near in found} == {"numbers": 1, "code": 2}
    # Two lines of four are shared with #1, one of five with #2.
    assert [near.alike for near in found] == pytest.approx([0.5 + 0.5 * 0.5, 0.2 + 0.8 * 0.5], abs=1e-3)
    assert all(near.meaning for near in found) and asked[0][:2] == ["c = 9", "c = 4"]

    async def failed(some: Sequence[str]) -> None:
        return None

    plain = await NearWatch(session, failed).look(code, [1, 2])
    assert [near.alike for near in plain] == [0.5, 0.2] and not any(near.meaning for near in plain)
    run.apply(ev.SettingsChanged({"novelty": {"near": "off"}}))
    assert await NearWatch(session, embed).look(code, [2]) == []
