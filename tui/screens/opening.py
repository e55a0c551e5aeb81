"""Make the screens of a run that is open, each imported only when somebody asks for it."""

from __future__ import annotations

from tui.navigation import RunScreenName
from tui.screens.base import BaseScreen
from tui.session import Session

__all__ = ["make_screen"]


def make_screen(name: RunScreenName, session: Session) -> BaseScreen:
    """Return a screen of a run."""
    match name:
        case "calls":
            from tui.screens.calls import CallsScreen

            return CallsScreen(session)
        case "ideas":
            from tui.screens.ideas import IdeasScreen

            return IdeasScreen(session)
        case "machines":
            from tui.screens.machines import MachinesScreen

            return MachinesScreen(session)
        case "money":
            from tui.screens.money import MoneyScreen

            return MoneyScreen(session)
        case "settings":
            from tui.screens.run_settings import RunSettingsScreen

            return RunSettingsScreen(session)
        case "writing":
            from tui.screens.writing import WritingScreen

            return WritingScreen(session)
