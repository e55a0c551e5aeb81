"""Machines: those that evaluations run on."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui.model.machines import machines_lines
from tui.screens.base import BaseScreen
from tui.session import ModelChange, Session
from tui.widgets.bars import Title
from tui.widgets.painted import Throttle
from tui.widgets.text_view import TextView

__all__ = ["MachinesScreen"]


class MachinesScreen(BaseScreen):
    """The machines of a run, as they come and go.

    Args:
        session: the run.
    """

    DEFAULT_CSS = "MachinesScreen #text { height: 1fr; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="machines.back", tooltip="Back to the run"),
    ]

    title_ = "Machines"
    about = (
        "The machines that evaluations of the run use, if they run on a cluster: how many fit onto each, how many run\n"
        "there now, its cores and GPUs, how many results came from it, and how many evaluations were lost on it."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._text = TextView(id="text")
        self._draw = Throttle(self, 1.0, self._show)

    def compose_body(self) -> ComposeResult:
        """Compose title and table."""
        yield Title(" Machines", id="head")
        yield self._text

    def on_mount(self) -> None:
        """Show the machines, and follow them."""
        self._text.focus()
        self._session.subscribe(self._changed)
        self._show()

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self._session.unsubscribe(self._changed)

    def _changed(self, change: ModelChange) -> None:
        if change.reset or "rounds" in change.parts:
            self._draw()

    def _show(self) -> None:
        if self._session.model is not None:
            self._text.show(machines_lines(self._session.model.state), keep_place=True)

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()
