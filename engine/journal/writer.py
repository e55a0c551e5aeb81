"""The one writer of events: a thread that owns the engine's connection to run.db.

A commit that is flushed to the disk takes milliseconds and must not stop the loop, so events are queued here and
committed in order, many in one transaction. The commits are always a prefix of what was appended, so that state that
runs ahead in memory never contradicts what a crash leaves on the disk.

A commit is flushed if a caller asks for it, or if it answers a command; that also flushes earlier commits.
The others survive the engine's death in any case, and a power cut may take the last of them.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from engine.errors import JournalError
from engine.journal.blobs import BlobWriter
from engine.journal.clock import WallClock, now_ms
from engine.journal.database import (
    Command,
    Row,
    connect_writer,
    insert_meta,
    insert_result,
    insert_rows,
    pending_commands,
)
from engine.journal.live import LIVE_SCHEMA, LiveInsert, add_live, insert_live

__all__ = ["JournalWriter"]

_POLL_SECONDS = 0.1
_LAZY_SECONDS = 0.3
"""Seconds that events nobody waits for stay queued, so that most of them are written with those that follow."""
_RESERVE_BYTES = 4 << 20

_Batch = tuple[list[Row], list[bytes], list[tuple[int, str]], dict[str, str]]
"""What one transaction writes: events, blobs, answers to commands, values of `meta`."""


class JournalWriter:
    """Queues events, commits them in a thread, and hears the commands of people.

    Args:
        path: the run.db.
        loop: the event loop that gets the callbacks.
        on_command: called in the loop, once for each new command, in order.
        on_trouble: called in the loop, once, when the disk is full (the argument tells; what was queued is still
            committed, from a reserve) or a commit failed for good.

    Raises:
        JournalError: the journal cannot be opened, or there is no space for the reserve.
    """

    def __init__(
        self,
        path: Path,
        loop: asyncio.AbstractEventLoop,
        on_command: Callable[[Command], None],
        on_trouble: Callable[[JournalError], None],
    ) -> None:
        self._path = path
        self._loop = loop
        self._on_command = on_command
        self._on_trouble = on_trouble
        self._reserve = path.with_name("reserve")
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._rows: list[Row] = []
        self._blobs: list[bytes] = []
        self._answers: list[tuple[int, str]] = []
        self._meta: dict[str, str] = {}
        self._queued_at = 0.0
        """When the oldest of these was queued, on the monotonic clock."""
        self._live: list[LiveInsert] = []
        self._live_at = 0.0
        self._live_clock = WallClock()
        self._waiting: list[asyncio.Future[None]] = []
        self._flush = False
        """Whether any of those who wait wants it flushed to the disk."""
        self._closing = False
        self._failed: JournalError | None = None
        self._last_command = 0
        self._synchronous = ""
        """How commits are flushed now, as SQLite calls it; used by the thread alone."""
        self._data_version = -1
        self._unflushed = False
        """Whether a power cut may lose a commit."""
        self._make_reserve()
        # Checked in the caller's thread, so that a bad file raises here instead of ending the thread later.
        connection = connect_writer(path)
        try:
            connection.execute(LIVE_SCHEMA)
        except sqlite3.Error as exc:
            raise JournalError(f"{path} cannot be opened for writing: {exc}") from None
        finally:
            connection.close()
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)
        self._thread.start()

    def append(
        self,
        rows: Iterable[Row],
        blobs: Iterable[bytes] = (),
        answer: tuple[int, str] | None = None,
        meta: dict[str, str] | None = None,
    ) -> None:
        """Queue events and the blobs they refer to; all of one call is committed in one transaction.

        Args:
            rows: events as they are stored, in order of `seq`.
            blobs: contents that the events name by sha256.
            answer: id and result of the command that the events carry out.
            meta: values for the `meta` table.
        """
        with self._lock:
            if not (self._rows or self._blobs or self._answers or self._meta):
                self._queued_at = time.monotonic()
            self._rows.extend(rows)
            self._blobs.extend(blobs)
            if answer is not None:
                self._answers.append(answer)
            if meta:
                self._meta.update(meta)

    def live(self, kind: str, round_: int | None, data: bytes) -> None:
        """Queue a live row; it is written within a moment, ten times a second at most, and may be lost in a crash."""
        with self._lock:
            self._live.append((self._live_clock.now_ms(), kind, round_, data.decode()))

    async def committed(self) -> None:
        """Wait until everything appended before is committed; a power cut may still lose it.

        Raises:
            JournalError: it could not be written.
        """
        await self._wait(flush=False)

    async def durable(self) -> None:
        """Wait until everything appended before is on the disk.

        Raises:
            JournalError: it could not be written.
        """
        await self._wait(flush=True)

    async def _wait(self, flush: bool) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        with self._lock:
            if self._failed is not None:
                raise self._failed
            self._waiting.append(future)
            self._flush = self._flush or flush
            self._wake.notify()
        await future

    async def close(self) -> None:
        """Commit the queue, leave one plain file behind, and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)
        if self._failed is None:
            self._reserve.unlink(missing_ok=True)

    def _make_reserve(self) -> None:
        """Reserve some space, so that a full disk still takes the last results and the reason for the end."""
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)
        except OSError as exc:
            self._reserve.unlink(missing_ok=True)
            raise JournalError(
                f"{self._path.parent} cannot be written: {exc.strerror}", "Free some space and resume the run"
            ) from None

    # What follows runs in the writer's thread.

    def _work(self) -> None:
        waiting: list[asyncio.Future[None]] = []
        try:
            self._write_until_closed(waiting)
        except BaseException as exc:
            # Whatever happened, no caller may wait for this thread for ever.
            traceback.print_exc()
            self._failed = JournalError(f"{self._path} cannot be written: {type(exc).__name__}: {exc}")
            with self._wake:
                waiting.extend(self._waiting)
                self._waiting = []
            self._call(self._on_trouble, self._failed)
            self._call(self._settle, waiting, self._failed)

    def _write_until_closed(self, waiting: list[asyncio.Future[None]]) -> None:
        """Commit the queue whenever it grows; `waiting` holds the callers that wait for the current commit."""
        connection = connect_writer(self._path)
        self._store = BlobWriter(connection)
        self._synchronous = ""
        try:
            while True:
                with self._wake:
                    if not self._waiting and not self._closing:
                        self._wake.wait(_POLL_SECONDS)
                    closing = self._closing
                    live = self._take_live(closing)
                    batch: _Batch = ([], [], [], {})
                    if self._waiting or self._answers or closing or live or self._is_due():
                        batch = (self._rows, self._blobs, self._answers, self._meta)
                        self._rows, self._blobs, self._answers, self._meta = [], [], [], {}
                    waiting[:], self._waiting = self._waiting, []
                    flush, self._flush = self._flush or closing or bool(batch[2]), False
                error = self._failed
                if error is None and (any(batch) or (flush and self._unflushed)):
                    error = self._commit(connection, *batch, flush, live)
                elif live and self._failed is None:
                    # Live rows are only for display: they are worth neither a wait nor an error.
                    self._synchronous = ""  # it is set to another value there
                    with suppress(sqlite3.Error):
                        insert_live(connection, live)
                # Before the callers are woken: an engine that starts gets its pending commands before it goes on.
                if error is None and not closing:
                    self._hear(connection)
                if waiting:
                    self._call(self._settle, list(waiting), error)
                    waiting.clear()
                if closing:
                    break
            if self._failed is None:
                self._make_plain(connection)
        finally:
            connection.close()

    def _is_due(self) -> bool:
        return time.monotonic() - self._queued_at >= _LAZY_SECONDS

    def _take_live(self, closing: bool) -> list[LiveInsert]:
        if not self._live or (time.monotonic() - self._live_at < _POLL_SECONDS and not closing):
            return []
        self._live_at = time.monotonic()
        live, self._live = self._live, []
        return live

    def _commit(
        self,
        connection: sqlite3.Connection,
        rows: list[Row],
        blobs: list[bytes],
        answers: list[tuple[int, str]],
        meta: dict[str, str],
        flush: bool,
        live: list[LiveInsert],
    ) -> JournalError | None:
        for attempt in (1, 2):
            try:
                synchronous = "FULL" if flush else "NORMAL"
                if synchronous != self._synchronous:
                    connection.execute(f"PRAGMA synchronous={synchronous}")
                    self._synchronous = synchronous
                connection.execute("BEGIN IMMEDIATE")
                for content in blobs:
                    self._store.insert(content)
                insert_rows(connection, rows)
                for command, result in answers:
                    insert_result(connection, command, result)
                for key, value in meta.items():
                    insert_meta(connection, key, value)
                if live and attempt == 1:  # a transaction less to write
                    add_live(connection, live)
                if flush and not (rows or answers or meta):
                    # Everything is committed already, and a transaction that changes nothing flushes nothing.
                    connection.execute("INSERT OR REPLACE INTO meta VALUES ('flushed', ?)", (str(now_ms()),))
                connection.execute("COMMIT")
                self._unflushed = not flush
                return None
            except sqlite3.Error as exc:
                # SQLite itself rolls back if there is no space.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._store = BlobWriter(connection)
                if attempt == 1 and self._reserve.exists():
                    # Some file systems answer "disk I/O error" if there is no space for the -shm file.
                    self._reserve.unlink()
                    reason = f"no space left for {self._path}" if _is_full(exc) else f"{self._path}: {exc}"
                    self._call(self._on_trouble, JournalError(reason, "Free some space and resume the run"))
                    continue
                self._failed = JournalError(f"{self._path} cannot be written: {exc}")
                self._call(self._on_trouble, self._failed)
                return self._failed
        return None

    def _hear(self, connection: sqlite3.Connection) -> None:
        """Pass on commands that were stored since the last look."""
        try:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version == self._data_version:
                return
            self._data_version = version
            for command in pending_commands(connection):
                if command.id > self._last_command:
                    self._last_command = command.id
                    self._call(self._on_command, command)
        except sqlite3.Error:
            # Another process held the file for seconds; the next look sees the same commands.
            self._data_version = -1

    def _make_plain(self, connection: sqlite3.Connection) -> None:
        """Fold the write-ahead log in; if a reader holds the file, the next one that closes it does this."""
        try:
            connection.execute("PRAGMA busy_timeout = 200")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError:
            return

    def _settle(self, waiting: list[asyncio.Future[None]], error: JournalError | None) -> None:
        for future in waiting:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            # The loop is closed: no caller is left.
            return


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL or "full" in str(error)
