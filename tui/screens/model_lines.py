"""A screen that shows a run as lines of text, drawn anew as the run goes on."""

from __future__ import annotations

from abc import abstractmethod

from textual import events
from textual.app import ComposeResult

from tui.model.document import Line
from tui.model.run_model import RunModel
from tui.screens.base import BaseScreen
from tui.session import ModelChange, Session
from tui.widgets.bars import Title
from tui.widgets.painted import Throttle
from tui.widgets.text_view import TextView

__all__ = ["ModelLinesScreen"]

_UNSHOWN = frozenset(("rates", "writing", "output"))
"""Parts that change many times a second and that no such screen shows."""


class ModelLinesScreen(BaseScreen):
    """What a subclass says of a run, as it grows: at most once a second.

    Args:
        session: the run.
    """

    DEFAULT_CSS = "ModelLinesScreen #text { height: 1fr; padding: 0 1; }"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._text = TextView(id="text")
        self._draw = Throttle(self, 1.0, self._show)

    @abstractmethod
    def lines(self, model: RunModel) -> list[Line]:
        """Return what there is to say of the run."""

    def compose_body(self) -> ComposeResult:
        """Compose title and text."""
        yield Title(f" {self.title_}", id="head")
        yield self._text

    def on_mount(self) -> None:
        """Show the lines, and follow the run."""
        self._text.focus()
        self._session.subscribe(self._changed)
        self._show()

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self._session.unsubscribe(self._changed)

    def _changed(self, change: ModelChange) -> None:
        if change.reset or change.parts - _UNSHOWN:
            self._draw()

    def _show(self) -> None:
        if self._session.model is not None:
            self._text.show(self.lines(self._session.model), keep_place=True)

    def on_resize(self, event: events.Resize) -> None:
        """Fit the tables to the new width."""
        super().on_resize(event)
        self.call_after_refresh(self._show)

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()
