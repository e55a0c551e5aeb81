"""run.db: the append-only journal of a run, its blobs and the commands of people. One SQLite file in WAL mode.

The engine is the only writer of events (`engine.journal.writer`). Everybody else reads with `JournalReader` and asks
for something with `send_command`.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from engine.errors import DamagedJournal, JournalError
from engine.journal.clock import now_ms
from engine.journal.events import CommandDone, Data, Event, decode_data, encode_data
from engine.journal.live import LIVE_SCHEMA, LiveRow
from engine.text import is_text, legible

__all__ = [
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "Command",
    "JournalReader",
    "create_journal",
    "insert_blob",
    "insert_event",
    "make_plain",
    "send_command",
    "sha256_of",
]

APPLICATION_ID = 0x45564F4C
SCHEMA_VERSION = 1

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
CREATE TABLE blobs (sha256 BLOB PRIMARY KEY, codec TEXT NOT NULL, bytes BLOB NOT NULL) STRICT, WITHOUT ROWID;
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

_COMPRESS_ABOVE = 512
_PAGE = 500
_BUSY_SECONDS = 5.0


D = TypeVar("D", bound=Data)


class Command(NamedTuple):
    """What a person asked for, as it stands in the journal."""

    id: int
    at: int
    kind: str
    data: dict[str, Any]
    done: bool
    result: str


def sha256_of(content: bytes | str) -> str:
    """The name of a blob: sha256 in hex of its content."""
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
            connection.executescript(f"BEGIN; {_SCHEMA} {LIVE_SCHEMA} COMMIT;")
            undo.pop_all()
    except sqlite3.Error as exc:
        raise JournalError(f"{path} cannot be created: {exc}") from None
    return connection


def connect_writer(path: Path) -> sqlite3.Connection:
    """A connection for the engine, or for a short write of somebody else.

    Raises:
        JournalError: the file is missing, damaged, foreign or read-only.
    """
    _check_file(path)
    try:
        with ExitStack() as undo:
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_BUSY_SECONDS
            )
            undo.callback(connection.close)
            _check_identity(connection, path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA journal_size_limit={64 << 20}")
            undo.pop_all()
    except sqlite3.Error as exc:
        raise JournalError(f"{path} cannot be opened for writing: {exc}") from None
    return connection


Row = tuple[int, int, str, int | None, int | None, str]
"""An event as it is stored: seq, at, kind, round, node, data."""


def to_row(event: Event) -> Row:
    """An event as it is stored.

    Raises:
        ValueError: its data cannot be kept.
    """
    seq, at, round_, node, data = event
    return seq, at, data.KIND, round_, node, encode_data(data).decode()


def insert_row(connection: sqlite3.Connection, row: Row) -> None:
    """Append one event inside the caller's transaction."""
    connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)


def insert_event(connection: sqlite3.Connection, event: Event) -> None:
    """Append one event inside the caller's transaction."""
    insert_row(connection, to_row(event))


def insert_blob(connection: sqlite3.Connection, content: bytes) -> None:
    """Keep a blob inside the caller's transaction; one that is there already is left alone."""
    codec, stored = "raw", content
    if len(content) > _COMPRESS_ABOVE:
        packed = zlib.compress(content, 6)
        if len(packed) < len(content):
            codec, stored = "zlib", packed
    connection.execute(
        "INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (hashlib.sha256(content).digest(), codec, stored)
    )


def encode_command(kind: str, data: dict[str, Any]) -> str:
    """The data of a command as it is stored.

    Raises:
        JournalError: it holds what would not be read back.
    """
    try:
        return msgspec.json.encode(data).decode()
    except ValueError as exc:
        raise JournalError(f"the command '{kind}' cannot be written down: it is no valid text ({exc})") from None


def insert_command(connection: sqlite3.Connection, kind: str, raw: str) -> int:
    """Write a command down, its data as JSON, inside the caller's transaction; returns its id."""
    cursor = connection.execute("INSERT INTO commands (at, kind, data) VALUES (?, ?, ?)", (now_ms(), kind, raw))
    return int(cursor.lastrowid or 0)


def insert_result(connection: sqlite3.Connection, command_id: int, result: str) -> None:
    """Note beside a command what people are told became of it, inside the caller's transaction."""
    connection.execute("UPDATE commands SET done_at = ?, result = ? WHERE id = ?", (now_ms(), result, command_id))


def insert_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    """Set a value of the `meta` table inside the caller's transaction."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def send_command(path: Path, kind: str, data: dict[str, Any] | None = None) -> int:
    """Write down what a person asks of the engine; returns the command's id.

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
    """An event from its row, or None for a kind this version does not know.

    Raises:
        JournalError: the row is damaged.
    """
    seq, at, kind, round_, node, raw = row
    try:
        data: Data | None = decode_data(kind, raw)
    except msgspec.DecodeError as exc:
        raise DamagedJournal(f"{kind}: {exc}", seq, where) from None
    return None if data is None else Event(seq, at, round_, node, data)


