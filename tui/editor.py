"""Edit a text in the user's editor."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from textual.app import App, SuspendNotSupported

from engine.errors import UsageError
from tui.guard import Guard

__all__ = ["edit_text"]


def edit_text(app: App[int], guard: Guard, text: str, name: str) -> str | None:
    """Open a text in `$VISUAL` or `$EDITOR`; return the new text, or None if it is unchanged.

    Args:
        app: releases the terminal meanwhile.
        guard: ends the editor when the terminal goes.
        text: the text to edit.
        name: the file's name; its ending tells the editor the language.

    Raises:
        UsageError: there is no editor, or it cannot be started.
    """
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        command = shlex.split(named)
    except ValueError as exc:
        raise UsageError(f"the editor {named!r} is not a command: {exc}", "Set EDITOR, as in EDITOR=vim") from None
    if not command:
        found = next((name for name in ("nano", "vi") if shutil.which(name)), None)
        if found is None:
            raise UsageError("there is no editor", "Set EDITOR, as in EDITOR=vim")
        command = [found]
    with tempfile.TemporaryDirectory(prefix="evolve-") as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            with app.suspend():
                guard.run_child([*command, str(path)])
        except SuspendNotSupported:
            raise UsageError("an editor cannot be opened here") from None
        except OSError as exc:
            raise UsageError(f"the editor {command[0]} cannot be started: {exc.strerror}", "Set EDITOR") from None
        changed = path.read_text(encoding="utf-8", errors="surrogateescape")
    return changed if changed != text else None
