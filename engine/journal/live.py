"""The ring of live rows in run.db: streamed text and telemetry for display. No state is derived from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["LIVE_BYTES", "LIVE_KEPT", "LIVE_OUTPUT", "LIVE_SCHEMA", "LIVE_TELEMETRY", "LIVE_TRIMMED", "LiveInsert"]
__all__ += ["LiveRow", "add_live", "insert_live"]

LIVE_SCHEMA = """
CREATE TABLE IF NOT EXISTS live (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    round INTEGER,
    data TEXT NOT NULL
) STRICT;
"""
"""Executed by every writer, so that a journal of an older version gets the table, too."""

LIVE_KEPT = 2_000
"""Rows that are kept; the oldest are dropped."""
LIVE_BYTES = 384 << 10
"""Bytes of data that are kept; older rows make room."""
LIVE_TRIMMED = 32
"""The oldest are dropped once for so many new rows: to add up all that are kept takes a millisecond."""


LIVE_OUTPUT = "output"
"""Kind of rows with what an evaluation prints while it runs."""
LIVE_TELEMETRY = "telemetry"
"""Kind of rows with the data of the event of the same name."""


class LiveRow(NamedTuple):
    """One row as it is read."""

    id: int
    """Rises from row to row."""
    at: int
    """Milliseconds since 1970, UTC, by a clock that is not set while one engine is at work."""
    kind: str
    """`stream`: data is `{"call", "role", "round", "model", "text"}`, a piece of an answer as it is written, with
    `"thought": true` for thoughts before the answer, and `"command": true` for what a command prints. `output`: data is
    `{"node", "stage", "repeat", "stream", "text", "left_out"}`, what an evaluation printed on `stdout` or `stderr`
    lately; so many bytes before it are left out. `telemetry`: data is that of the event of this name."""
    round: int | None
    data: dict[str, Any]


LiveInsert = tuple[int, str, int | None, str]
"""A row as it is written: at, kind, round, JSON."""


def insert_live(connection: sqlite3.Connection, rows: Iterable[LiveInsert]) -> None:
    """Add rows and drop the oldest, in a transaction that is not flushed to the disk.

    Raises:
        sqlite3.Error: they could not be written.
    """
    connection.execute("PRAGMA synchronous=NORMAL")
    try:
        connection.execute("BEGIN IMMEDIATE")
        add_live(connection, rows)
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA synchronous=FULL")


def add_live(connection: sqlite3.Connection, rows: Iterable[LiveInsert]) -> None:
    """Add rows and drop the oldest, now and then, inside the caller's transaction."""
    added = list(rows)
    connection.executemany("INSERT INTO live (at, kind, round, data) VALUES (?, ?, ?, ?)", added)
    (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM live").fetchone()
    if newest // LIVE_TRIMMED == (newest - len(added)) // LIVE_TRIMMED:
        return
    connection.execute("DELETE FROM live WHERE id <= (SELECT max(id) FROM live) - ?", (LIVE_KEPT,))
    connection.execute(_DROP_BEYOND, (LIVE_BYTES,))


_DROP_BEYOND = """
DELETE FROM live WHERE id <= (
    SELECT max(id) FROM (SELECT id, sum(length(data)) OVER (ORDER BY id DESC) AS bytes FROM live) WHERE bytes > ?
)
"""
