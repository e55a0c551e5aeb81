"""Create and change the tables of cognition.db by an ordered list of steps, each applied once and recorded."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

__all__ = ["Step", "migrate", "migration"]

Step = Callable[[sqlite3.Connection], None]
"""Changes the base from one form to the next, inside a transaction.

The steps that create tables are plain SQL: sqlite-utils has no CHECK constraints, and the start of an engine or a
screen may make the base, where loading the library (0.2 s, 15 to 28 MB) costs more than the step (1 ms). A step that
changes an existing table should use `sqlite_utils.Database(connection)["priors"].transform(…)`: it runs once."""

_STEPS: dict[str, Step] = {}


def migration(step: Step) -> Step:
    """Append a step to the list under the function's name, which must never change.

    A module with tables of its own decorates its step, and calls `migrate` before it uses them.
    """
    assert step.__name__ not in _STEPS, f"there are two steps '{step.__name__}'"
    _STEPS[step.__name__] = step
    return step


def migrate(connection: sqlite3.Connection) -> list[str]:
    """Apply the missing steps, all or none, and return their names.

    If several processes do so at once, one works and the others wait up to the connection's busy timeout.

    Args:
        connection: in autocommit mode (`isolation_level=None`).

    Raises:
        sqlite3.Error: the base is locked, damaged, or cannot be written.
    """
    if not _missing(connection):
        return []
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, at INTEGER NOT NULL) STRICT")
        missing = _missing(connection)
        for name in missing:
            _STEPS[name](connection)
            connection.execute("INSERT INTO migrations VALUES (?, ?)", (name, int(time.time() * 1000)))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return missing


def _missing(connection: sqlite3.Connection) -> list[str]:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone()
    applied = {name for (name,) in connection.execute("SELECT name FROM migrations")} if there else set()
    return [name for name in _STEPS if name not in applied]


@migration
def priors_and_revisions(connection: sqlite3.Connection) -> None:
    """Create collections, their priors, every text that a prior ever had, and what the sync knows of the files."""
    for statement in _TABLES.split(";\n"):
        connection.execute(statement)


@migration
def usage_tells_gains(connection: sqlite3.Connection) -> None:
    """Drop figures that lack the number of nodes that gained; they are counted again on demand."""
    connection.execute("DELETE FROM usage")


# `key` is the id folded to one case: on some file systems `A.md` and `a.md` are one file.
_TABLES = """
CREATE TABLE collections (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    folder TEXT NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    used_at INTEGER NOT NULL
) STRICT;
CREATE TABLE priors (
    collection TEXT NOT NULL REFERENCES collections (id),
    key TEXT NOT NULL,
    id TEXT NOT NULL,
    origin TEXT NOT NULL CHECK (origin IN ('human', 'analyzer', 'import')),
    status TEXT NOT NULL CHECK (status IN ('active', 'pending', 'rejected', 'removed')),
    revision INTEGER NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0,
    evidence TEXT NOT NULL DEFAULT '{}',
    reason TEXT NOT NULL DEFAULT '',
    former TEXT NOT NULL DEFAULT '[]',
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (collection, key)
) STRICT;
CREATE TABLE revisions (
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    text TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    at INTEGER NOT NULL,
    author TEXT NOT NULL CHECK (author IN ('human', 'file', 'analyzer', 'import')),
    message TEXT NOT NULL,
    PRIMARY KEY (collection, key, revision)
) STRICT;
CREATE TABLE files (
    collection TEXT NOT NULL,
    name TEXT NOT NULL,
    stamp TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    revision INTEGER NOT NULL,
    problem TEXT NOT NULL,
    PRIMARY KEY (collection, name)
) STRICT;
CREATE TABLE usage (
    collection TEXT NOT NULL,
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    figures TEXT NOT NULL,
    PRIMARY KEY (collection, run)
) STRICT
"""
