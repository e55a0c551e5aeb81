"""A run's session over a real journal, without an engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.errors import JournalError
from engine.journal import events as ev
from engine.journal.database import Command, sha256_of
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.loop.past import recall_past
from engine.loop.session import RunSession
from engine.runs.folder import Run
from engine.state.fold import fold_run
from engine.state.run_state import RunState
from tests.conftest import TaskMaker
from tests.e2e.runs import events, make_run


def open_session(run: Run) -> RunSession:
    def on_command(command: Command) -> None:
        raise AssertionError("nobody asked for anything")

    def on_trouble(error: JournalError) -> None:
        raise error

    reader = JournalReader(run.db)
    writer = JournalWriter(run.db, asyncio.get_running_loop(), on_command, on_trouble)
    return RunSession(reader, writer, fold_run(reader))


@pytest.fixture
def run(make_task: TaskMaker, tmp_path: Path) -> Run:
    return make_run(make_task(), tmp_path / "runs")


async def test_emitted_events_reach_state_followers_and_journal(run: Run) -> None:
    session = open_session(run)
    seen: list[ev.Event] = []
    session.subscribe(lambda event, state: seen.append(event))
    before = session.state.seq
    session.emit(ev.RoundStarted(worker=1), round=1)
    assert (session.state.seq, list(session.state.open_rounds)) == (before + 1, [1])
    assert [event.seq for event in seen] == [before + 1]
    await session.committed()
    assert events(run)[-1].data == ev.RoundStarted(worker=1)
    await session.aclose()


async def test_follower_sees_the_state_at_its_event_and_a_listener_that_after_all(run: Run) -> None:
    session = open_session(run)
    at: list[int] = []
    after: list[tuple[int, int]] = []

    def follow(event: ev.Event, state: RunState) -> None:
        at.append(state.seq - event.seq)

    def listen(event: ev.Event, state: RunState) -> None:
        after.append((event.seq, state.seq))

    session.subscribe(follow)
    session.subscribe(listen, queued=True)
    session.emit(ev.RoundStarted(), ev.NodeCommented("hm"), round=1)
    last = session.state.seq
    assert at == [0, 0]
    assert after == [(last - 1, last), (last, last)]
    await session.aclose()


async def test_next_session_reads_what_the_last_one_wrote(run: Run) -> None:
    session = open_session(run)
    session.emit(ev.RoundStarted(), round=1)
    session.emit(ev.DesignRejected(0, "syntax", "no", "", sha256_of(b"x = (")), round=1, blobs=[b"x = ("])
    await session.aclose()
    again = open_session(run)
    assert again.state.seq == session.state.seq
    assert again.text(again.state.open_rounds[1].rejected[0].program) == "x = ("
    await again.aclose()


async def test_text_is_there_before_its_blob_is_on_the_disk(run: Run) -> None:
    session = open_session(run)
    session.keep(b"y = 2\n")
    assert session.text(sha256_of(b"y = 2\n")) == "y = 2\n"
    assert session.text("") == ""
    await session.aclose()


async def test_random_draws_depend_on_round_stage_and_attempt_alone(run: Run) -> None:
    session = open_session(run)
    first = session.rng(3, "sample").random()
    session.emit(ev.RoundStarted(), round=1)
    assert session.rng(3, "sample").random() == first
    others = {session.rng(*place).random() for place in ((4, "sample"), (3, "design"), (3, "sample", 1))}
    assert len(others | {first}) == 4
    await session.aclose()


def test_recalled_past_touches_nothing(run: Run) -> None:
    def listing() -> set[str]:
        return {path.name for path in run.folder.iterdir() if path.suffix not in (".db-wal", ".db-shm")}

    before = listing()
    past = recall_past(run)
    assert past.state.seq == events(run)[-1].seq
    assert past.prompts.brief == "Move the point to (3, 1).\n"
    assert (past.designer.name, past.last_command) == ("recombine", 0)
    past.reader.close()
    assert {name for name in listing() if not name.startswith("run.db")} == {
        name for name in before if not name.startswith("run.db")
    }
