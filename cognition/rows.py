"""Read and write the rows of priors and revisions; every change raises the collection's generation."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import Any

from cognition.entry import Author, Origin, Revision, Status, key_of
from cognition.store import now_ms

__all__ = ["add_revision", "change_key", "insert", "select", "select_revisions", "set_columns"]


def select(db: sqlite3.Connection, collection: str, where: str, *values: object) -> list[tuple[Any, ...]]:
    """Return priors with their current revision.

    The columns are id, origin, status, revision, gone, evidence, reason, former, created_at,
    changed_at, and the revision's text, author, message.

    Args:
        db: the connection.
        collection: the collection's id.
        where: a condition on `p` (the prior) and `r` (its current revision).
        values: the parameters of the condition.
    """
    return db.execute(
        "SELECT p.id, p.origin, p.status, p.revision, p.gone, p.evidence, p.reason, p.former, p.created_at, "
        "p.changed_at, r.text, r.author, r.message FROM priors p JOIN revisions r ON r.collection = p.collection "
        f"AND r.key = p.key AND r.revision = p.revision WHERE p.collection = ? AND {where}",
        (collection, *values),
    ).fetchall()


def select_revisions(db: sqlite3.Connection, collection: str, prior_id: str) -> list[Revision]:
    """Return all revisions of a prior, oldest first."""
    rows = db.execute(
        "SELECT revision, text, sha256, at, author, message FROM revisions WHERE collection = ? AND key = ? "
        "ORDER BY revision",
        (collection, key_of(prior_id)),
    )
    return [Revision(*row) for row in rows]


def insert(
    db: sqlite3.Connection, collection: str, prior_id: str, origin: Origin, status: Status, evidence: dict[str, Any]
) -> None:
    """Insert a prior without a revision."""
    now = now_ms()
    db.execute(
        "INSERT INTO priors (collection, key, id, origin, status, revision, evidence, created_at, changed_at) "
        "VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)",
        (collection, key_of(prior_id), prior_id, origin, status, json.dumps(evidence), now, now),
    )


def add_revision(
    db: sqlite3.Connection, collection: str, prior_id: str, number: int, text: str, author: Author, message: str
) -> None:
    """Insert a revision and make it the prior's current one."""
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    db.execute(
        "INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (collection, key_of(prior_id), number, text, sha256, now_ms(), author, message),
    )
    set_columns(db, collection, prior_id, revision=number)


def set_columns(db: sqlite3.Connection, collection: str, prior_id: str, **values: object) -> None:
    """Update columns of a prior."""
    now = now_ms()
    assignments = ", ".join(f"{column} = ?" for column in values)
    db.execute(
        f"UPDATE priors SET {assignments}, changed_at = ? WHERE collection = ? AND key = ?",
        (*values.values(), now, collection, key_of(prior_id)),
    )
    db.execute("UPDATE collections SET generation = generation + 1, used_at = ? WHERE id = ?", (now, collection))


def change_key(db: sqlite3.Connection, collection: str, prior_id: str, new_id: str) -> None:
    """Move a prior and its revisions to the key of another id; the column `id` stays as it is."""
    old, new = key_of(prior_id), key_of(new_id)
    db.execute("UPDATE revisions SET key = ? WHERE collection = ? AND key = ?", (new, collection, old))
    db.execute("UPDATE priors SET key = ? WHERE collection = ? AND key = ?", (new, collection, old))
