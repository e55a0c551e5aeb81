"""Texts of priors that were typed and not saved, kept in the workspace so that a crash or a lost line costs nothing."""

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
    """The cognition base that it is for."""
    collection: str
    id: str
    """The prior's id; there may be none of this id yet."""
    number: int
    """The revision that it was made from; 0 for a new prior."""
    text: str
    at: int
    """When it was last typed at, in milliseconds since 1970."""


def keep_draft(folder: Path, draft: Draft) -> None:
    """Write a draft in place of the prior's former one; a disk that refuses is told in the log alone."""
    path = _path(folder, draft.base, draft.collection, draft.id)
    partial = path.with_suffix(".new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.encode(msgspec.structs.replace(draft, text=_encodable(draft.text))))
        partial.replace(path)
    except OSError as exc:
        _log.warning("%s cannot be written: %s", path, exc.strerror)


def drop_draft(folder: Path, base: str, collection: str, prior_id: str) -> None:
    """Forget a draft."""
    try:
        _path(folder, base, collection, prior_id).unlink(missing_ok=True)
    except OSError as exc:
        _log.warning("a draft of '%s' cannot be removed: %s", prior_id, exc.strerror)


def drafts_of(folder: Path, base: str, collection: str) -> dict[str, Draft]:
    """The drafts of a collection by the prior's id; what cannot be read is left out."""
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
