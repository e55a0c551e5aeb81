"""Pack and unpack the contents that a journal keeps as blobs.

Most contents repeat what a run began with: a prompt holds the brief, the interface and a program much like the first
one. So in a journal of the second format its first contents make a dictionary, a blob of its own that the value
`dictionary` of `meta` names, and what follows is stored as the difference to it.
"""

from __future__ import annotations

import functools
import hashlib
import sqlite3
import zlib
from typing import Any

from engine.journal.checks import MOST_BLOB_BYTES

__all__ = ["DICTIONARY", "WITH_DICTIONARY", "BlobWriter", "inflated", "insert_blob"]

DICTIONARY = "dictionary"
"""The key in `meta`; its value is the name of a blob, or empty if the run's first contents do not serve."""
WITH_DICTIONARY = "zlib+dictionary"
"""The codec of a blob that takes the dictionary to read."""

_FORMAT_WITH_DICTIONARY = 2
_COMPRESS_ABOVE, _PACK_ABOVE = 512, 64
"""Bytes of the shortest content that is compressed, without and with a dictionary."""
_ENOUGH = 7 << 10
"""Bytes that the first contents take before they make the dictionary."""
_MOST_ROWS = 64
_LONGEST_PART = 16 << 10
_MOST_DICTIONARY = 32 << 10
"""Bytes that zlib looks back."""


class BlobWriter:
    """Keep blobs by one connection.

    A journal's dictionary never changes once it is decided, so it is looked up only until then. After a transaction
    that was rolled back, make another one.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._dictionary: bytes | None = None

    def insert(self, content: bytes) -> None:
        """Keep a blob inside the caller's transaction; one that is there already is left alone."""
        connection = self._connection
        if self._dictionary is None:
            self._dictionary = _dictionary_of(connection)
        row = (hashlib.sha256(content).digest(), *_packed(content, self._dictionary or b""))
        added = connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", row).rowcount
        if added and self._dictionary is None:
            _choose_dictionary(connection)


def insert_blob(connection: sqlite3.Connection, content: bytes) -> None:
    """Keep a blob inside the caller's transaction; one that is there already is left alone."""
    BlobWriter(connection).insert(content)


def _dictionary_of(connection: sqlite3.Connection) -> bytes | None:
    """Return a journal's dictionary, empty if it has none; None if that is not yet decided."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version < _FORMAT_WITH_DICTIONARY:
        return b""
    named = connection.execute("SELECT value FROM meta WHERE key = ?", (DICTIONARY,)).fetchone()
    if named is None or not named[0]:
        return None if named is None else b""
    try:
        stored = connection.execute("SELECT bytes, codec FROM blobs WHERE sha256 = ?", (bytes.fromhex(named[0]),))
        row = stored.fetchone()
        return _unpacked(named[0], *row) if row else b""
    except (ValueError, TypeError):
        return b""  # it is damaged, which whoever reads a blob is told


# It is looked up for each blob, and the journals of one process are few.
@functools.lru_cache(maxsize=4)
def _unpacked(name: str, stored: bytes, codec: str) -> bytes:
    content = inflated(stored, codec)
    return content if hashlib.sha256(content).hexdigest() == name else b""


def _choose_dictionary(connection: sqlite3.Connection) -> None:
    """Make the dictionary of the first contents once they are enough."""
    rows = connection.execute("SELECT bytes, codec FROM blobs ORDER BY rowid LIMIT ?", (_MOST_ROWS,)).fetchall()
    if sum(len(stored) for stored, _ in rows) < _ENOUGH and len(rows) < _MOST_ROWS:
        return
    parts = [inflated(stored, codec) for stored, codec in rows if codec != WITH_DICTIONARY]
    content = b"".join(part for part in parts if len(part) <= _LONGEST_PART)[-_MOST_DICTIONARY:]
    name = hashlib.sha256(content).digest()
    if content:
        connection.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?, ?)", (name, *_packed(content, b"")))
    connection.execute("INSERT INTO meta VALUES (?, ?)", (DICTIONARY, name.hex() if content else ""))


def _packed(content: bytes, dictionary: bytes) -> tuple[str, bytes]:
    """Return codec and bytes for a content."""
    if len(content) > (_PACK_ABOVE if dictionary else _COMPRESS_ABOVE):
        machine = _prepared(dictionary).copy()
        packed = machine.compress(content) + machine.flush()
        if len(packed) < len(content):
            return (WITH_DICTIONARY if dictionary else "zlib"), packed
    return "raw", content


@functools.lru_cache(maxsize=4)
def _prepared(dictionary: bytes) -> Any:
    """Return a compressor that has taken in the dictionary; copying it costs less than to do so again."""
    return zlib.compressobj(6, zdict=dictionary) if dictionary else zlib.compressobj(6)


def inflated(stored: bytes, codec: str, dictionary: bytes = b"") -> bytes:
    """Return the content of a blob.

    Args:
        stored: as it stands in the journal.
        codec: `raw`, `zlib` or `zlib+dictionary`.
        dictionary: the journal's, for the last of these.

    Raises:
        ValueError: it is damaged, or larger than any that a journal keeps.
    """
    if not isinstance(stored, bytes):
        raise ValueError("it does not hold bytes")
    if codec == "raw":
        return stored
    if codec == WITH_DICTIONARY and dictionary:
        machine = zlib.decompressobj(zdict=dictionary)
    elif codec == WITH_DICTIONARY:
        raise ValueError("the dictionary that it needs is missing or damaged")
    elif codec == "zlib":
        machine = zlib.decompressobj()
    else:
        raise ValueError(f"its codec {str(codec)[:20]!r} is unknown")
    try:
        content = machine.decompress(stored, MOST_BLOB_BYTES)
    except zlib.error as exc:
        raise ValueError(str(exc)) from None
    if machine.unconsumed_tail or not machine.eof:
        raise ValueError(f"it is cut off, or larger than {MOST_BLOB_BYTES >> 20} MiB")
    return content
