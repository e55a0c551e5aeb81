"""What a row of the tree says of a design: the parts that differ, in the room there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.model.moves import read_moves, short_moves

TWO = "swap initial_centers: Low-discrepancy starts + swap refine: Successive linear programmes"


@pytest.mark.parametrize(
    ("name", "operator", "cells", "shown"),
    [
        ("swap refine: SLSQP", "swap", 60, "refine ← SLSQP"),
        (TWO, "swap", 200, "initial_centers ← Low-discrepancy starts, refine ← Successive linear programmes"),
        (TWO, "swap", 56, "initial_centers ← Low-discrepa…, refine ← Successive li…"),
        (TWO, "swap", 30, "initial_centers, refine"),
        ("swap search: Hops + tune MOVES 12 → 24", "swap", 60, "search ← Hops, tune MOVES 12 → 24"),
        ("exchange refine: from #3 + drop polish: back to the seed's", "exchange", 60, "refine ← #3, drop polish"),
        ("tune BETA 0.04 → 0.05", "tune", 60, "BETA 0.04 → 0.05"),
        ("changed search", "diff", 60, "changed search"),
        ("New method: improve by A + B", "diff", 60, "New method: improve by A + B"),
        ("seed", "seed", 60, ""),
    ],
)
def test_row_names_what_was_changed_to_what(name: str, operator: str, cells: int, shown: str) -> None:
    assert short_moves(name, operator, cells) == shown


@given(st.text(max_size=80), st.sampled_from(["swap", "tune", "diff", ""]), st.integers(0, 90))
def test_any_name_gives_a_line(name: str, operator: str, cells: int) -> None:
    assert "\n" not in short_moves(name, operator, cells) and read_moves(name, operator)
