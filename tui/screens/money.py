"""Money and models: what each cost and gained, and the forecast."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.model.money import money_lines
from tui.screens.base import BaseScreen
from tui.session import ModelChange, Session
from tui.widgets.bars import Title
from tui.widgets.painted import Throttle
from tui.widgets.text_view import TextView

__all__ = ["MoneyScreen"]


class MoneyScreen(BaseScreen):
    """The sums of a run, as they grow.

    Args:
        session: the run.
    """

    DEFAULT_CSS = "MoneyScreen #text { height: 1fr; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="money.back", tooltip="Back to the run"),
    ]

    title_ = "Money and models"
    about = (
        "What each model and operator of the run cost and gained: calls, those in flight now, errors, tokens and the\n"
        "share of the prompts that the endpoint had cached, dollars; and when each limit is reached at this pace."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._text = TextView(id="text")
        self._draw = Throttle(self, 1.0, self._show)

    def compose_body(self) -> ComposeResult:
        """Compose title and sums."""
        yield Title(" Money and models", id="head")
        yield self._text

    def on_mount(self) -> None:
        """Show the sums, and follow them."""
        self._text.focus()
        self._session.subscribe(self._changed)
        self._show()

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self._session.unsubscribe(self._changed)

    def _changed(self, change: ModelChange) -> None:
        if change.reset or change.parts - {"rates", "writing", "output"}:
            self._draw()

    def _show(self) -> None:
        if self._session.model is not None:
            self._text.show(money_lines(self._session.model), keep_place=True)

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()
