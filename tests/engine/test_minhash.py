"""Sketches of programs."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from engine.programs.minhash import mean_distance, read_sketch, sketch
from tests.engine.searches import program


@given(st.sets(st.integers(0, 200), min_size=1, max_size=60), st.sets(st.integers(0, 200), min_size=1, max_size=60))
def test_distance_is_the_share_of_lines_not_in_common(a: set[int], b: set[int]) -> None:
    one, other = read_sketch(sketch(program(*a))), read_sketch(sketch(program(*sorted(b, reverse=True))))
    assert one is not None
    assert other is not None
    expected = 1 - len(a & b) / len(a | b)
    # Five standard errors of 32 coins, and a few bytes that are equal by chance.
    assert abs(mean_distance(one, other[None]) - expected) <= 5 * math.sqrt(expected * (1 - expected) / 32) + 0.1


def test_sketch_is_the_same_in_every_process() -> None:
    assert sketch("a = 1\n\n# note\nb = 2\n") == sketch("b = 2\n    a = 1")
    assert sketch("a = 1\nb = 2\n") == SKETCH, "a sketch is kept in journals: it must never change"
    assert (sketch(""), sketch("# nothing\n"), read_sketch(""), read_sketch("zz")) == ("", "", None, None)


SKETCH = "d3f538406c34486367727fd2e85e8b5291cada89df24d5c232368a1541ce8d4c"
