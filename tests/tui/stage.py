"""One painted widget in a terminal emulator, with frames that come when the test says so.

What a screen does by timers and messages is done here step by step, so that anything may happen between two frames, and
between a frame at a new size and the word of it that a widget gets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pyte
from pyte.screens import Char
from textual.app import App, ComposeResult
from textual.screen import Screen

from tui.theme import DEFAULT_THEME, THEMES
from tui.widgets.bars import Title
from tui.widgets.painted import Painted

__all__ = ["SIZE", "Stage", "staged"]

SIZE = (40, 10)
"""Columns and rows of a widget at the start."""
_TERMINAL = (56, 18)


class _StageApp(App[None]):
    """Holds the widget between neighbours, away from the terminal's edges."""

    CSS = "#above { height: 2; } #beside { width: 3; height: 100%; dock: left; }"

    def __init__(self, widget: Painted) -> None:
        super().__init__()
        self.widget = widget
        self.plain = False
        self.stream = pyte.Stream(pyte.Screen(*_TERMINAL))
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = DEFAULT_THEME

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return dict(THEMES[DEFAULT_THEME].variables)

    def compose(self) -> ComposeResult:
        yield Title("beside", id="beside")
        yield Title("above", id="above")
        yield self.widget

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if renderable is not None:
            self.stream.feed(renderable.render_segments(self.console))
        super()._display(screen, renderable)


class Stage:
    """Paints a widget's frames, and compares them with one painting of all that it shows."""

    def __init__(self, app: _StageApp) -> None:
        self.app = app
        self.widget: Any = app.widget
        self._deaf = False

    def frame(self) -> None:
        """Paint what was refreshed since the last frame."""
        screen = self.app.screen
        screen._dirty_widgets.update(screen.query(Painted))
        screen._on_timer_update()

    def resize(self, columns: int, rows: int) -> None:
        """Lay the widget out at another size and paint that; it hears of its size later, as of any event."""
        self.widget.styles.width, self.widget.styles.height = columns, rows
        self.app.screen._clear_arrangement_cache()
        self.app.screen._refresh_layout()
        self._deaf = True

    def hear(self) -> None:
        """Tell the widget of its size."""
        if self._deaf:
            self._deaf = False
            self.widget.on_resize()

    def check(self) -> None:
        """Take what there is now: what the frames have shown is what one painting of everything shows.

        Raises:
            AssertionError: some cell shows something else.
        """
        self.hear()
        self.widget.repaint()
        self.frame()
        stepped = self._cells()
        self.app.stream.listener.reset()  # type: ignore[union-attr]
        for widget in self.app.screen.query(Painted):
            widget.repaint_all()
        self.app.screen.refresh()
        self.app.screen._repaint_required = True
        self.frame()
        whole = self._cells()
        wrong = [
            f"row {y}: painted   {_text(before)!r}\n       should be {_text(after)!r}"
            for y, (before, after) in enumerate(zip(stepped, whole, strict=True))
            if before != after
        ]
        assert not wrong, "\n".join(wrong)

    def _cells(self) -> list[list[Char]]:
        screen: Any = self.app.stream.listener
        return [[screen.buffer[y][x] for x in range(screen.columns)] for y in range(screen.lines)]


def _text(cells: list[Char]) -> str:
    return "".join(cell.data for cell in cells).rstrip()


@asynccontextmanager
async def staged(widget: Painted) -> AsyncIterator[Stage]:
    """Show a widget; between the beginning and the end nothing is painted but what the test asks for."""
    app = _StageApp(widget)
    async with app.run_test(size=_TERMINAL) as pilot:
        await pilot.pause()
        stage = Stage(app)
        stage.resize(*SIZE)
        stage.hear()
        stage.check()
        yield stage
