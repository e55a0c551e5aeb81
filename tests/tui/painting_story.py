"""A run that goes on, for tests of what widgets paint, and what can happen to a widget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.journal import events as ev
from tests.tui.stage import SIZE
from tests.tui.synthetic import HOSTILE, Synthesizer
from tui.model.run_model import fold_model
from tui.session import ModelChange
from tui.widgets.rows import RowsView

Step = Callable[[int], object]
Steps = dict[str, Step]
"""What can happen to a widget, by name; each takes a number and makes of it what it likes."""
Case = Callable[[Any], Steps]
"""Begins a widget's story anew and gives its steps."""

TEXTS = (
    "",
    "a",
    "seed",
    "tune STEPS",
    "exchange relax() for the first ring of circles",
    "漢字 wide",
    "é\u0301 x",
    HOSTILE,
)
SIZES = (SIZE, (30, 5), (50, 12), (40, 14), (12, 3), (24, 10))


OFTEN = ("events", "change", "piece", "sync", "show", "repaint", "frame")
"""What happens more often than anything else: news, its taking, a frame."""


class Story:
    """A run that goes on, and a model of it."""

    def __init__(self, hostile: bool = False) -> None:
        self.pen = Synthesizer(seed=3, hostile=hostile, rates=True)
        self.model = fold_model(self.pen.begin())

    def go_on(self, count: int) -> ModelChange:
        """Let some events happen."""
        events = tuple(event for _ in range(count) for event in self.pen.advance())
        return self.write(*events)

    def write(self, *events: ev.Event) -> ModelChange:
        """Fold events in."""
        parts = {part for event in events for part in self.model.apply(event)}
        return ModelChange(frozenset(parts), events)

    def mark(self, number: int) -> ModelChange:
        """Have a person mark a node."""
        kinds = (ev.NodeStarred, ev.NodePinned, ev.NodePruned, ev.NodeRestored)
        kind: Any = kinds[number % len(kinds)]
        return self.write(self.pen.event(kind(), node=number % len(self.model.state.nodes)))


def moves(widget: RowsView) -> Steps:
    """What moves the cursor of a list."""
    return {
        "move": lambda number: widget.action_move(number - 4),
        "page": lambda number: widget.action_page(1 if number % 2 else -1),
        "last": lambda number: widget.action_last(),
    }
