"""Compare: runs beside each other, marked in the list; told apart without colours too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.runs.compare import ComparedRun, Step, common_ranking, read_compared
from engine.runs.folder import Run
from engine.settings.fitness import FitnessSettings
from engine.state.ranking import Ranking
from tests.tui.pilot import Maker, text_of, until
from tests.tui.synthetic import make_run
from tui.model.compare import TABS, compare_document
from tui.screens.compare import CompareScreen
from tui.screens.runs import RunsScreen

SIZES = [(80, 24), (120, 40)]


@st.composite
def compared(draw: st.DrawFn) -> ComparedRun:
    """Any run: no, one or many improvements, at once or late, with scores of any size."""
    rounds = draw(st.integers(0, 500))
    places = sorted(draw(st.lists(st.integers(0, rounds), max_size=6)))
    scores = sorted(draw(st.lists(st.floats(-1e12, 1e12), min_size=len(places), max_size=len(places))))
    steps = [
        Step(node, score, place, place / 100, place * 7, float(place), draw(st.none() | st.floats(-1e3, 1e3)))
        for node, (place, score) in enumerate(zip(places, scores, strict=True))
    ]
    return ComparedRun(
        run=Run(Path("/runs/any")), task="t", ranking=Ranking("m", by_fitness=draw(st.booleans())),
        fitness=FitnessSettings(judge=draw(st.sampled_from([0.0, 0.5]))), baseline={}, status="finished", rounds=rounds,
        nodes=len(steps), failed=0, usd=rounds / 100, tokens=rounds * 7, seconds=float(rounds), generations=1,
        steps=steps, settings={"rounds": rounds}, program="a = 1\n" * len(steps),
    )  # fmt: skip


@given(
    runs=st.lists(compared(), min_size=1, max_size=6),
    axis=st.sampled_from(["rounds", "usd", "tokens", "seconds"]),
    width=st.integers(1, 200),
    height=st.integers(1, 60),
)
def test_comparison_fits_any_size(runs: list[ComparedRun], axis: Any, width: int, height: int) -> None:
    for tab in TABS:
        lines = compare_document(runs, tab, axis, width, height)
        text = "\n".join("".join(span.text for span in line) for line in lines)
        assert "\x1b" not in text
        if tab == "Curves" and any(run.steps for run in runs) and width >= 40 and max(run.rounds for run in runs):
            drawn = text.partition("│")[2]
            for index, run in enumerate(runs):
                values = [common_ranking(runs).of(step) for step in run.steps]
                assert set(values) <= {None} or chr(ord("a") + index) in drawn


def flat_run(rounds: int, scores: list[float]) -> ComparedRun:
    """A run whose steps were all made at once."""
    steps = [Step(node, score, 0, 0.0, 0, 0.0, None) for node, score in enumerate(scores)]
    return ComparedRun(
        run=Run(Path("/runs/any")), task="t", ranking=Ranking("m"), fitness=FitnessSettings(), baseline={},
        status="finished", rounds=rounds, nodes=len(steps), failed=0, usd=0.0, tokens=0, seconds=0.0, generations=1,
        steps=steps, settings={}, program="",
    )  # fmt: skip


def test_curves_that_end_at_the_left_edge_keep_their_letters() -> None:
    lines = compare_document([flat_run(0, [0.0]), flat_run(0, [0.0]), flat_run(9, [])], "Curves", "rounds", 60, 20)
    drawn = "".join(span.text for line in lines for span in line).partition("│")[2]
    assert "a" in drawn and "b" in drawn


def test_curves_that_coincide_are_both_seen() -> None:
    lines = compare_document([flat_run(9, [0.0]), flat_run(9, [0.0])], "Curves", "rounds", 60, 20)
    looks = [span.look for line in lines[2:] for span in line if re.search("[\u2801-\u28ff]", span.text)]
    assert min(looks.count("accent"), looks.count("best")) > 5


@pytest.mark.parametrize("size", SIZES)
async def test_marked_runs_are_compared(runs: Path, make_app: Maker, size: tuple[int, int]) -> None:
    one = make_run(runs / "one", 20, end="finished")
    make_run(runs / "two", 30, seed=3, end="finished", rounds=30)
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: text_of(app).count("finished") == 2, "the list")
        await pilot.press("m")
        await pilot.press("c")
        assert isinstance(app.screen, RunsScreen) and "Compare" not in text_of(app).splitlines()[-1]
        await pilot.press("m")
        assert "c Compare" in text_of(app).splitlines()[-1]
        await pilot.press("c")
        await until(pilot, lambda: "20 rounds" in text_of(app) and "│" in text_of(app), "the curves")
        assert isinstance(app.screen, CompareScreen)
        text = text_of(app)
        assert " a " in text and " b " in text and "2 runs by rounds" in text
        assert max(len(line) for line in text.splitlines()) <= size[0]
        best = read_compared(one).best
        assert best is not None and f"{best.score:.6g} #{best.node}" in text
        await pilot.press("a")
        await until(pilot, lambda: "by engine time" in text_of(app), "the next axis that anything was spent of")
        for key, piece in (("2", "generations to the best"), ("3", "settings that differ"), ("4", "@@"), ("tab", "│")):
            await pilot.press(key)
            await until(pilot, lambda piece=piece: piece in text_of(app), piece)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen), "the list")
        await pilot.press("home", "r")
        await until(pilot, lambda: "event " in text_of(app), "the replay")


async def test_missing_run_is_reported(runs: Path, make_app: Maker) -> None:
    make_run(runs / "one", 5, end="finished")
    app = make_app()
    # Wide enough for the path of any temporary folder.
    async with app.run_test(size=(200, 24)) as pilot:
        await app.push_screen(CompareScreen([Run(runs / "one"), Run(runs / "two")]))
        await until(pilot, lambda: "two/run.db" in text_of(app), "the reason")
