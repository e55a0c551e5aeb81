"""The application without a terminal: on real journals, or on batches that a test delivers."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from engine.journal import events as ev
from engine.journal.clock import now_ms
from engine.journal.database import connect_writer, insert_event, pending_commands
from engine.journal.reader import JournalReader
from engine.runs.folder import Run, lock_run
from tests.tui.synthetic import add_events, make_run

for name, value in {"TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0", "TEXTUAL_THEME": "evolve-dark"}.items():
    os.environ.setdefault(name, value)
# Every application leaves cycles behind; looking for them less often takes a tenth off. If the oldest were looked at as
# seldom as the others, a process of tests would grow to gigabytes.
gc.set_threshold(50_000, 20, 4)
os.environ["TZ"] = "UTC"
time.tzset()


class Desk:
    """A run on disk, its lock held as an engine would, and a pen to write what the engine would answer."""

    def __init__(self, run: Run) -> None:
        self.run = run
        with JournalReader(run.db) as reader:
            self.seq = reader.last_seq()

    def commands(self) -> list[tuple[str, dict[str, Any]]]:
        """What was asked and not answered."""
        connection = connect_writer(self.run.db)
        try:
            return [(command.kind, command.data) for command in pending_commands(connection)]
        finally:
            connection.close()

    def answer(self, *data: ev.Data, node: int | None = None, ok: bool = True, result: str = "") -> None:
        """Answer the oldest command, with the events that carry it out."""
        connection = connect_writer(self.run.db)
        try:
            command = pending_commands(connection)[0]
            done = ev.CommandDone(command.id, command.kind, ok, result)
            connection.execute("BEGIN IMMEDIATE")
            self._insert(connection, (*data, done), node)
            connection.execute("UPDATE commands SET done_at = 1, result = ? WHERE id = ?", (result, command.id))
            connection.execute("COMMIT")
        finally:
            connection.close()

    def record(self, *data: ev.Data, node: int | None = None) -> None:
        """Write events that nobody asked for."""
        connection = connect_writer(self.run.db)
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._insert(connection, data, node)
            connection.execute("COMMIT")
        finally:
            connection.close()

    def _insert(self, connection: Connection, data: Sequence[ev.Data], node: int | None) -> None:
        for item in data:
            self.seq += 1
            insert_event(connection, ev.Event(self.seq, now_ms(), None, node, item))


@pytest.fixture(autouse=True)
def lines_let_go() -> Iterator[None]:
    """Empty a cache of Textual that keeps the painted lines of up to 1,024 widgets whose application has ended."""
    yield
    styles = sys.modules.get("textual._styles_cache")
    if styles is not None:
        styles.StylesCache.get_inner_outer.cache_clear()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs."""
    return tmp_path / "runs"


@pytest.fixture
def live_run(runs: Path) -> Iterator[Desk]:
    """A run that an engine seems to be at work on."""
    run = make_run(runs / "alpha", 60)
    with lock_run(run):
        yield Desk(run)


@pytest.fixture
def make_app(runs: Path) -> Callable[..., Any]:
    """Makes the application on the folder of runs."""
    from tui.feed.live import LiveFeed
    from tui.settings import TuiSettings
    from tui.textual_app import EvolveApp

    def make(run: Run | None = None, **settings: Any) -> EvolveApp:
        return EvolveApp(runs, run, TuiSettings(**settings), LiveFeed)

    return make


@pytest.fixture(scope="session")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 40 nodes with a few acts of a person near its end, an hour's pause, and another engine."""
    run = make_run(tmp_path_factory.mktemp("steered") / "steered", 40)
    add_events(run, (ev.NodeStarred(), 3), (ev.RunPaused(), None))
    engine = ev.EngineStarted(1, "testhost", "bubblewrap", "guarded", 4, 2, "recombine")
    add_events(run, (engine, None), (ev.NodeCommented("the last word"), 3), after_ms=3_600_000)
    add_events(run, (ev.RunFinished("40 rounds are done"), None))
    return run
