"""run.db: the append-only journal of a run, with its blobs and commands. One SQLite file in WAL mode.

This module makes, opens and checks the file, and holds the single writes. The engine is the only writer of events
(`engine.journal.writer`); others read with `engine.journal.reader` and ask for something with `send_command`.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from engine.errors import DamagedJournal, JournalBusy, JournalError
from engine.journal.checks import check_row, check_tables, guard, is_deep, regular
from engine.journal.clock import now_ms
from engine.journal.events import DECODERS, FREE_FORM, Data, Event, encode_data
from engine.journal.live import LIVE_SCHEMA
from engine.text import is_text, legible

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "Command",
    "Row",
    "check_file",
    "check_identity",
    "connect_writer",
    "create_journal",
    "decode_row",
    "encode_command",
    "insert_command",
    "insert_event",
    "insert_meta",
    "insert_result",
    "insert_rows",
    "make_plain",
    "pending_commands",
    "read_command",
    "row_data",
    "send_command",
    "sha256_of",
    "to_row",
    "unreadable",
]

APPLICATION_ID = 0x45564F4C
SCHEMA_VERSION = 2
"""What new journals are. In those of the first format each blob is compressed by itself."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    round INTEGER,
    node INTEGER,
    data TEXT NOT NULL
) STRICT;
CREATE TABLE blobs (sha256 BLOB PRIMARY KEY, codec TEXT NOT NULL, bytes BLOB NOT NULL) STRICT;
CREATE TABLE commands (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    done_at INTEGER,
    result TEXT
) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""

_BUSY_SECONDS = 5.0
_PAGE_BYTES = 2048
"""A commit writes whole pages, and most change a few rows of some hundred bytes: half of SQLite's own size nearly
halves what a run writes. Smaller ones would make reading slower."""
_CHECKPOINT_PAGES = 6000
"""Pages in the write-ahead log after which they are written to the file proper, each once: 12 MB. Those of the index of
blobs are changed again and again, so that a third of that would write a tenth more."""
_new_event = tuple.__new__


class Command(NamedTuple):
    """A command of a person, as the journal holds it."""

    id: int
    at: int
    kind: str
    data: dict[str, Any]
    done: bool
    result: str


def sha256_of(content: bytes | str) -> str:
    """Return the name of a blob: sha256 in hex of its content."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def create_journal(path: Path) -> sqlite3.Connection:
    """Make a new journal and return a connection to fill it, in one plain file until an engine opens it.

    Raises:
        JournalError: the file exists or cannot be written.
    """
    if path.exists():
        raise JournalError(f"{path} exists already")
    try:
        with ExitStack() as undo:
            connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
            undo.callback(connection.close)
            connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            connection.executescript(f"BEGIN; {_SCHEMA} {LIVE_SCHEMA} COMMIT;")
            undo.pop_all()
    except sqlite3.Error as exc:
        raise JournalError(f"{path} cannot be created: {exc}", "Free some space, or use another folder") from None
    return connection


def connect_writer(path: Path) -> sqlite3.Connection:
    """Return a connection for the engine, or for a short write of another process.

    Raises:
        JournalError: the file is missing, damaged, foreign or read-only.
    """
    check_file(path)
    try:
        with ExitStack() as undo:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_SECONDS
            )
            undo.callback(connection.close)
            guard(connection)
            check_identity(connection, path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={64 << 20}")
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            undo.pop_all()
    except sqlite3.Error as exc:
        raise JournalError(f"{path} cannot be opened for writing: {exc}") from None
    return connection


Row = tuple[int, int, str, int | None, int | None, str]
"""An event as it is stored: seq, at, kind, round, node, data."""


def to_row(event: Event) -> Row:
    """Return an event as it is stored.

    Raises:
        ValueError: its data cannot be kept.
    """
    seq, at, round_, node, data = event
    return seq, at, data.KIND, round_, node, encode_data(data).decode()


def insert_rows(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Append events inside the caller's transaction."""
    connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)


def insert_event(connection: sqlite3.Connection, event: Event) -> None:
    """Append one event inside the caller's transaction."""
    insert_rows(connection, [to_row(event)])


def encode_command(kind: str, data: dict[str, Any]) -> str:
    """Return the data of a command as it is stored.

    Raises:
        JournalError: it holds what would not be read back.
    """
    try:
        return msgspec.json.encode(data).decode()
    except ValueError as exc:
        raise JournalError(f"the command '{kind}' cannot be written down: it is no valid text ({exc})") from None


def insert_command(connection: sqlite3.Connection, kind: str, raw: str) -> int:
    """Store a command, its data as JSON, inside the caller's transaction; return its id."""
    cursor = connection.execute("INSERT INTO commands (at, kind, data) VALUES (?, ?, ?)", (now_ms(), kind, raw))
    return int(cursor.lastrowid or 0)


