"""A note of a run: its whole text, and a copy of it."""

from __future__ import annotations

import textwrap

from engine.text import visible
from tui.clipboard import keep_copy
from tui.model.document import text_lines
from tui.model.labels import clock
from tui.model.run_model import Note
from tui.screens.area import ActionArea
from tui.screens.reading import ReadingScreen

__all__ = ["act_on_note"]

_WIDTH = 78


def act_on_note(area: ActionArea, act: str, note: Note) -> None:
    """Show a note as a text of its own if the act is `open`, else copy it."""
    text = visible(note.text)
    if act == "open":
        whose = f" on #{note.node}" if note.node is not None else ""
        lines = [part for line in text.splitlines() for part in textwrap.wrap(line, _WIDTH) or [""]]
        area.app.push_screen(ReadingScreen(f"Note of {clock(note.at)}{whose}", text_lines("\n".join(lines))))
        return
    area.app.copy_to_clipboard(text)
    folder = area.navigator.cache

    def work() -> None:
        area.app.call_from_thread(area.say, f"the note: {keep_copy(text, folder)}", "accent", 8.0)

    area.in_thread(work)
