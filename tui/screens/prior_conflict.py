"""Conflict: choose between two texts of one prior."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from cognition.store import Conflict
from engine.text import one_line
from tui.model.document import diff_lines
from tui.screens.base import BaseScreen
from tui.widgets.bars import Title
from tui.widgets.text_view import TextView

__all__ = ["PriorConflict"]


class PriorConflict(BaseScreen):
    """Two texts of one prior to choose from.

    Args:
        prior_id: the prior.
        number: the revision that the user's text was made from.
        conflict: both texts.
        resolve: called with `mine`, `theirs` or `both`.
    """

    DEFAULT_CSS = "PriorConflict #text { height: 1fr; padding: 0 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "choose('mine')", "Keep mine", id="conflict.mine", tooltip="Mine becomes the newest revision"),
        Binding("t", "choose('theirs')", "Take theirs", id="conflict.theirs", tooltip="Mine is discarded"),
        Binding("b", "choose('both')", "Keep both", id="conflict.both", tooltip="Mine becomes a new prior"),
        Binding("escape", "back", "Go on editing", id="conflict.back", tooltip="Back to my text; nothing is saved yet"),
    ]

    title_ = "Conflict"
    about = (
        "Somebody else saved the prior while you wrote: their text is in the base, yours is not saved yet.\n"
        "Whichever you choose, their revision stays in the history."
    )

    def __init__(
        self, prior_id: str, number: int, conflict: Conflict, resolve: Callable[[str, Conflict], None]
    ) -> None:
        super().__init__()
        self._prior_id = prior_id
        self._number = number
        self._conflict = conflict
        self._resolve = resolve
        self._text = TextView(id="text")

    def compose_body(self) -> ComposeResult:
        """Compose the title, then the differences."""
        yield Title(f" Conflict in {one_line(self._prior_id, 60)}", id="head")
        yield self._text

    def on_mount(self) -> None:
        """Show the differences."""
        self._text.focus()
        theirs = f"theirs, revision {self._conflict.number}"
        mine = f"mine, made from revision {self._number}"
        self._text.show(diff_lines(self._conflict.theirs, self._conflict.ours, theirs, mine))

    def action_choose(self, choice: str) -> None:
        """Close, and resolve the conflict."""
        self.app.pop_screen()
        self.app.call_later(self._resolve, choice, self._conflict)

    def action_back(self) -> None:
        """Go back to the editor."""
        self.app.pop_screen()
