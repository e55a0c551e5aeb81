"""Record a person's agreements to run code: by the contents of task folders, and for the person's own folders.

An agreement holds for one content in any place: the hash of a task's files, as a run keeps them. It includes their
reach (`engine.runs.reach`), so that a larger reach is asked about again. A person edits the files of an own folder: any
content of it is agreed to, but no larger reach.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import msgspec

from engine.errors import RunError
from engine.journal.clock import now_ms
from engine.workspace import workspace

__all__ = ["agree", "agreed", "last_agreed", "own", "own_reach"]

T = TypeVar("T", bound=msgspec.Struct)


class _Content(msgspec.Struct, forbid_unknown_fields=True):
    """An agreement to a content."""

    reach: list[str]
    where: str
    """The folder or run that the person saw; for people who read the file."""
    at: int
    """Milliseconds since 1970."""


class _Folder(msgspec.Struct, forbid_unknown_fields=True):
    """The last agreement about a folder."""

    folder: str
    own: bool
    device: int
    inode: int
    """With the device it tells a folder from another one that has taken its place."""
    reach: list[str]
    at: int


def agreed(digest: str) -> frozenset[str] | None:
    """Return the reach agreed to for a content; None if there is no agreement."""
    found = _read(_content_path(digest), _Content)
    return None if found is None else frozenset(found.reach)


def agree(digest: str, reach: Iterable[str], where: Path, folder: bool = False) -> None:
    """Record that a person agrees to a content and its reach; earlier agreements stay valid.

    Args:
        digest: the hash of the content.
        reach: its reach.
        where: the folder or the run that the person saw.
        folder: whether that is a task folder, so that it is known again when its files have changed.

    Raises:
        RunError: the workspace cannot be written.
    """
    all_of_it = sorted({*reach, *(agreed(digest) or ())})
    _write(_content_path(digest), _Content(all_of_it, str(where), now_ms()))
    if folder and own_reach(where) is None:
        _record(where, False, all_of_it)


def own(folder: Path, reach: Iterable[str]) -> None:
    """Record that a person edits a task folder and agrees to any content of it.

    Args:
        folder: the task folder.
        reach: its reach.

    Raises:
        RunError: the workspace cannot be written.
    """
    _record(folder, True, sorted({*reach, *(own_reach(folder) or ())}))


def own_reach(folder: Path) -> frozenset[str] | None:
    """Return the reach agreed to for a person's own folder; None if it is not an own one."""
    found = _read(_folder_path(folder), _Folder)
    if found is None or not found.own:
        return None
    try:
        status = folder.stat()
    except OSError:
        return None
    same = (str(folder), status.st_dev, status.st_ino) == (found.folder, found.device, found.inode)
    return frozenset(found.reach) if same else None


def last_agreed(folder: Path) -> frozenset[str] | None:
    """Return the reach last agreed to for a folder, whatever its content was; None if there never was any."""
    found = _read(_folder_path(folder), _Folder)
    return None if found is None else frozenset(found.reach)


def _record(folder: Path, is_own_: bool, reach: list[str]) -> None:
    try:
        status = folder.stat()
    except OSError as exc:
        raise RunError(f"{folder} cannot be read: {exc.strerror}") from None
    record = _Folder(str(folder), is_own_, status.st_dev, status.st_ino, reach, now_ms())
    _write(_folder_path(folder), record)


def _content_path(digest: str) -> Path:
    return workspace() / "trust" / f"{digest}.json"


def _folder_path(folder: Path) -> Path:
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()
    return workspace() / "trust" / "folders" / f"{name}.json"


def _read(path: Path, kind: type[T]) -> T | None:
    """Return a record; one that is missing or damaged agrees to nothing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def _write(path: Path, record: msgspec.Struct) -> None:
    """Write a record whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(record), indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, partial = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text + b"\n")
            Path(partial).replace(path)
        except OSError:
            Path(partial).unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise RunError(f"{path} cannot be written: {exc.strerror}", "What you agree to is kept there") from None
