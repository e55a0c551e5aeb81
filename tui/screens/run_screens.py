"""Keys that open other screens of a run: settings, money, machines, ideas, what models write."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.screens.area import ActionArea
from tui.session import Session

__all__ = ["RunScreens"]


class RunScreens(ActionArea):
    """Opens other screens of a run.

    Args:
        session: the run.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f3", "settings", "Settings", id="live.settings", show=False, tooltip="Every setting of the run"),
        Binding(
            "f4", "money", "Money", id="live.money", show=False, tooltip="Cost and gain by model, and the forecast"
        ),
        Binding(
            "f5", "machines", "Machines", id="live.machines", show=False, tooltip="The machines that evaluations run on"
        ),
        Binding("L", "ideas", "Ideas", id="live.ideas", show=False, tooltip="What was tried, learnt and kept; by kind"),
        Binding("W", "writing", "Writing", id="live.writing", tooltip="What models write, and all calls of the run"),
    ]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the writing only if a model was asked."""
        if action == "writing":
            return self._session.model is not None and self._session.model.state.last_call > 0
        return True

    def action_settings(self) -> None:
        """Open the settings of the run."""
        self.navigator.show_screen("settings")

    def action_ideas(self) -> None:
        """Open the log of ideas."""
        self.navigator.show_screen("ideas")

    def action_money(self) -> None:
        """Open the sums by model and operator."""
        self.navigator.show_screen("money")

    def action_machines(self) -> None:
        """Open the machines."""
        self.navigator.show_screen("machines")

    def action_writing(self) -> None:
        """Open the answers that models are writing; in a replay, all calls until then."""
        self.navigator.show_screen("calls" if self._session.is_replay else "writing")
