"""Screens to read: the help, made from the bindings that work on the screen below, and the log."""

from __future__ import annotations

import textwrap
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.model.document import Line, Look, Span, text_lines
from tui.screens.base import BaseScreen
from tui.titles import by_purpose
from tui.widgets.bars import Title
from tui.widgets.text_view import TextView

__all__ = ["HelpScreen", "LogScreen", "ReadingScreen", "help_lines"]

_WIDTH = 78
"""Cells across that every supported terminal has."""

_GLOSSARY = {
    "node": "one candidate program with its result",
    "round": "one pass: learn, design, experiment, analyze",
    "prior": "one item of the cognition base, which designs are shown",
    "lesson": "the analyzer's one line about a node, which later rounds read",
    "guarded": "results cannot be forged by a candidate; open: in principle they can",
    "pause": "running stages finish, none starts; freeze also stops evaluations at once",
}

_TERMINAL = """\
Select and copy with your terminal as usual; with --mouse hold shift (or option).
In tmux, copying by OSC 52 needs 'set -s set-clipboard on'; y also writes a file and tmux's own buffer.
Change keys in config.toml: [tui.keymap] "run.pause" = "p,f5" (the ids are on the right above).
"""


def help_lines(screen: Screen[Any]) -> list[Line]:
    """Return the purpose of a screen and its working bindings with their ids."""
    lines: list[Line] = [(Span(getattr(screen, "title_", "") or "Help", "heading"),)]
    lines += _paragraphs(getattr(screen, "about", ""))
    seen: dict[str, tuple[list[str], str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.id or not active.enabled:
            continue
        keys, _ = seen.setdefault(binding.id, ([], binding.tooltip or binding.description))
        display = screen.app.get_key_display(binding)
        if display not in keys:
            keys.append(display)
    widths = max(len(" ".join(keys)) for keys, _ in seen.values()), max(map(len, seen))
    for purpose, ids in by_purpose(list(seen)):
        lines += [(), (Span(purpose, "heading"),)]
        lines += _key_lines([(" ".join(seen[id_][0]), seen[id_][1], id_) for id_ in ids], *widths)
    lines += [(), (Span("Words", "heading"),)]
    for word, meaning in _GLOSSARY.items():
        lines += _beside(f"{word:<9}", meaning, _WIDTH - 9, "plain")
    return [*lines, (), (Span("Terminal", "heading"),), *_paragraphs(_TERMINAL)]


def _paragraphs(text: str) -> list[Line]:
    return [line for part in text.strip().split("\n") for line in text_lines("\n".join(textwrap.wrap(part, _WIDTH)))]


def _key_lines(rows: list[tuple[str, str, str]], keys: int, ids: int) -> list[Line]:
    """Return keys, meanings and ids in columns, of which the first and last have these widths."""
    room = _WIDTH - keys - ids - 5
    lines: list[Line] = []
    for key, tooltip, id_ in rows:
        first, *further = _beside(f"  {key:<{keys}}  ", tooltip, room, "accent")
        lines += [(*first, Span(" " + id_, "dim")), *further]
    return lines


def _beside(name: str, text: str, room: int, look: Look) -> list[Line]:
    """Return a name, and beside it a text in its own column."""
    parts = textwrap.wrap(text, room) or [""]
    return [
        (Span(name if not index else " " * len(name), look), Span(f"{part:<{room}}"))
        for index, part in enumerate(parts)
    ]


class ReadingScreen(BaseScreen):
    """A screen with one text."""

    DEFAULT_CSS = "ReadingScreen #text { height: 1fr; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="reading.back", tooltip="Back to the screen before"),
    ]

    def __init__(self, title: str, lines: list[Line], at_end: bool = False) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._at_end = at_end
        self._text = TextView(id="text")

    def compose_body(self) -> ComposeResult:
        """Compose title and text."""
        yield Title(f" {self._title}", id="head")
        yield self._text

    def on_mount(self) -> None:
        """Show the text."""
        self._text.show(self._lines)
        self._text.focus()
        if self._at_end:
            self.call_after_refresh(self._text.action_to, -1)

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()


class HelpScreen(ReadingScreen):
    """The help on the screen below."""

    title_ = "Help"

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__("Help", help_lines(screen))


class LogScreen(ReadingScreen):
    """The last lines of the application's log."""

    title_ = "Log"

    def __init__(self, text: str, path: str) -> None:
        super().__init__(f"Log  {path}", text_lines(text), at_end=True)
