"""Commands over a real journal and a real scheduler, without an engine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.journal import events as ev
from engine.journal.database import send_command
from engine.journal.reader import JournalReader
from engine.runs.command_kinds import Answer, read_answer
from engine.runs.folder import Run
from tests.conftest import TaskMaker
from tests.e2e.runs import HELD, events, let_go, make_run
from tests.engine.loop.parts import Parts, measure, open_parts


@pytest.fixture
def run(make_task: TaskMaker, tmp_path: Path) -> Run:
    return make_run(make_task(), tmp_path / "runs", workers=1)


async def ask(parts: Parts, run: Run, kind: str, **data: Any) -> Answer:
    """Send a command; return the answer once it is in the journal."""
    number = await asyncio.to_thread(send_command, run.db, kind, data)
    while True:
        for event in events(run, ev.CommandDone):
            assert isinstance(event.data, ev.CommandDone)
            if event.data.command == number:
                return read_answer(event.data)
        await asyncio.sleep(0.01)


async def test_pause_and_resume_are_recorded_with_their_answers(run: Run) -> None:
    async with open_parts(run) as parts:
        assert await ask(parts, run, "pause") == Answer(True, "done", "paused")
        assert parts.gate.held_by("person")
        assert await ask(parts, run, "pause") == Answer(True, "unchanged", "it is paused already")
        assert await ask(parts, run, "resume") == Answer(True, "done", "resumed")
        assert not parts.gate.paused
        assert await ask(parts, run, "resume") == Answer(True, "unchanged", "it is not paused")
    kinds = [type(event.data) for event in events(run) if isinstance(event.data, ev.RunPaused | ev.RunResumed)]
    assert kinds == [ev.RunPaused, ev.RunResumed]


async def test_pause_now_freezes_running_evaluations(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(evaluate=HELD), tmp_path / "runs")
    async with open_parts(run) as parts:
        running = asyncio.create_task(parts.experiment.run(0))
        while not parts.session.state.evaluations[0].progress:
            await asyncio.sleep(0.01)
        assert (await ask(parts, run, "pause", now=True)).text == "paused; 1 evaluation stands still"
        assert parts.session.state.frozen
        refused = await ask(parts, run, "step")
        assert (refused.ok, refused.code) == (False, "refused")
        assert (await ask(parts, run, "resume")).ok
        let_go(run)
        await running
        assert parts.session.state.nodes[0].score == 1.0


async def test_resume_while_no_model_answers_says_that_they_are_asked_again(run: Run) -> None:
    from engine.llm.faults import Fault

    async with open_parts(run) as parts:
        # Somebody else's probe is under way, so that this call can only wait.
        parts.failover.add("m", Fault("down", "connection refused"))
        parts.failover._known["m"].until = float("inf")
        waiting = asyncio.create_task(parts.failover.next("call", ["m"]))
        while not parts.gate.paused:
            await asyncio.sleep(0)
        await ask(parts, run, "pause")
        answer = await ask(parts, run, "resume")
        assert (answer.ok, answer.code) == (True, "retrying")
        assert "connection refused" in answer.text
        assert await waiting == ("m", False)
        parts.failover.clear("m")
        assert parts.session.state.status == "running"


async def test_step_needs_a_paused_run(run: Run) -> None:
    async with open_parts(run) as parts:
        assert (await ask(parts, run, "step")).text.startswith("only a paused run can be stepped")
        await ask(parts, run, "pause")
        assert (await ask(parts, run, "step")).text == "round 0 goes on to its end"
        assert parts.gate.open_for(0)


async def test_stop_is_answered_and_later_commands_are_refused_with_a_code(run: Run) -> None:
    async with open_parts(run) as parts:
        assert await ask(parts, run, "stop", reason="enough") == Answer(True, "done", "stopping")
        assert parts.scheduler.end == ev.RunStopped("enough")
        assert (await ask(parts, run, "resume")).code == "stopping"


async def test_new_weights_of_fitness_crown_another_node(make_task: TaskMaker, tmp_path: Path) -> None:
    run = make_run(make_task(), tmp_path / "runs")
    async with open_parts(run) as parts:
        await parts.experiment.run(0)
        parts.session.emit(ev.AnalyzeDone("l"), round=0, node=0)
        parts.session.emit(
            ev.DesignDone("", "tune", "n", "m", [0], digest="d"),
            ev.EvalDone("ok", -20.0, {"x": 9.0}, stage="explore"),
            ev.AnalyzeDone("l"),
            round=1,
            node=1,
        )
        assert parts.session.state.best == 0
        fitness = {"kind": "composite", "parts": {"x": {"direction": "maximize"}}}
        assert (await ask(parts, run, "set", settings={"fitness": fitness})).ok
        assert parts.session.state.best == 1


async def test_rerun_starts_at_once(run: Run) -> None:
    async with open_parts(run) as parts:
        await parts.seeds.run()
        assert (await ask(parts, run, "rerun", node=0)).ok
        await parts.scheduler.drain()
        assert parts.session.state.nodes[0].measurements == 2


async def test_command_for_an_earlier_engine_is_refused(run: Run) -> None:
    send_command(run.db, "stop", {})
    async with open_parts(run) as parts:
        while not events(run, ev.CommandDone):
            await asyncio.sleep(0.01)
        assert not parts.scheduler.stopping
    (done,) = (event.data for event in events(run, ev.CommandDone))
    assert isinstance(done, ev.CommandDone) and (done.ok, done.code) == (False, "ended")


async def test_refused_command_has_no_effect_and_its_row_says_why(run: Run) -> None:
    async with open_parts(run) as parts:
        measure(parts.session, 0, 1.0)
        before = len(parts.session.state.nodes), parts.session.state.pinned.copy()
        assert (await ask(parts, run, "pin", node=7)).text == "there is no node 7; the nodes are 0 to 0"
        assert (len(parts.session.state.nodes), parts.session.state.pinned) == before
    with JournalReader(run.db) as reader:
        (row,) = reader._connection.execute("SELECT result FROM commands").fetchall()
    assert row == ("refused: there is no node 7; the nodes are 0 to 0",)
