"""Unsaved texts of priors, kept in the workspace so that a crash or a lost connection costs nothing."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import msgspec

__all__ = ["Draft", "drafts_of", "drop_draft", "keep_draft"]

_log = logging.getLogger(__name__)


class Draft(msgspec.Struct, frozen=True):
    """An unsaved text."""

    base: str
    """The cognition base that the prior belongs to."""
    collection: str
    id: str
    """The prior's id; the prior may not exist yet."""
    number: int
    """The revision that was edited; 0 for a new prior."""
    text: str
    at: int
    """When the text last changed, in milliseconds since 1970."""


def keep_draft(folder: Path, draft: Draft) -> None:
    """Write a draft over the prior's previous one; report errors of the disk only in the log."""
    path = _path(folder, draft.base, draft.collection, draft.id)
    partial = path.with_suffix(".new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.encode(msgspec.structs.replace(draft, text=_encodable(draft.text))))
        partial.replace(path)
    except OSError as exc:
        _log.warning("%s cannot be written: %s", path, exc.strerror)


def drop_draft(folder: Path, base: str, collection: str, prior_id: str) -> None:
    """Delete a draft."""
    try:
        _path(folder, base, collection, prior_id).unlink(missing_ok=True)
    except OSError as exc:
        _log.warning("a draft of '%s' cannot be removed: %s", prior_id, exc.strerror)


def drafts_of(folder: Path, base: str, collection: str) -> dict[str, Draft]:
    """Return the drafts of a collection by prior id; skip files that cannot be read."""
    found = {}
    for path in folder.glob("*.json"):
        try:
            draft = msgspec.json.decode(path.read_bytes(), type=Draft)
        except (OSError, msgspec.DecodeError) as exc:
            _log.warning("%s cannot be read: %s", path, exc)
            continue
        if (draft.base, draft.collection) == (base, collection):
            found[draft.id] = draft
    return found


def _path(folder: Path, base: str, collection: str, prior_id: str) -> Path:
    digest = hashlib.sha256("\0".join((base, collection, prior_id)).encode("utf-8", "surrogatepass")).hexdigest()
    return folder / f"{digest[:24]}.json"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
