"""How a screen opens other screens. The application meets `Navigator`; no screen imports the application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from engine.runs.folder import Run
from tui.access import Access
from tui.guard import Guard
from tui.settings import TuiSettings

__all__ = ["Navigator", "RunScreenName"]

RunScreenName = Literal["calls", "ideas", "machines", "money", "settings", "writing"]
"""All calls of models, the log of ideas, machines, money and models, settings, answers that are being written."""


class Navigator(Protocol):
    """Opens screens and holds what all of them share."""

    runs: Path
    """The folder of the runs."""
    cache: Path
    """The folder for files that may be deleted at any time."""
    guard: Guard
    access: Access
    """What the person may do."""
    hints: bool
    """Whether to show a few words to a new user."""

    def attach(self, run: Run) -> None:
        """Watch a run live."""

    def replay(
        self, run: Run, at: int | None = None, speed: float = 10, playing: bool = True, came_from_live: bool = False
    ) -> None:
        """Show how a run went, from event `at` (None: the first), `speed` times faster than recorded."""

    def show_runs(self) -> None:
        """Show the list of runs."""

    def show_node(self, node: int) -> None:
        """Open one node of the run."""

    def leave_node(self, node: int) -> None:
        """Go back to the population, with the cursor on this node."""

    def show_screen(self, name: RunScreenName) -> None:
        """Show another screen of the run."""

    def show_priors(self, run: Run, node: int | None = None) -> None:
        """Open the priors of a run, or those that retrieval finds for one of its nodes."""

    def use_settings(self, settings: TuiSettings) -> None:
        """Apply settings of the application."""

    def forget_hints(self) -> None:
        """Remove the hints for good."""

    def say(self, text: str, look: str, seconds: float = 5.0) -> None:
        """Show a message on the visible screen."""

    def call_after_refresh(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        """Call something after the next paint."""
