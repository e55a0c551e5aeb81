"""A container whose keys act on its contents."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from textual.containers import Vertical

from engine.errors import EvolveError
from tui.navigation import Navigator

__all__ = ["ActionArea"]


class ActionArea(Vertical):
    """A part of a screen; its bindings work while something in it has the focus.

    It is hidden and its children are not, since its children cover it: Textual would draw it below each frame.
    """

    SCOPED_CSS = False
    DEFAULT_CSS = """
    ActionArea { visibility: hidden; }
    ActionArea > * { visibility: visible; }
    ActionArea > ActionArea { visibility: hidden; }
    """

    @property
    def navigator(self) -> Navigator:
        """The application, as far as screens use it."""
        return cast(Navigator, self.app)

    def say(self, text: str, look: str = "accent", seconds: float = 5.0) -> None:
        """Show a message in the footer."""
        self.navigator.say(text, look, seconds)

    def say_error(self, error: EvolveError) -> None:
        """Show an error with its hint."""
        self.say(str(error), "bad", 10.0)

    def in_thread(self, work: Callable[[], None]) -> None:
        """Run `work`, which waits for the disk or for a process, in a thread."""
        self.run_worker(work, thread=True, group="acts", exit_on_error=False)
