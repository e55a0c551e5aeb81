"""The rows of the tree: same rows for any order of inserts, folding, lineages of any depth."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tui.model.forest import Forest

Parents = list[int | None]

forests = st.lists(st.integers(-1, 10_000), min_size=1, max_size=60).map(
    lambda raw: [None if value < 0 or index == 0 else value % index for index, value in enumerate(raw)]
)


def expected_rows(parents: Parents) -> list[int]:
    """Depth-first order by recursion, the plainest way to say it."""

    def below(node: int | None) -> list[int]:
        found = []
        for child in range(len(parents)):
            if parents[child] == node:
                found += [child, *below(child)]
        return found

    return below(None)


@given(forests, st.randoms(use_true_random=False))
def test_order_of_inserts_does_not_change_the_rows(parents: Parents, rng: random.Random) -> None:
    order = list(range(len(parents)))
    rng.shuffle(order)
    one_by_one, at_once = Forest(), Forest()
    for node in order:
        one_by_one.insert(node, parents[node])
    at_once.load((node, parents[node]) for node in order)

    assert one_by_one.rows == at_once.rows == expected_rows(parents)
    assert one_by_one.depths == at_once.depths
    assert one_by_one.descendants == at_once.descendants


@given(forests, st.sets(st.integers(0, 59)), st.randoms(use_true_random=False))
def test_insert_below_a_folded_node_stays_hidden(parents: Parents, folded: set[int], rng: random.Random) -> None:
    half = len(parents) // 2
    forest = Forest()
    forest.load((node, parents[node]) for node in range(half))
    for node in folded:
        if node in forest:
            forest.fold(node)
    for node in range(half, len(parents)):
        forest.insert(node, parents[node])

    hidden = {node for node in range(len(parents)) if forest.is_hidden(node)}
    assert forest.rows == [node for node in expected_rows(parents) if node not in hidden]
    assert forest.everything() == expected_rows(parents)


def test_lineage_of_thousands_of_generations_does_not_recurse() -> None:
    forest = Forest()
    forest.load((node, node - 1 if node else None) for node in range(5000))
    forest.insert(5000, 4999)

    assert forest.rows == list(range(5001))
    assert forest.depths[5000] == 5000
    assert forest.descendants[0] == 5000
    forest.fold(3)
    assert forest.rows == [0, 1, 2, 3]
    forest.reveal(5000)
    assert len(forest.rows) == 5001


def test_node_with_an_impossible_parent_becomes_a_root() -> None:
    forest = Forest()
    forest.insert(0, None)
    forest.insert(1, 1)
    forest.insert(2, 7)

    assert forest.rows == [0, 1, 2]
    assert forest.lineage(2) == [2]


def test_fold_all_keeps_a_lineage_open() -> None:
    forest = Forest()
    forest.load([(0, None), (1, 0), (2, 0), (3, 1), (4, 2)])
    forest.fold_all(but=[0, 2])

    assert forest.rows == [0, 1, 2, 4]
    forest.unfold_all()
    assert forest.rows == [0, 1, 3, 2, 4]
