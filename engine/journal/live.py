"""The ring of live rows in run.db: what is watched while it happens. Nothing is derived from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["LIVE_KEPT", "LIVE_SCHEMA", "LiveInsert", "LiveRow", "insert_live"]

LIVE_SCHEMA = """
CREATE TABLE IF NOT EXISTS live (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    round INTEGER,
    data TEXT NOT NULL
) STRICT;
"""
"""Made by whoever writes, so that a journal of an older version gets it too."""

LIVE_KEPT = 2_000
"""Rows; older ones make room."""


class LiveRow(NamedTuple):
    """One row, as it is read."""

    id: int
    """Rises from row to row."""
    at: int
    """Milliseconds since 1970, UTC, by a clock that takes no steps while one engine is at work."""
    kind: str
    """`stream`: data is `{"call", "role", "round", "model", "text"}`, a piece of an answer as it is written, with
    `"thought": true` for what a model thinks before it answers. `telemetry`: data is that of the event of this name."""
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
        connection.executemany("INSERT INTO live (at, kind, round, data) VALUES (?, ?, ?, ?)", rows)
        connection.execute("DELETE FROM live WHERE id <= (SELECT max(id) FROM live) - ?", (LIVE_KEPT,))
        connection.execute("COMMIT")
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        connection.execute("PRAGMA synchronous=FULL")
