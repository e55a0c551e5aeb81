"""Cache embeddings in cognition.db, so that no text is embedded twice.

The key is the text's sha256 and the embedder's name: vectors of two embedders are never mixed. If the base cannot be
read or written, texts are embedded again.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cognition.migrations import migrate, migration

__all__ = ["VectorStore", "Vectors", "key_of"]

Vectors = NDArray[np.int16]
"""Rows of unit length times 2048, rounded [n, dim]; see `cognition.meaning`."""

_BUSY_SECONDS = 2.0
_ASKED_AT_ONCE = 500


@migration
def vectors_of_texts(connection: sqlite3.Connection) -> None:
    """Create the table of vectors: all passages of a text in one row."""
    connection.execute(
        "CREATE TABLE vectors (sha256 TEXT NOT NULL, embedder TEXT NOT NULL, dim INTEGER NOT NULL, "
        "vector BLOB NOT NULL, PRIMARY KEY (embedder, sha256)) STRICT"
    )


def key_of(passages: Sequence[str]) -> str:
    """Return the sha256 of the passages of a text."""
    return hashlib.sha256("\0".join(passages).encode("utf-8", "replace")).hexdigest()


class VectorStore:
    """Reads and writes the table `vectors`; each call opens a connection, so that any thread may call.

    Args:
        path: cognition.db; None stores nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self, embedder: str, keys: Sequence[str]) -> dict[str, Vectors]:
        """Return the stored vectors of these keys."""
        found: dict[str, Vectors] = {}
        if self._path is None or not self._path.exists() or not keys:
            return found
        with suppress(sqlite3.Error, ValueError), closing(self._connect(self._path)) as connection:
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                asked = keys[start : start + _ASKED_AT_ONCE]
                marks = ", ".join("?" * len(asked))
                rows = connection.execute(
                    f"SELECT sha256, dim, vector FROM vectors WHERE embedder = ? AND sha256 IN ({marks})",
                    (embedder, *asked),
                )
                found.update({key: np.frombuffer(blob, dtype="<i2").reshape(-1, dim) for key, dim, blob in rows})
        return found

    def write(self, embedder: str, vectors: Mapping[str, Vectors]) -> None:
        """Store vectors under their keys."""
        if self._path is None or not vectors:
            return
        rows = [
            (key, embedder, vector.shape[1], np.ascontiguousarray(vector, "<i2").tobytes())
            for key, vector in vectors.items()
        ]
        with suppress(sqlite3.Error), closing(self._connect(self._path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?)", rows)
            connection.execute("COMMIT")

    def _connect(self, path: Path) -> sqlite3.Connection:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection
