"""The log of ideas: every node as a claim with its outcome and lesson, chosen by filters, and summed by kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.runs.folder import Run
from tests.e2e.runs import events
from tests.tui.conftest import Desk
from tests.tui.pilot import SIZES, Maker, opened, text_of, until
from tests.tui.synthetic import Synthesizer, make_run, story
from tests.tui.test_model import ROOT
from tui.model.ideas import idea_lines, is_kept, kind_lines, read_idea
from tui.model.kinds import KINDS, kinds_of, sums_by
from tui.model.run_model import RunModel, fold_model
from tui.screens.ideas import IdeasScreen
from tui.screens.node import NodeScreen


def text(lines: Any) -> str:
    """The words of a document."""
    return "\n".join("".join(span.text for span in line) for line in lines)


@pytest.fixture(scope="module")
def mixed() -> RunModel:
    """A sample run by a model and by recombination."""
    return fold_model(events(Run(ROOT / "sample_runs" / "circle_packing_mixed")))


@pytest.mark.parametrize("by", KINDS)
def test_sums_by_kind_equal_those_of_their_nodes(mixed: RunModel, by: str) -> None:
    state, ranking = mixed.state, mixed.state.ranking
    sums = sums_by(mixed, by)
    assert sums and [item.nodes for item in sums.values()] == sorted((s.nodes for s in sums.values()), reverse=True)
    for name, item in sums.items():
        nodes = [node for node in state.nodes if name in kinds_of(mixed, node, by)]
        assert item.nodes == len(nodes) and item.fine == sum(node.status == "ok" for node in nodes)
        gains = [
            ranking.gain(node, parent)
            for node in nodes
            if (parent := mixed.parent(node)) is not None and ranking.gain(node, parent) is not None
        ]
        assert item.compared == len(gains) and item.over_parent == pytest.approx(sum(filter(None, gains)))
        assert item.bests == len({step.node for step in state.best_steps} & {node.id for node in nodes})
        assert all(ranking.gain(state.nodes[id_], mixed.parent(state.nodes[id_])) > 0 for id_ in item.newest)  # type: ignore[operator, arg-type]
    if by == "operator":
        first, last = state.best_steps[0], state.best_steps[-1]
        assert sum(item.gain for item in sums.values()) == pytest.approx(ranking.gain(last, first))
    chosen = sums_by(mixed, by, lambda node: node.id < 5)
    assert sum(item.nodes for item in chosen.values()) <= sum(item.nodes for item in sums.values())
    assert by in text(kind_lines(mixed, by, lambda node: True, 100)).splitlines()[0]


def test_idea_says_claim_outcome_lesson_and_whether_it_was_kept(mixed: RunModel) -> None:
    best = mixed.state.best_node
    assert best is not None and read_idea(mixed, best).verdict == "best" and is_kept(mixed, best)
    shown = text(idea_lines(mixed, best, 78))
    for part in ("claim    The prior", "outcome  2.51097, +", "lesson   swap", "kept     yes, best", "prior "):
        assert part in shown, part
    left = next(node for node in mixed.state.nodes if node.status == "ok" and not is_kept(mixed, node))
    assert read_idea(mixed, left).verdict == "left"
    failed = [node for node in mixed.state.nodes if node.status not in ("ok", None)]
    assert all(not is_kept(mixed, node) and read_idea(mixed, node).verdict == node.status for node in failed)


def test_row_of_hostile_idea_is_one_line() -> None:
    pen = Synthesizer(hostile=True)
    model = fold_model(event for page in story(pen, 12, end="finished") for event in page)
    for node in model.state.nodes:
        idea = read_idea(model, node)
        assert not any(char in idea.claim + idea.lesson for char in "\n\x1b\x07\x9b\u202e")


@pytest.mark.parametrize("size", SIZES)
async def test_log_is_filtered_summed_and_opened(runs: Path, make_app: Maker, size: tuple[int, int]) -> None:
    app = make_app(make_run(runs / "ideas", 60, end="finished"))
    async with app.run_test(size=size) as pilot:
        live = await opened(pilot)
        model = live.session.model
        assert model is not None
        await pilot.press("L")
        count = len(model.state.nodes) - 1
        await until(pilot, lambda: f"idea {count} of {count}" in text_of(app), "the newest idea")
        screen: Any = app.screen
        assert isinstance(screen, IdeasScreen)
        assert "claim    larger steps early" in text_of(app) and "→ tune STEPS" in text_of(app)
        await pilot.press("K")
        kept = [node.id for node in model.state.nodes[1:] if is_kept(model, node)]
        assert screen.list.rows == kept and "only kept" in text_of(app)
        await pilot.press("K")
        assert sorted([*screen.list.rows, *kept]) == [node.id for node in model.state.nodes[1:]]
        await pilot.press("K", "ampersand", *"op:swap", "enter")
        swaps = [node.id for node in model.state.nodes if node.operator == "swap"]
        assert screen.list.rows == swaps
        await pilot.press("tab")
        await until(pilot, lambda: "better ones" in text_of(app), "the sums")
        rows = [line.split() for line in text_of(app).splitlines() if line.strip().startswith("swap")]
        assert rows[0][1] == f"{len(swaps)}" and "tune" not in text_of(app).split("better ones")[1].split("better:")[0]
        await pilot.press("tab")
        await until(pilot, lambda: "hexagonal" in text_of(app), "those of the priors")
        await pilot.press("tab")
        await until(pilot, lambda: "no node has a model" in text_of(app), "none of models")
        await pilot.press("tab", "home")
        await until(pilot, lambda: f"#{swaps[0]} " in text_of(app), "the log again")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, NodeScreen), "the node")
        node: Any = app.screen
        assert node.node.id == swaps[0]
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen, "the log")


async def test_new_ideas_come_last_and_move_nothing_that_is_read(live_run: Desk, make_app: Maker) -> None:
    from tests.tui.stand_in import pick_up
    from tui.feed.batch import Batch

    app = make_app(live_run.run)
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        await pilot.press("L")
        await until(pilot, lambda: "idea 59 of 59" in text_of(app), "the newest idea")
        screen: Any = app.screen
        await pilot.press("home", *("down" for _ in range(12)))
        shown = [screen.list.row_strip(y).text for y in range(8)]
        pen, session = pick_up(live_run.run), app.session
        assert session is not None and session.model is not None
        while len(session.model.state.nodes) < 80:
            session.take(Batch(live_run.run, True, tuple(pen.advance())))
        await until(pilot, lambda: "idea 13 of 79" in text_of(app), "the new ones")
        assert [line[:8] for line in shown] == [screen.list.row_strip(y).text[:8] for y in range(8)]
        await pilot.press("end")
        while len(session.model.state.nodes) < 90:
            session.take(Batch(live_run.run, True, tuple(pen.advance())))
        await until(pilot, lambda: "idea 89 of 89" in text_of(app), "the end is followed")


async def test_pause_is_armed_and_shown(live_run: Desk, make_app: Maker) -> None:
    app = make_app(live_run.run)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("A", *"soon", "enter")
        hint = app.screen.query_one("#hint")
        assert "is no moment" in str(hint.render())
        await pilot.press("ctrl+u", *"70", "enter")
        await until(pilot, lambda: live_run.commands() == [("arm", {"at": "round", "round": 70})], "the command")
        live_run.answer(ev.PauseArmed("round", 70), result="it pauses when round 70 ends")
        await until(pilot, lambda: "● running ‖" in text_of(app), "the sign")
        assert "pauses when round 70 ends" in text_of(app)
        await pilot.press("A", "ctrl+u", "enter")
        await until(pilot, lambda: live_run.commands() == [("arm", {"at": "off"})], "the command")
        live_run.answer(ev.PauseArmed())
        await until(pilot, lambda: "● running ‖" not in text_of(app), "no sign")


def test_query_by_model(mixed: RunModel) -> None:
    from tui.model.query import parse_query

    def chosen(query: str) -> list[int]:
        test = parse_query(query, mixed.is_marked, model_of=mixed.spending.model_of)
        return [node.id for node in mixed.state.nodes if test(node)]

    by_model = [node.id for node in mixed.state.nodes if mixed.spending.model_of(node) == "qwen"]
    assert by_model and chosen("model:qw") == by_model
    assert sorted(chosen("model:") + by_model) == list(range(len(mixed.state.nodes)))
