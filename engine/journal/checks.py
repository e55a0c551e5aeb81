"""Check a run.db before it is used: the file may come from an untrusted source.

SQL in the file (views, triggers, generated columns) never runs, numbers are within their ranges, the depth of JSON and
the size of inflated blobs are bounded, and every query has a time limit.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from stat import S_ISREG
from typing import Any

from engine.errors import JournalError

__all__ = ["MOST_BLOB_BYTES", "QUERY_SECONDS", "check_row", "check_tables", "guard", "is_deep", "regular"]

MOST_BLOB_BYTES = 128 << 20
"""Bytes of the largest blob: more than the files of a task, an output or an answer can have."""

_MOST_VALUE_BYTES = MOST_BLOB_BYTES + (1 << 20)
_MOST_SEQ = 1 << 52
_MOST_NUMBER = 1 << 31
_MOST_MS = 253_402_300_799_000
"""The end of the year 9999, in milliseconds since 1970: the last moment that a date can name."""
_MOST_DEPTH = 100
QUERY_SECONDS = 30.0
"""Longest time of a query; in a damaged file one may never end."""

_COLUMNS = {
    "events": {
        "seq": "INTEGER", "at": "INTEGER", "kind": "TEXT", "round": "INTEGER", "node": "INTEGER", "data": "TEXT",
    },
    "blobs": {"sha256": "BLOB", "codec": "TEXT", "bytes": "BLOB"},
    "commands": {
        "id": "INTEGER", "at": "INTEGER", "kind": "TEXT", "data": "TEXT", "done_at": "INTEGER", "result": "TEXT",
    },
    "meta": {"key": "TEXT", "value": "TEXT"},
    "live": {"id": "INTEGER", "at": "INTEGER", "kind": "TEXT", "round": "INTEGER", "data": "TEXT"},
}  # fmt: skip
_NOT_IN_ALL = {"live"}
"""Tables that journals of earlier versions lack."""
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def guard(connection: sqlite3.Connection) -> None:
    """Let a connection call no SQL functions that the file names, and read no value beyond the largest blob."""
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_VALUE_BYTES)


def check_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the file holds the tables of a journal, and no views or triggers.

    Raises:
        JournalError: it holds a view or a trigger, lacks a table, or a table has other columns.
        sqlite3.Error: the file cannot be read.
    """
    found = connection.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    for kind, name, sql in found:
        virtual = re.match(r"\s*create\s+virtual", str(sql), re.IGNORECASE)
        if kind not in ("table", "index") or virtual or (kind == "index" and sql):
            what = "a virtual table" if virtual else f"{'an' if kind == 'index' else 'a'} {kind}"
            raise JournalError(f"{path} is no journal of a run: it holds {what}, {str(name)[:40]!r}")
    tables = {name for kind, name, _ in found if kind == "table"}
    for table, columns in _COLUMNS.items():
        if table not in tables:
            if table in _NOT_IN_ALL:
                continue
            raise JournalError(f"{path} is no journal of a run: it has no table '{table}'")
        rows = connection.execute(f"SELECT name, type, hidden FROM pragma_table_xinfo('{table}')").fetchall()
        if {name: kind for name, kind, hidden in rows if not hidden} != columns or any(row[2] for row in rows):
            raise JournalError(f"{path} is no journal of a run: its table '{table}' has other columns")


def check_row(row: tuple[Any, ...], free_form: bool = True) -> str:
    """Return the problem of a row of `events`, one clause; empty if there is none.

    Args:
        row: seq, at, kind, round, node, data.
        free_form: whether its kind lets data nest; the depth of others is bounded by their fields. Counting brackets
            would be a fifth of what reading a journal costs.
    """
    seq, at, kind, round_, node, raw = row
    try:
        if (
            0 < seq <= _MOST_SEQ and 0 <= at <= _MOST_MS
            and (round_ is None or 0 <= round_ <= _MOST_NUMBER) and (node is None or 0 <= node <= _MOST_NUMBER)
            and type(seq) is int and type(kind) is str and type(raw) is str
        ):  # fmt: skip
            return "its data is nested too deeply" if free_form and is_deep(raw) else ""
    except TypeError:
        pass
    return _name_fault(seq, at, round_, node)


def _name_fault(seq: object, at: object, round_: object, node: object) -> str:
    if type(seq) is not int or not 0 < seq <= _MOST_SEQ:
        return f"its place {seq!r} cannot be"
    if type(at) is not int or not 0 <= at <= _MOST_MS:
        return f"its time {at!r} cannot be"
    for name, number in (("round", round_), ("node", node)):
        if number is not None and (type(number) is not int or not 0 <= number <= _MOST_NUMBER):
            return f"its {name} {number!r} cannot be"
    return "its kind or its data is not text"


def is_deep(raw: str) -> bool:
    """Return whether JSON is nested deeper than in any journal."""
    if raw.count("[") + raw.count("{") <= _MOST_DEPTH:
        return False
    depth = 0
    for match in _BRACKETS.finditer(raw):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > _MOST_DEPTH:
            return True
    return False


def regular(path: Path) -> bool:
    """Tell whether a path is a plain file or nothing at all; a pipe or device would let whoever opens it wait."""
    try:
        return S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False