def insert_result(connection: sqlite3.Connection, command_id: int, result: str) -> None:
    """Store the result of a command, inside the caller's transaction."""
    connection.execute("UPDATE commands SET done_at = ?, result = ? WHERE id = ?", (now_ms(), result, command_id))


def insert_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set a value of the `meta` table inside the caller's transaction."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def send_command(path: Path, kind: str, data: dict[str, Any] | None = None) -> int:
    """Store a command for the engine and return its id.

    Raises:
        JournalError: the run cannot be written.
    """
    raw = encode_command(kind, data or {})
    connection = connect_writer(path)
    try:
        return insert_command(connection, kind, raw)
    except sqlite3.Error as exc:
        raise JournalError(f"{path} cannot take the command '{kind}': {exc}") from None
    finally:
        connection.close()


def decode_row(row: tuple[int, int, str, int | None, int | None, str], where: object = "run.db") -> Event | None:
    """Return an event from its row, or None for a kind that this version does not know.

    Raises:
        JournalError: the row is damaged.
    """
    seq, at, kind, round_, node, raw = row
    wrong = check_row(row, kind in FREE_FORM)
    if wrong:
        raise DamagedJournal(wrong, seq if type(seq) is int else 0, where)
    try:
        decoder = DECODERS[kind]
    except KeyError:
        return None
    try:
        data: Data = decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise DamagedJournal(f"{kind}: {exc}", seq, where) from None
    # Half the time of Event(…), whose own constructor is a function.
    return _new_event(Event, (seq, at, round_, node, data))


def row_data(row: tuple[Any, ...], where: object = "run.db") -> Any:
    """Return the data of a row of any kind, as plain values.

    Raises:
        JournalError: the row is damaged.
    """
    wrong = check_row(row)
    try:
        if not wrong:
            return msgspec.json.decode(row[5])
    except msgspec.DecodeError as exc:
        wrong = str(exc)
    raise DamagedJournal(wrong, row[0] if type(row[0]) is int else 0, where)


def pending_commands(connection: sqlite3.Connection) -> list[Command]:
    """Return the commands without an answer, oldest first."""
    rows = connection.execute(
        "SELECT id, at, kind, data, done_at, result FROM commands WHERE done_at IS NULL ORDER BY id"
    ).fetchall()
    return [read_command(row) for row in rows]


def make_plain(path: Path) -> None:
    """Fold the write-ahead log of a run without an engine into its file, so that one plain file is left.

    Best effort: somebody else may hold the file, or it cannot be written; whoever opens it next tries again.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=0)
    except sqlite3.Error:
        return
    try:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error:
        return
    finally:
        connection.close()


def read_command(row: tuple[Any, ...]) -> Command:
    """Return a command from its row; unreadable data counts as none."""
    id_, at, kind, raw, done_at, result = row
    try:
        data = {} if is_deep(raw) else msgspec.json.decode(raw)
    except (msgspec.DecodeError, TypeError, AttributeError):
        data = {}
    return Command(id_, at, kind, data if isinstance(data, dict) else {}, done_at is not None, result or "")


def check_file(path: Path) -> None:
    """Check that there is a file, without opening it.

    A file descriptor of our own on it, once closed, would drop the locks that SQLite holds on the same file in this
    process (POSIX advisory locks), and the next one to close the file elsewhere would delete a log that is in use.
    """
    if not is_text(str(path)):
        raise JournalError(f"'{legible(str(path))}' is not valid UTF-8: rename it, since a run keeps names as text")
    if not path.is_file():
        raise JournalError(f"{path} does not exist")
    for beside in (f"{path}-wal", f"{path}-shm", f"{path}-journal"):
        if not regular(Path(beside)):
            raise JournalError(f"{beside} is not a plain file, so {path.name} is not opened")


def check_identity(connection: sqlite3.Connection, path: Path) -> None:
    """Check that a file is the journal of a run, of a format that this version knows.

    Raises:
        JournalError: it is not.
    """
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError as exc:
        raise unreadable(path, exc) from None
    except sqlite3.DatabaseError as exc:
        raise JournalError(f"{path} is no journal of a run, or it is damaged: {exc}") from None
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is a SQLite file of another program, not the journal of a run")
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer version (format {version}, this one knows {SCHEMA_VERSION})",
            "Update this program to open it",
        )
    try:
        check_tables(connection, path)
    except sqlite3.Error as exc:
        raise JournalError(f"{path} is not the journal of a run, or it is damaged: {exc}") from None


def unreadable(path: Path, exc: sqlite3.Error) -> JournalError:
    """Return the error to raise if SQLite cannot read a journal: `JournalBusy` if it can a little later."""
    # Errors of Python's own layer have no code.
    busy = getattr(exc, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
    return (JournalBusy if busy else JournalError)(f"{path} cannot be read: {exc}")
