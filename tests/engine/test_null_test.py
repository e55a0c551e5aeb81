"""The null test: how often a program that is no better would be crowned."""

from __future__ import annotations

import pytest

from engine.settings.model import Settings
from engine.state.null_test import MOST, Crowning, crowning_of, run_null_test
from engine.task.spec import Stage, TaskSpec

NOISY = [0.50, 0.53, 0.49]
"""Measurements of one program."""


def test_task_without_noise_passes_whatever_the_rule() -> None:
    found = run_null_test([0.5, 0.5], Crowning(1, 0, False, 0.0, 0.5))
    assert (found.ok, found.chance) == (True, 0.0)
    assert found.describe().startswith("the same in 2 measurements")


def test_score_alone_crowns_half_of_what_is_no_better() -> None:
    found = run_null_test(NOISY, Crowning(1, 0, False, 0.0, 0.9))
    assert found.chance == pytest.approx(0.5, abs=0.05)
    assert found.needed_gain is not None
    assert found.needed_repeats is None, "without a min_gain no number of repeats helps"
    assert run_null_test(NOISY, Crowning(1, 0, False, found.needed_gain, 0.9)).ok
    assert f"min_gain = {found.needed_gain:.2g} would do" in found.describe()
    assert "min_gain" not in found.describe(gain_helps=False)


@pytest.mark.parametrize(("repeats", "confirmations"), [(1, 0), (2, 0), (1, 2)])
def test_fresh_data_and_spread_hold_back_what_is_no_better(repeats: int, confirmations: int) -> None:
    assert run_null_test(NOISY, Crowning(repeats, confirmations, True, 0.0, 0.9)).chance < MOST


def test_repeats_that_would_do_are_named() -> None:
    crowning = Crowning(1, 0, False, 0.03, 0.5)
    found = run_null_test(NOISY, crowning)
    assert found.needed_repeats is not None
    assert run_null_test(NOISY, crowning._replace(repeats=found.needed_repeats)).ok
    assert not run_null_test(NOISY, crowning._replace(repeats=found.needed_repeats - 1)).ok


def test_rule_is_that_of_the_task() -> None:
    spec = TaskSpec("t", "maximize", guarded=True, noisy=True, min_gain=0.1, stages=[Stage(repeats=2)])
    assert crowning_of(spec, Settings(confidence=0.8)) == Crowning(2, 2, True, 0.1, 0.8)
