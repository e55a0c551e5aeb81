"""Store collections of priors in cognition.db, with every text that each prior ever had.

Several processes may use the base at once. The text of a prior is the whole of its Markdown file; title, tags, weight
and whether it is enabled are parsed from it, so that base and files cannot disagree. An edit adds a revision and never
destroys one.

CognitionError            a failure that a person can do something about
├── BaseError             cognition.db is locked, damaged, or cannot be written
├── NotFound              there is no such prior, revision or collection
└── Conflict              somebody else edited the prior since its text was read
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cognition.migrations import migrate

__all__ = ["BaseError", "CognitionError", "CollectionInfo", "Conflict", "NotFound", "Store"]

_BUSY_SECONDS = 5.0


class CognitionError(Exception):
    """A failure that a person can do something about.

    Args:
        message: what happened and where, one sentence without a full stop at the end.
        hint: what to do about it.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BaseError(CognitionError):
    """cognition.db is locked, damaged, or cannot be written."""


class NotFound(CognitionError):
    """There is no such prior, revision or collection."""


class Conflict(CognitionError):
    """Somebody else edited the prior since its text was read. Nothing was changed; both texts are here."""

    def __init__(self, prior_id: str, number: int, theirs: str, ours: str) -> None:
        super().__init__(
            f"'{prior_id}' was edited meanwhile: it is at revision {number} now",
            "Look at both texts and save again what should stand",
        )
        self.number = number
        """The current revision of the base."""
        self.theirs = theirs
        """Its text."""
        self.ours = ours
        """The text that was to be saved."""


@dataclass(frozen=True)
class CollectionInfo:
    """A collection of the base: the priors of one task."""

    id: str
    name: str
    """The task's name."""
    folder: Path
    """Where its files are."""
    priors: int
    """How many are active."""
    used_at: int
    """When it was last changed or opened, in milliseconds since 1970."""


class Store:
    """One connection to cognition.db. Several threads may call its methods; a lock admits one at a time.

    Args:
        path: the file; it is created if it is missing.
        busy_seconds: how long a write waits for another process.

    Raises:
        BaseError: it cannot be opened.
    """

    def __init__(self, path: Path, busy_seconds: float = _BUSY_SECONDS) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as exc:
            raise _base_error(path, exc) from None
        try:
            self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute("PRAGMA synchronous = FULL")
            self.connection.execute("PRAGMA foreign_keys = ON")
            migrate(self.connection)
        except sqlite3.Error as exc:
            self.connection.close()
            raise _base_error(path, exc) from None

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self.connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for statements that change nothing.

        Raises:
            BaseError: the base cannot be read.
        """
        with self._lock:
            try:
                yield self.connection
            except sqlite3.Error as exc:
                raise _base_error(self.path, exc) from None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Begin a transaction and yield the connection; a nested call joins the outer transaction.

        No other process can write between its statements.

        Raises:
            BaseError: the base cannot be written, or another process keeps it locked.
        """
        with self._lock:
            if self._depth:
                yield self.connection
                return
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                self._depth = 1
                try:
                    yield self.connection
                    self.connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        self.connection.execute("ROLLBACK")
                    raise
                finally:
                    self._depth = 0
            except sqlite3.Error as exc:
                raise _base_error(self.path, exc) from None

    def wait_for_writer(self) -> bool:
        """Wait until no other process is in the middle of a write, so that what is read next has all of it.

        A commit is written to the log, brought to the disk, and only then seen by readers: who reads as soon as the
        log changes may find the base as it was, and nothing says later that it has changed.

        Returns:
            Whether there is none any more; False if one went on for longer than `busy_seconds`.
        """
        with self._lock:
            if self._depth:
                return True
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                self.connection.execute("ROLLBACK")
            except sqlite3.Error as exc:
                # Any other failure is told by whoever reads or writes next.
                return not _is_busy(exc)
            return True

    def collections(self) -> list[CollectionInfo]:
        """Return all collections, the most recently used first.

        Raises:
            BaseError: the base cannot be read.
        """
        with self.reading() as db:
            rows = db.execute(
                "SELECT id, name, folder, used_at, (SELECT count(*) FROM priors WHERE collection = collections.id "
                "AND status = 'active') FROM collections ORDER BY used_at DESC, id"
            ).fetchall()
        return [CollectionInfo(id_, name, Path(folder), count, used) for id_, name, folder, used, count in rows]

    def register(self, collection: str, name: str, folder: Path) -> None:
        """Create a collection, or update its name, its folder and the time of its last use.

        Raises:
            BaseError: the base cannot be written.
        """
        with self.writing() as db:
            db.execute(
                "INSERT INTO collections (id, name, folder, used_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET name = excluded.name, folder = excluded.folder, "
                "used_at = excluded.used_at",
                (collection, name, str(folder), now_ms()),
            )


def now_ms() -> int:
    """Return the time in milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def _is_busy(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _base_error(path: Path, error: Exception) -> BaseError:
    """Return the error that tells a person what a failure of the file means."""
    if isinstance(error, OSError):
        return BaseError(f"{path} cannot be opened: {error.strerror or error}")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if _is_busy(error):
        return BaseError(f"{path} is locked by another process", "Try again, or end what holds it")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return BaseError(
            f"{path} is damaged: {error}",
            "Move it away: it is made anew from the priors' files, without their history",
        )
    return BaseError(f"{path} cannot be used: {error}")
