"""The benchmark of samplers: its landscapes, and that the same seeds give the same rows."""

from __future__ import annotations

import random

import pytest

from engine.runs.paired import interval
from tests.bench import bench_novelty, bench_samplers, bench_standstill
from tests.bench.landscapes import LANDSCAPES, Landscape, answer


@pytest.mark.parametrize("landscape", LANDSCAPES, ids=lambda landscape: landscape.name)
def test_search_gains_and_repeats(landscape: Landscape) -> None:
    begin = landscape.score(landscape.start(random.Random(f"{landscape.name} 0 begin")))
    found = bench_samplers.search(landscape, {}, 0, 40)
    assert found > begin
    assert bench_samplers.search(landscape, {}, 0, 40) == found


def test_answers_fail_now_and_then() -> None:
    smooth, rng = LANDSCAPES[0], random.Random(1)
    start = smooth.start(rng)
    failed = sum(answer(smooth, start, [start], rng) is None for _ in range(600))
    assert 20 < failed < 90


def test_rows_compare_with_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: bench_samplers.VARIANTS[name] for name in (bench_samplers.DEFAULT, "random")}
    monkeypatch.setattr(bench_samplers, "VARIANTS", few)
    monkeypatch.setattr(bench_samplers, "LANDSCAPES", LANDSCAPES[:2])
    same, random_ = bench_samplers.main(False, rounds=60, repeats=3)
    assert same["value"] == 0.0, "the default does not differ from itself"
    assert random_["value"] < 0
    assert "smooth" in random_["note"] and "valley" in random_["note"]


def test_interval_holds_the_mean_and_repeats() -> None:
    gains = [0.1, 0.4, -0.2, 0.3, 0.2, 0.6]
    mean, low, high = interval(gains)
    assert low < mean < high
    assert interval(gains) == (mean, low, high)
    assert interval([0.5]) == (0.5, 0.5, 0.5)
    assert interval(gains, 0.5)[1] > low


def test_standstill_is_compared_with_telling_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: bench_standstill.VARIANTS[name] for name in (bench_standstill.TELL, "act")}
    monkeypatch.setattr(bench_standstill, "VARIANTS", few)
    monkeypatch.setattr(bench_standstill, "LANDSCAPES", [LANDSCAPES[4]])
    same, acting = bench_standstill.main(False, rounds=150, repeats=3)
    assert same["value"] == 0.0 and acting["value"] != 0.0
    assert "deceptive" in acting["note"] and "stood still" in acting["note"]
    found = bench_standstill.search(LANDSCAPES[4], few["act"], 0, 150)
    assert found == bench_standstill.search(LANDSCAPES[4], few["act"], 0, 150)
    assert found[1] >= found[2]


async def test_what_changes_nothing_is_asked_again_and_else_nothing_is() -> None:
    circles = next(each for each in LANDSCAPES if each.name == "circles")
    found = await bench_novelty.search(circles, {"near": "lines"}, 0, 120, 0.3, None)
    assert found.refused > 5 and found.same == found.refused and found.gains == 0
    exact = await bench_novelty.search(circles, {"near": "lines"}, 0, 60, 0.0, None)
    assert exact.refused == 0 and exact == await bench_novelty.search(circles, {"near": "off"}, 0, 60, 0.0, None)
