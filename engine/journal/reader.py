"""Read the journal of a run, live or finished."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from engine.errors import DamagedJournal, JournalError
from engine.journal.blobs import DICTIONARY, WITH_DICTIONARY, inflated
from engine.journal.checks import QUERY_SECONDS, guard, is_deep
from engine.journal.database import Command, check_file, check_identity, decode_row, read_command, sha256_of, unreadable
from engine.journal.events import CommandDone, Data, Event, decode_data
from engine.journal.live import LiveRow

__all__ = ["JournalReader"]

_PAGE = 500

D = TypeVar("D", bound=Data)


class JournalReader:
    """Reads a run.db, live or finished, without ever writing to it.

    Use from one thread, and close it. Rows are fetched page by page and no cursor stays open between calls, since an
    open one would keep the writer from reusing its write-ahead log.

    Raises:
        JournalError: the file is missing, damaged, foreign or of a newer version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._began = time.monotonic()
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        check_file(path)
        try:
            self._connection = self._connect()
            guard(self._connection)
            self._connection.set_progress_handler(self._overdue, 1_000_000)
            check_identity(self._connection, path)
        except sqlite3.OperationalError as exc:
            self.close()
            raise unreadable(path, exc) from None
        except sqlite3.DatabaseError as exc:
            self.close()
            raise JournalError(f"{path} is no journal of a run, or it is damaged: {exc}") from None
        except JournalError:
            self.close()
            raise
        self._version = -1
        self._dictionary: bytes | None = None

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
        # After a crash `immutable` would hide commits in the -wal file, so a copy is read instead.
        self._copy = tempfile.TemporaryDirectory(prefix="evolve-")
        copy = Path(self._copy.name) / "run.db"
        shutil.copyfile(self.path, copy)
        shutil.copyfile(wal, f"{copy}-wal")
        return sqlite3.connect(copy, timeout=2.0, isolation_level=None)

    def changed(self) -> bool:
        """Return whether another connection committed since the last call; true at the first."""
        (version,) = self._execute("PRAGMA data_version")[0]
        changed: bool = version != self._version
        self._version = version
        return changed

    def rows(self, after: int = 0, upto: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield rows `(seq, at, kind, round, node, data)` with `after < seq <= upto`, in order."""
        for page in self._pages(after, upto):
            yield from page

    def events(self, after: int = 0, upto: int | None = None, without: Iterable[type[Data]] = ()) -> Iterator[Event]:
        """Yield the events with `after < seq <= upto`, in order; kinds this version does not know are left out.

        Args:
            after: the event before the first.
            upto: the last event; None for the newest.
            without: kinds to leave out unread.
        """
        for page in self._pages(after, upto, without):
            for row in page:
                event = decode_row(row, self.path)
                if event is not None:
                    yield event

    def _pages(
        self, after: int, upto: int | None, without: Iterable[type[Data]] = ()
    ) -> Iterator[list[tuple[Any, ...]]]:
        names = [kind.KIND for kind in without]
        marks = ", ".join("?" * len(names))
        query = (
            "SELECT seq, at, kind, round, node, data FROM events "
            f"WHERE seq > ? AND seq <= ? AND kind NOT IN ({marks}) ORDER BY seq LIMIT {_PAGE}"
        )
        last = upto if upto is not None else 1 << 62
        while page := self._execute(query, (after, last, *names)):
            yield page
            if len(page) < _PAGE:
                return
            after = self._advance(after, page[-1][0])

    def node_events(self, node: int) -> list[Event]:
        """Return the events about one node, in order."""
        rows = self._execute("SELECT seq, at, kind, round, node, data FROM events WHERE node = ? ORDER BY seq", (node,))
        return [event for row in rows if (event := decode_row(row, self.path)) is not None]

    def node_events_of(self, node: int, kind: type[Data], after: int = 0) -> list[Event]:
        """Return the events of one kind about one node with `seq > after`, in order."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE node = ? AND kind = ? AND seq > ? ORDER BY seq",
            (node, kind.KIND, after),
        )
        return [event for row in rows if (event := decode_row(row, self.path)) is not None]

    def newest_of(self, node: int, kind: type[D]) -> D | None:
        """Return the data of the newest event of one kind about a node; quick if it is recent, however long the run."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE node = ? AND kind = ? ORDER BY seq DESC LIMIT 1",
            (node, kind.KIND),
        )
        event = decode_row(rows[0], self.path) if rows else None
        return event.data if event is not None and isinstance(event.data, kind) else None

    def newest(self, kind: type[D], count: int) -> list[D]:
        """Return the data of the newest events of one kind, oldest first."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE kind = ? ORDER BY seq DESC LIMIT ?",
            (kind.KIND, count),
        )
        found = (decode_row(row, self.path) for row in reversed(rows))
        return [event.data for event in found if event is not None and isinstance(event.data, kind)]

    def events_of(self, kind: type[Data]) -> list[Event]:
        """Return all events of one kind, in order."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE kind = ? ORDER BY seq", (kind.KIND,)
        )
        return [event for row in rows if (event := decode_row(row, self.path)) is not None]

    def times(self, after: int = 0) -> Iterator[list[tuple[int, int]]]:
        """Yield `(seq, at)` of all events after one of them, without reading their data, some thousands at a time."""
        while page := self._execute("SELECT seq, at FROM events WHERE seq > ? ORDER BY seq LIMIT 5000", (after,)):
            yield page
            after = self._advance(after, page[-1][0])

    def places_of(self, kinds: Iterable[type[Data]], after: int = 0) -> list[tuple[int, str, int | None]]:
        """Return `(seq, kind, round)` of the events of some kinds after a place, without reading their data."""
        names = [kind.KIND for kind in kinds]
        marks = ", ".join("?" * len(names))
        rows = self._execute(
            f"SELECT seq, kind, round FROM events WHERE seq > ? AND kind IN ({marks}) ORDER BY seq", (after, *names)
        )
        return [(seq, kind, round_) for seq, kind, round_ in rows]

    def round_events(self, round_: int) -> list[Event]:
        """Return the events of one round, in order; scans the whole journal."""
        rows = self._execute(
            "SELECT seq, at, kind, round, node, data FROM events WHERE round = ? ORDER BY seq", (round_,)
        )
        return [event for row in rows if (event := decode_row(row, self.path)) is not None]

    def live_after(self, id_: int) -> list[LiveRow]:
        """Return the live rows after one of them, oldest first; rows that were dropped since are missing."""
        if not self._execute("SELECT 1 FROM sqlite_master WHERE name = 'live'"):
            return []
        rows = self._execute("SELECT id, at, kind, round, data FROM live WHERE id > ? ORDER BY id", (id_,))
        try:
            return [
                LiveRow(id_, at, kind, round_, msgspec.json.decode(raw, type=dict[str, Any]))
                for id_, at, kind, round_, raw in rows
                if not is_deep(raw)
            ]
        except (msgspec.DecodeError, TypeError, AttributeError) as exc:
            raise DamagedJournal(f"a row of 'live': {exc}", where=self.path) from None

    def last_seq(self) -> int:
        """Return the newest event's position; 0 in an empty journal."""
        return int(self._execute("SELECT coalesce(max(seq), 0) FROM events")[0][0])

    def blob(self, sha256: str) -> bytes:
        """Return the content of a blob.

        Raises:
            JournalError: there is none, or it is damaged.
        """
        rows = self._execute("SELECT codec, bytes FROM blobs WHERE sha256 = ?", (self._name_of(sha256),))
        if not rows:
            raise JournalError(f"{self.path} has no blob {sha256[:12]}")
        codec, stored = rows[0]
        try:
            content = inflated(stored, codec, self._known_dictionary() if codec == WITH_DICTIONARY else b"")
        except ValueError as exc:
            raise DamagedJournal(f"blob {sha256[:12]}: {exc}", where=self.path) from None
        if sha256_of(content) != sha256:
            raise DamagedJournal(f"blob {sha256[:12]} does not match its name", where=self.path)
        return content

    def _known_dictionary(self) -> bytes:
        """Return the dictionary of the blobs; empty if there is none."""
        if self._dictionary is None:
            name = self.dictionary_name()
            stored = self.stored_blob(name) if name else None
            if stored is None or stored[1] == WITH_DICTIONARY:
                return b""
            self._dictionary = self.blob(name)
        return self._dictionary

    def dictionary_name(self) -> str:
        """Return the name of the blob that others are stored as differences to; empty if there is none."""
        return self.meta(DICTIONARY) or ""

    def stored_blob(self, sha256: str) -> tuple[bytes, str, bytes] | None:
        """Return a blob as it is stored, a row of the table `blobs`; None if there is none."""
        rows = self._execute("SELECT sha256, codec, bytes FROM blobs WHERE sha256 = ?", (self._name_of(sha256),))
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def _name_of(self, sha256: str) -> bytes:
        """Return a blob's name as it is stored."""
        try:
            return bytes.fromhex(sha256)
        except ValueError:
            raise DamagedJournal(f"{sha256[:12]!r} is not the name of a blob", where=self.path) from None

    def text(self, sha256: str) -> str:
        """Return a blob as text, empty for an empty name; bytes that are not UTF-8 are shown as escapes."""
        return self.blob(sha256).decode("utf-8", "backslashreplace") if sha256 else ""

    def answer_to(self, command_id: int, after: int) -> CommandDone | None:
        """Return the answer to a command, if it is recorded; `after`: an event before the answer."""
        rows = self._execute(
            "SELECT data FROM events WHERE seq > ? AND kind = ? ORDER BY seq DESC", (after, CommandDone.KIND)
        )
        answers = (decode_data(CommandDone.KIND, raw) for (raw,) in rows)
        return next((a for a in answers if isinstance(a, CommandDone) and a.command == command_id), None)

    def command(self, command_id: int) -> Command | None:
        """Return a command as it stands now."""
        rows = self._execute("SELECT id, at, kind, data, done_at, result FROM commands WHERE id = ?", (command_id,))
        return read_command(rows[0]) if rows else None

    def last_command(self) -> int:
        """Return the newest command's id; 0 if there is none."""
        return int(self._execute("SELECT coalesce(max(id), 0) FROM commands")[0][0])

    def pending(self) -> list[Command]:
        """Return the commands without an answer, oldest first."""
        rows = self._execute(
            "SELECT id, at, kind, data, done_at, result FROM commands WHERE done_at IS NULL ORDER BY id"
        )
        return [read_command(row) for row in rows]

    def meta(self, key: str) -> str | None:
        """Return a value of the `meta` table."""
        rows = self._execute("SELECT value FROM meta WHERE key = ?", (key,))
        return str(rows[0][0]) if rows else None

    def _execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        self._began = time.monotonic()
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except OverflowError:
            raise JournalError(f"{self.path} holds nothing at a place or number as large as that") from None
        except sqlite3.Error as exc:
            raise unreadable(self.path, exc) from None

    def _advance(self, after: int, last: int) -> int:
        """Return the place to read on from; in a damaged file it might go back again and again."""
        if last <= after:
            raise DamagedJournal("its events are not in order", where=self.path)
        return last

    def _overdue(self) -> int:
        return int(time.monotonic() - self._began > QUERY_SECONDS)

    def close(self) -> None:
        """Close the file."""
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