class JournalReader:
    """Reads a run.db, live or finished, without ever writing to it.

    Use from one thread, and close it. Rows are fetched page by page and no cursor stays open between calls, since an
    open one would keep the writer from reusing its write-ahead log.

    Raises:
        JournalError: the file is missing, damaged, foreign or of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        _check_file(path)
        try:
            self._connection = self._connect()
            _check_identity(self._connection, path)
        except sqlite3.OperationalError as exc:
            self.close()
            raise JournalError(f"{path} cannot be read: {exc}") from None
        except sqlite3.DatabaseError as exc:
            self.close()
            raise JournalError(f"{path} is no journal of a run, or it is damaged: {exc}") from None
        except JournalError:
            self.close()
            raise
        self._version = -1

    def _connect(self) -> sqlite3.Connection:
        """Open read-only; in a folder that cannot be written SQLite needs help to read a WAL file."""
        uri = self.path.absolute().as_uri()
        connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=2.0, isolation_level=None)
        try:
            connection.execute("PRAGMA user_version").fetchall()
            return connection
        except sqlite3.OperationalError:
            connection.close()
        except sqlite3.DatabaseError:
            connection.close()
            raise
        wal = Path(f"{self.path}-wal")
        if not wal.exists() or wal.stat().st_size == 0:
            return sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
        # After a crash `immutable` would hide what is committed in the -wal file, so a copy is read in its place.
        self._copy = tempfile.TemporaryDirectory(prefix="evolve-")
        copy = Path(self._copy.name) / "run.db"
        shutil.copyfile(self.path, copy)
        shutil.copyfile(wal, f"{copy}-wal")
        return sqlite3.connect(copy, timeout=2.0, isolation_level=None)

    def changed(self) -> bool:
        """Whether somebody committed since the last call; true at the first."""
        (version,) = self._execute("PRAGMA data_version")[0]
        changed: bool = version != self._version
        self._version = version
        return changed

    def rows(self, after: int = 0, upto: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Rows `(seq, at, kind, round, node, data)` with `after < seq <= upto`, in order."""
        while True:
            page = self._execute(
                "SELECT seq, at, kind, round, node, data FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
                (after, upto if upto is not None else 1 << 62, _PAGE),
            )
            yield from page
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    def events(self, after: int = 0, upto: int | None = None) -> Iterator[Event]:
        """Events with `after < seq <= upto`, in order; kinds this version does not know are left out."""
        for row in self.rows(after, upto):
            event = decode_row(row, self.path)
            if event is not None:
                yield event

    def node_events(self, node: int) -> list[Event]:
        """The events about one node, in order."""
        rows = self._execute("SELECT seq, at, kind, round, node, data FROM events WHERE node = ? ORDER BY seq", (node,))
        return [event for row in rows if (event := decode_row(row, self.path)) is not None]

    def newest_of(self, node: int, kind: type[D]) -> D | None:
        """The data of the newest event of one kind about one node; quick where that is recent, however long the run."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE node = ? AND kind = ? ORDER BY seq DESC LIMIT 1",
            (node, kind.KIND),
        )
        event = decode_row(rows[0], self.path) if rows else None
        return event.data if event is not None and isinstance(event.data, kind) else None

    def newest(self, kind: type[D], count: int) -> list[D]:
        """The data of the newest events of one kind, oldest first."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE kind = ? ORDER BY seq DESC LIMIT ?",
            (kind.KIND, count),
        )
        found = (decode_row(row, self.path) for row in reversed(rows))
        return [event.data for event in found if event is not None and isinstance(event.data, kind)]

    def events_of(self, kind: type[Data]) -> list[Event]:
        """All events of one kind, in order."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE kind = ? ORDER BY seq", (kind.KIND,)
        )
        return [event for row in rows if (event := decode_row(row, self.path)) is not None]

    def times(self, after: int = 0) -> Iterator[list[tuple[int, int]]]:
        """`(seq, at)` of all events after one of them, without reading what they say, some thousands at a time."""
        while page := self._execute("SELECT seq, at FROM events WHERE seq > ? ORDER BY seq LIMIT 5000", (after,)):
            yield page
            after = page[-1][0]

    def places_of(self, kinds: Iterable[type[Data]], after: int = 0) -> list[tuple[int, str, int | None]]:
        """`(seq, kind, round)` of the events of some kinds after a place, without reading what they say."""
        names = [kind.KIND for kind in kinds]
        marks = ", ".join("?" * len(names))
        rows = self._execute(
            f"SELECT seq, kind, round FROM events WHERE seq > ? AND kind IN ({marks}) ORDER BY seq", (after, *names)
        )
        return [(seq, kind, round_) for seq, kind, round_ in rows]

    def round_events(self, round_: int) -> list[Event]:
        """The events of one round, in order; goes through the whole journal."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE round = ? ORDER BY seq", (round_,)
        )
        return [event for row in rows if (event := decode_row(row, self.path)) is not None]

    def live_after(self, id_: int) -> list[LiveRow]:
        """Live rows after one of them, oldest first; those that were dropped meanwhile are missing."""
        if not self._execute("SELECT 1 FROM sqlite_master WHERE name = 'live'"):
            return []
        rows = self._execute("SELECT id, at, kind, round, data FROM live WHERE id > ? ORDER BY id", (id_,))
        return [LiveRow(id_, at, kind, round_, msgspec.json.decode(raw)) for id_, at, kind, round_, raw in rows]

    def last_seq(self) -> int:
        """The newest event's position; 0 in an empty journal."""
        return int(self._execute("SELECT coalesce(max(seq), 0) FROM events")[0][0])

    def blob(self, sha256: str) -> bytes:
        """The content of a blob.

        Raises:
            JournalError: there is none, or it is damaged.
        """
        rows = self._execute("SELECT codec, bytes FROM blobs WHERE sha256 = ?", (bytes.fromhex(sha256),))
        if not rows:
            raise JournalError(f"{self.path} has no blob {sha256[:12]}")
        codec, stored = rows[0]
        try:
            content = bytes(zlib.decompress(stored) if codec == "zlib" else stored)
        except zlib.error as exc:
            raise DamagedJournal(f"blob {sha256[:12]}: {exc}", where=self.path) from None
        if sha256_of(content) != sha256:
            raise DamagedJournal(f"blob {sha256[:12]} does not match its name", where=self.path)
        return content

    def stored_blob(self, sha256: str) -> tuple[bytes, str, bytes] | None:
        """A blob as it is stored, a row of the table `blobs`; None where there is none."""
        rows = self._execute("SELECT sha256, codec, bytes FROM blobs WHERE sha256 = ?", (bytes.fromhex(sha256),))
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def text(self, sha256: str) -> str:
        """A blob as text, or an empty string for an empty name; bytes that are no UTF-8 are shown as such."""
        return self.blob(sha256).decode("utf-8", "backslashreplace") if sha256 else ""

    def answer_to(self, command_id: int, after: int) -> CommandDone | None:
        """The answer to a command, once it is recorded; `after`: an event that is older."""
        rows = self._execute(
            "SELECT data FROM events WHERE seq > ? AND kind = ? ORDER BY seq DESC", (after, CommandDone.KIND)
        )
        answers = (decode_data(CommandDone.KIND, raw) for (raw,) in rows)
        return next((a for a in answers if isinstance(a, CommandDone) and a.command == command_id), None)

    def command(self, command_id: int) -> Command | None:
        """A command as it stands now."""
        rows = self._execute("SELECT id, at, kind, data, done_at, result FROM commands WHERE id = ?", (command_id,))
        return _command(rows[0]) if rows else None

    def last_command(self) -> int:
        """The newest command's id; 0 where nobody has asked for anything."""
        return int(self._execute("SELECT coalesce(max(id), 0) FROM commands")[0][0])

    def pending(self) -> list[Command]:
        """Commands that nobody has answered yet, oldest first."""
        rows = self._execute(
            "SELECT id, at, kind, data, done_at, result FROM commands WHERE done_at IS NULL ORDER BY id"
        )
        return [_command(row) for row in rows]

    def meta(self, key: str) -> str | None:
        """A value of the `meta` table."""
        rows = self._execute("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def _execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as exc:
            raise JournalError(f"{self.path} cannot be read: {exc}") from None

    def close(self) -> None:
        """Let the file go."""
        connection = getattr(self, "_connection", None)
        if connection is not None:
            connection.close()
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def pending_commands(connection: sqlite3.Connection) -> list[Command]:
    """Commands that nobody has answered yet, oldest first."""
    rows = connection.execute(
        "SELECT id, at, kind, data, done_at, result FROM commands WHERE done_at IS NULL ORDER BY id"
    ).fetchall()
    return [_command(row) for row in rows]


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


def _command(row: tuple[Any, ...]) -> Command:
    id_, at, kind, raw, done_at, result = row
    try:
        data = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        data = {}
    return Command(id_, at, kind, data if isinstance(data, dict) else {}, done_at is not None, result or "")


def _check_file(path: Path) -> None:
    """See that there is a file, without opening it.

    A file descriptor of our own on it, once closed, would drop the locks that SQLite holds on the same file in this
    process (POSIX advisory locks), and the next one to close the file elsewhere would delete a log that is in use.
    """
    if not is_text(str(path)):
        raise JournalError(f"'{legible(str(path))}' is not valid UTF-8: rename it, since a run keeps names as text")
    if not path.is_file():
        raise JournalError(f"{path} does not exist")


def _check_identity(connection: sqlite3.Connection, path: Path) -> None:
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError as exc:
        raise JournalError(f"{path} cannot be read: {exc}") from None
    except sqlite3.DatabaseError as exc:
        raise JournalError(f"{path} is no journal of a run, or it is damaged: {exc}") from None
    if application != APPLICATION_ID:
        raise JournalError(f"{path} is a SQLite file of another program, not the journal of a run")
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"{path} was written by a newer version (format {version}, this one knows {SCHEMA_VERSION})",
            "Update this program to open it",
        )
