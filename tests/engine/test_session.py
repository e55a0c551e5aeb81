"""A run's session over a real journal, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import JournalError
from engine.journal import events as ev
from engine.journal.reader import Command, sha256_of
from engine.loop.session import RunSession
from engine.runs.folder import Run
from engine.state.run_state import RunState
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run


def open_session(run: Run, seen: list[ev.Event] | None = None) -> RunSession:
    def follow(event: ev.Event, state: RunState) -> None:
        if seen is not None:
            seen.append(event)

    def on_command(command: Command) -> None:
        raise AssertionError("nobody asked for anything")

    def on_trouble(error: JournalError) -> None:
        raise error

    session = RunSession(run, follow, on_command, on_trouble)
    session.open()
    return session


@pytest.fixture
def run(make_task: TaskMaker, tmp_path: Path) -> Run:
    return make_run(make_task(), tmp_path / "runs")


async def test_emitted_events_reach_state_followers_and_journal(run: Run) -> None:
    seen: list[ev.Event] = []
    session = open_session(run, seen)
    before = session.state.seq
    session.emit(ev.RoundStarted(worker=1), round=1)
    assert (session.state.seq, list(session.state.open_rounds)) == (before + 1, [1])
    assert [event.seq for event in seen] == [before + 1]
    await session.committed()
    assert events(run)[-1].data == ev.RoundStarted(worker=1)
    await session.aclose()


async def test_next_session_folds_what_the_last_one_wrote(run: Run) -> None:
    session = open_session(run)
    session.emit(ev.RoundStarted(), round=1)
    session.emit(ev.DesignRejected(0, "syntax", "no", "", sha256_of(b"x = (")), round=1, blobs=[b"x = ("])
    await session.aclose()
    again = open_session(run)
    assert again.state.seq == session.state.seq
    assert again.text(again.state.open_rounds[1].rejected[0].program) == "x = ("
    await again.aclose()


async def test_random_draws_depend_on_round_stage_and_attempt_alone(run: Run) -> None:
    session = open_session(run)
    first = session.rng(3, "sample").random()
    session.emit(ev.RoundStarted(), round=1)
    assert session.rng(3, "sample").random() == first
    others = {session.rng(*place).random() for place in ((4, "sample"), (3, "design"), (3, "sample", 1))}
    assert len(others | {first}) == 4
    await session.aclose()
