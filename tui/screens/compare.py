"""Compare: two or more runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from engine.errors import EvolveError
from engine.runs.compare import AXES, ComparedRun, extent, read_compared
from engine.runs.folder import Run
from tui.model.compare import AXIS_NAMES, TABS, compare_document
from tui.screens.base import BaseScreen
from tui.widgets.bars import Title
from tui.widgets.text_view import TextView

__all__ = ["CompareScreen"]


class CompareScreen(BaseScreen):
    """Runs as they were when they were read.

    Args:
        runs: the runs, in the order of their letters.
    """

    DEFAULT_CSS = "CompareScreen #text { height: 1fr; padding: 0 1; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Runs", id="compare.back", tooltip="Back to the runs"),
        Binding("tab", "turn(1)", "Next tab", id="compare.tab", tooltip="The next of the tabs"),
        Binding("shift+tab", "turn(-1)", "Tab before", id="compare.tab_before", show=False, tooltip="The tab before"),
        Binding("a", "axis", "Axis", id="compare.axis", tooltip="Align by rounds, dollars, tokens or engine time"),
        Binding("r", "read", "Read again", id="compare.read", tooltip="Read the runs again"),
        *(
            Binding(
                str(number),
                f"tab({number - 1})",
                name,
                id=f"compare.{name.lower()}",
                show=False,
                tooltip=f"Show {name.lower()}",
            )
            for number, name in enumerate(TABS, 1)
        ),
    ]

    title_ = "Compare"
    about = (
        "Runs side by side: curves of the best, figures, settings that differ, best programs.\n"
        "Each run has a letter and a colour; the letter marks the end of its curve."
    )

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__()
        self._runs = tuple(runs)
        self._read: list[ComparedRun] = []
        self._asked = 0
        self._shown = 0
        self._tab = 0
        self._axis = 0
        self._head = Title(" Compare", id="head")
        self._tabs = Title(id="tabs")
        self._text = TextView(id="text")

    def compose_body(self) -> ComposeResult:
        """Compose title, tabs, the document."""
        yield self._head
        yield self._tabs
        yield self._text

    def on_mount(self) -> None:
        """Read the runs."""
        self._text.focus()
        self._text.show([])
        self.action_read()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the plot to the new size."""
        super().on_resize(event)
        self.call_after_refresh(self._show)

    def _show(self, keep_place: bool = True) -> None:
        axis = AXES[self._axis]
        names = f"{len(self._runs)} runs by {AXIS_NAMES[axis]}" if self._read else "reading the runs…"
        self._head.show((" Compare ", "heading"), (names, "dim"))
        pieces: list[tuple[str, str]] = [(" ", "plain")]
        for index, name in enumerate(TABS):
            pieces += [(f" {index + 1} {name} ", "cursor" if index == self._tab else "dim"), (" ", "plain")]
        self._tabs.show(*pieces)
        if self._read:
            size = self._text.content_size
            self._text.show(compare_document(self._read, TABS[self._tab], axis, size.width, size.height), keep_place)

    def action_read(self) -> None:
        """Read the runs again."""
        self._asked += 1
        asked = self._asked
        self.run_worker(lambda: self._work(asked), thread=True, group="read", exit_on_error=False)

    def _work(self, asked: int) -> None:
        try:
            read = [read_compared(run) for run in self._runs]
        except EvolveError as exc:
            self.app.call_from_thread(self.say_error, exc)
        else:
            self.app.call_from_thread(self._take, asked, read)

    def _take(self, asked: int, read: list[ComparedRun]) -> None:
        # An earlier reading may end after a later one.
        if asked < self._shown:
            return
        self._shown = asked
        self._read = read
        self._show()

    def action_tab(self, tab: int) -> None:
        """Show a tab."""
        self._tab = tab
        self._show(keep_place=False)

    def action_turn(self, step: int) -> None:
        """Show the next tab."""
        self.action_tab((self._tab + step) % len(TABS))

    def action_axis(self) -> None:
        """Align by the next axis on which any run has spent something."""
        for _ in AXES:
            self._axis = (self._axis + 1) % len(AXES)
            if any(extent(run, AXES[self._axis]) for run in self._read):
                break
        self._show()

    def action_back(self) -> None:
        """Go back to the list of runs."""
        self.app.pop_screen()
