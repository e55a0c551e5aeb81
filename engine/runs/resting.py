"""Read a run that has no engine, and write single events to it."""

from __future__ import annotations

import os
import sqlite3
from types import TracebackType
from typing import Self

import msgspec

from engine.errors import EvolveError, JournalError, RunError
from engine.journal.blobs import insert_blob
from engine.journal.clock import now_ms
from engine.journal.database import (
    connect_writer,
    insert_command,
    insert_event,
    insert_meta,
    insert_result,
    make_plain,
    sha256_of,
)
from engine.journal.events import CommandDone, Data, EngineGone, Event, SettingsChanged
from engine.journal.reader import JournalReader
from engine.runs.command_kinds import Answer, check_command
from engine.runs.effects import EFFECTS, Effects
from engine.runs.folder import Run
from engine.runs.status import summary_of
from engine.state.fold import apply, fold_run
from engine.state.run_state import ENDED
from engine.task.spec import TaskSpec

__all__ = ["RestingRun", "check_writable"]


def check_writable(run: Run) -> None:
    """Raise RunError if a run cannot be written to."""
    for path in (run.folder, run.db):
        if not os.access(path, os.W_OK):
            raise RunError(
                f"run '{run.name}' can only be read: {path} cannot be written",
                f"'evolve fork {run.typed}' makes a run of your own of it",
            )


class RestingRun:
    """Read a run without an engine; to write, hold its lock.

    Args:
        run: the run's folder.

    Raises:
        JournalError: its journal cannot be read.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._reader = JournalReader(run.db)
        try:
            self.state = fold_run(self._reader)
            # Events of kinds that a newer version wrote are skipped when folding, but count as places.
            self.state.seq = self._reader.last_seq()
        except JournalError:
            self._reader.close()
            raise
        self._kept: dict[str, bytes] = {}
        self._given_more = False

    @property
    def spec(self) -> TaskSpec:
        """The task, as recorded."""
        return self.state.spec

    @property
    def goes_on(self) -> bool:
        """Whether its next engine finds something to do without being given more rounds."""
        state = self.state
        return state.status != "finished" or (self._given_more and state.settings.rounds > state.rounds_done)

    def text(self, sha256: str) -> str:
        """Return a blob as text."""
        kept = self._kept.get(sha256)
        return self._reader.text(sha256) if kept is None else kept.decode()

    def past_of(self, node: int) -> list[Event]:
        """Return all events about a node, in order."""
        return self._reader.node_events(node)

    def keep(self, content: bytes) -> None:
        """Keep a blob that the next events name."""
        self._kept[sha256_of(content)] = content

    def expect_pending(self, but: int | None = None) -> None:
        """Take into the state what its next engine does first: carry out the commands that wait for it, but one."""
        for command in self._reader.pending():
            effect = EFFECTS.get(command.kind)
            if effect is None or command.id == but:
                continue
            try:
                check_command(command.kind, command.data)
                outcome = effect(self, command.data)
            except EvolveError:
                # It will be refused.
                continue
            for data, node in outcome.effects:
                self._take(data, node)
                self._given_more = self._given_more or isinstance(data, SettingsChanged)

    def write(self, effects: Effects, blobs: list[bytes] | None = None) -> None:
        """Append events.

        Args:
            effects: each with the node that it is about.
            blobs: contents that they name, beside those that were kept.

        Raises:
            JournalError: they cannot be written.
        """
        self._write(effects, blobs or [], None)

    def write_answer(self, kind: str, raw: str, effects: Effects, answer: Answer, command_id: int | None) -> None:
        """Append the effects of a command and its answer, as an engine does.

        Args:
            kind: of the command.
            raw: its data, as JSON.
            effects: each with the node that it is about.
            answer: the answer for the person.
            command_id: of a command that is written down already.

        Raises:
            JournalError: they cannot be written.
        """
        self._write(effects, [], (kind, raw, answer, command_id))

    def _write(
        self, effects: Effects, blobs: list[bytes], answered: tuple[str, str, Answer, int | None] | None
    ) -> None:
        if self.state.status == "running" and not self.state.engine_gone:
            effects = [(EngineGone(), None), *effects]
        try:
            connection = connect_writer(self._run.db)
            try:
                connection.execute("BEGIN IMMEDIATE")
                for content in (*self._kept.values(), *blobs):
                    insert_blob(connection, content)
                if answered is not None:
                    kind, raw, answer, known = answered
                    number = insert_command(connection, kind, raw) if known is None else known
                    insert_result(connection, number, answer.text)
                    effects = [*effects, (CommandDone(number, kind, answer.ok, answer.text, answer.code), None)]
                for data, node in effects:
                    insert_event(connection, self._take(data, node))
                if self.state.status in ENDED:
                    insert_meta(connection, "summary", msgspec.json.encode(summary_of(self.state)).decode())
                connection.execute("COMMIT")
            finally:
                connection.close()
        except sqlite3.Error as exc:
            raise JournalError(f"{self._run.db} cannot be written: {exc}") from None
        self.close()
        make_plain(self._run.db)

    def _take(self, data: Data, node: int | None) -> Event:
        round_ = None if node is None else self.state.nodes[node].round
        event = Event(self.state.seq + 1, now_ms(), round_, node, data)
        apply(self.state, event)
        return event

    def close(self) -> None:
        """Let the file go."""
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
