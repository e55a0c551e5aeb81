"""When a person last looked at each run; kept in the workspace."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from engine.journal.clock import now_ms
from engine.runs.folder import Run
from engine.workspace import workspace

__all__ = ["last_seen", "mark_seen"]

_log = logging.getLogger(__name__)
_MOST = 200


def last_seen(run: Run) -> int | None:
    """Return when the run was last on a screen, in milliseconds since 1970; None if it never was here."""
    return _read().get(str(run.folder))


def mark_seen(run: Run) -> None:
    """Note that a person looks at the run now; report errors of the disk only in the log."""
    known = _read()
    known.pop(str(run.folder), None)
    known[str(run.folder)] = now_ms()
    file = _file()
    partial = file.with_suffix(".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(msgspec.json.encode(dict(list(known.items())[-_MOST:])))
        partial.replace(file)
    except OSError as exc:
        _log.warning("%s cannot be written: %s", file, exc.strerror)


def _file() -> Path:
    return workspace() / "state" / "seen.json"


def _read() -> dict[str, int]:
    try:
        return msgspec.json.decode(_file().read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        return {}
