"""Labels on every part of a screen that takes keys: one more key goes there."""

from __future__ import annotations

from typing import Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

__all__ = ["JumpScreen", "places_of"]

_LETTERS = "asdfghjklqwertyuiopzxcvbnm"


def places_of(screen: Screen[Any]) -> list[Widget]:
    """Return the parts of a screen that take keys and are seen, from the top left to the bottom right."""
    found = [
        widget for widget in screen.focus_chain if widget.is_on_screen and widget.region.width and widget.region.height
    ]
    return sorted(found, key=lambda widget: (widget.region.x > 0, widget.region.y, widget.region.x))[: len(_LETTERS)]


class JumpScreen(ModalScreen[Widget | None]):
    """Waits for the letter of a part; the result is None for any other key.

    Args:
        places: the parts.
    """

    DEFAULT_CSS = """
    JumpScreen { background: transparent; layers: labels; }
    JumpScreen Static { layer: labels; position: absolute; width: 3; height: 1; background: $look-key;
                        color: $background; text-style: bold; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Stay", id="jump.leave", tooltip="Stay where you are"),
    ]

    def __init__(self, places: list[Widget]) -> None:
        super().__init__()
        self._places = dict(zip(_LETTERS, places, strict=False))

    def compose(self) -> ComposeResult:
        """Compose a label for each part, at its upper left corner."""
        for letter, widget in self._places.items():
            label = Static(f" {letter} ", markup=False)
            label.styles.offset = (widget.region.x, widget.region.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        """Go to the part with this letter; any other key closes the labels."""
        event.stop()
        event.prevent_default()
        self.dismiss(self._places.get(event.key))

    def action_leave(self) -> None:
        """Close the labels."""
        self.dismiss(None)

    def on_resize(self) -> None:
        """Close the labels: what they stand on has moved."""
        if self._size_known:
            self.dismiss(None)
        self._size_known = True

    _size_known = False
