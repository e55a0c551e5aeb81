"""What paired measurements say of a gain: quantiles, bounds, verdicts."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from engine.state.gain import check_of, is_futile, judge_gain, quantile, support_of

GAINS = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=6)


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 30, 101])
def test_quantile_is_that_of_students_t(confidence: float, freedom: int) -> None:
    assert quantile(confidence, freedom) == pytest.approx(stats.t.ppf(confidence, freedom), rel=1e-9, abs=1e-12)


@given(GAINS, st.sampled_from([0.5, 0.8, 0.9, 0.99]))
def test_bound_never_exceeds_mean(gains: list[float], confidence: float) -> None:
    support = support_of(gains)
    assert support.least(confidence) <= support.mean
    assert support_of(gains).least(0.5) == pytest.approx(statistics.fmean(gains))


@given(st.floats(1e-3, 1e6), st.integers(1, 5), st.integers(0, 3))
def test_gain_that_is_always_the_same_is_confirmed(gain: float, recorded: int, fresh: int) -> None:
    """A task without noise is ruled by `min_gain` alone."""
    assert judge_gain([gain] * recorded, [gain] * fresh, gain / 2, 0.99) == "confirmed"
    assert not is_futile([gain] * recorded, gain / 2, 0.99)


@pytest.mark.parametrize(
    ("recorded", "fresh", "outcome"),
    [
        ([0.5], [0.0], "quarantined"),
        ([0.5, 0.5, 0.5], [0.01], "quarantined"),
        ([0.5, 0.5], [-0.2], "quarantined"),
        ([0.02], [0.018], "confirmed"),
        ([0.02], [0.011], "confirmed"),
        ([0.1, 0.09], [0.11], "confirmed"),
        ([0.03, -0.02, 0.01], [], "unsupported"),
        ([0.03, -0.02, 0.04], [0.02], "unsupported"),
        ([0.001], [], "confirmed"),
    ],
)
def test_verdicts(recorded: list[float], fresh: list[float], outcome: str) -> None:
    assert judge_gain(recorded, fresh, 0.0, 0.9) == outcome


def test_programs_that_are_no_better_are_seldom_crowned() -> None:
    """Of designs that are equal to the best and were lucky on the recorded data, as many as the confidence says."""
    rng = random.Random(3)
    crowned = lucky = 0
    while lucky < 2000:
        gains = [rng.gauss(0.0, 1.0) for _ in range(3)]
        if statistics.fmean(gains[:2]) > 0.0:
            lucky += 1
            crowned += judge_gain(gains[:2], gains[2:], 0.0, 0.9) == "confirmed"
    assert crowned < 0.2 * lucky


def test_reasons_name_the_figures() -> None:
    confirmed = check_of("confirmed", [1.0], [1.0], 0.9, reference=2)
    assert (confirmed.reason, confirmed.gain, confirmed.spread, confirmed.least) == ("", 1.0, 0.0, 1.0)
    spread = check_of("unsupported", [1.0, -1.0], [], 0.9, reference=2).reason
    assert spread.startswith(
        "gain within its spread: 0 over #2, standard deviation 1.41 over 2 measurements; at least -3"
    )
    assert check_of("quarantined", [0.5], [0.0], 0.9, reference=2).reason == (
        "gain not confirmed on fresh data: 0 over #2, recorded 0.5"
    )
