"""A short round of every fuzz target with fixed seeds; `make fuzz` runs them for longer."""

from __future__ import annotations

import pytest

from tests.fuzz.rounds import one_round
from tests.fuzz.targets import TARGETS

ROUNDS = {"loader": 25, "priors": 25, "answers": 40, "hunks": 60, "frames": 200, "graft": 20, "run_db": 30}


@pytest.mark.parametrize("target", TARGETS)
def test_damaged_data_is_refused_in_words(target: str) -> None:
    for seed in range(ROUNDS[target]):
        one_round(target, seed)
