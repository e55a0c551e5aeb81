"""Which priors are chosen for a query, and which are drawn."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from cognition import retrieve as module
from cognition.prior import Prior, parse_prior
from cognition.retrieve import retrieve


def prior(name: str, text: str, weight: float = 1.0) -> Prior:
    return parse_prior(name, f"---\nweight: {weight}\n---\n{text}\n")


BASE = [
    prior("lattice", "# Hexagonal rows\n\nCircles in rows, shifted."),
    prior("solver", "# Quadratic programming\n\nA solver for smooth constraints."),
    prior("hop", "# Basin hopping\n\nPerturb and solve again."),
    prior("anneal", "# Annealing\n\nAccept losses; circles shake."),
]


def test_matches_come_best_first_and_say_why() -> None:
    hits = retrieve(BASE, "Which solver has smooth constraints? Rows.", 2, 0, random.Random(0))
    assert [hit.prior.id for hit in hits] == ["solver", "lattice"]
    assert hits[0].score > hits[1].score > 0
    assert "solver" in hits[0].why


def test_word_forms_match() -> None:
    assert [hit.prior.id for hit in retrieve(BASE, "perturbed", 3, 0, random.Random(0))] == ["hop"]


def test_weight_counts_and_zero_is_never_chosen() -> None:
    assert retrieve(BASE, "losses rows", 4, 0, random.Random(0))[0].prior.id == "lattice", "in its title's column too"
    base = [*BASE[:3], prior("anneal", "# Annealing\n\nAccept losses; circles shake.", weight=100)]
    assert retrieve(base, "losses rows", 4, 0, random.Random(0))[0].prior.id == "anneal"
    silent = [prior("lattice", BASE[0].body, weight=0), *BASE[1:]]
    for seed in range(30):
        assert "lattice" not in {h.prior.id for h in retrieve(silent, "rows", 4, 4, random.Random(seed))}


def test_the_drawn_are_others_by_weight_and_reproducible() -> None:
    counts: Counter[str] = Counter()
    base = [*BASE, prior("heavy", "# Heavy", weight=5)]
    for seed in range(400):
        hits = retrieve(base, "solver", 1, 1, random.Random(seed))
        assert hits == retrieve(base[::-1], "solver", 1, 1, random.Random(seed))
        assert [hit.prior.id for hit in hits[:1]] == ["solver"]
        assert (hits[1].why, hits[1].score) == ("drawn", 0.0)
        counts[hits[1].prior.id] += 1
    assert counts["solver"] == 0
    assert 200 < counts["heavy"] < 300


def test_never_more_than_there_are_and_none_twice() -> None:
    hits = retrieve(BASE, "circles", 10, 10, random.Random(0))
    assert sorted(hit.prior.id for hit in hits) == sorted(p.id for p in BASE)
    assert retrieve([], "circles", 3, 3, random.Random(0)) == []
    assert [hit.why for hit in retrieve(BASE, "", 3, 1, random.Random(0))] == ["drawn"]


def test_an_edited_prior_is_found_by_its_new_words() -> None:
    assert retrieve(BASE, "zebra", 3, 0, random.Random(0)) == []
    edited = [prior("lattice", "# Zebra"), *BASE[1:]]
    assert [hit.prior.id for hit in retrieve(edited, "zebra", 3, 0, random.Random(0))] == ["lattice"]


def test_the_index_is_kept_while_no_revision_changes() -> None:
    retrieve(BASE, "circles", 1, 0, random.Random(0))
    before = module._index.cache_info().misses
    again = [parse_prior(p.id, p.text) for p in BASE]
    retrieve(again, "solver", 1, 0, random.Random(0))
    assert module._index.cache_info().misses == before


@settings(max_examples=60, deadline=None)
@given(st.text() | st.sampled_from(['"', "a OR", "NEAR(a b)", "title:x", "* ^a -b", "rows\0", "'; DROP TABLE prior"]))
def test_no_query_is_syntax(query: str) -> None:
    retrieve(BASE, query, 3, 1, random.Random(0))
