"""The status line at the top, titles of parts, and the footer with the keys that work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from textual import events
from textual.screen import Screen
from textual.timer import Timer

from tui.glyphs import PLAIN
from tui.model.labels import fit
from tui.model.status import Cell
from tui.widgets.painted import Painted, Piece

__all__ = ["Footer", "StatusBar", "Title"]


class StatusBar(Painted):
    """One row of cells of fixed width, so that a change in one moves no other."""

    DEFAULT_CSS = "StatusBar { height: 1; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cells: list[Cell] = []

    def show(self, cells: list[Cell]) -> None:
        """Show new cells."""
        self.cells = cells
        self.repaint()

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the cells, each cut or padded to its width."""
        return [(fit(cell.text, cell.width), cell.look) for cell in self.cells]

    def row_ground(self, y: int) -> str:
        """Return the look of a bar."""
        return "bar"


class Title(Painted):
    """One row above a part of the screen: its name and what it shows."""

    DEFAULT_CSS = "Title { height: 1; }"

    def __init__(self, text: str = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._pieces: tuple[Piece, ...] = ((text, "heading"),)

    def show(self, *pieces: Piece) -> None:
        """Show a new title."""
        self._pieces = pieces
        self.repaint()

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the title."""
        return self._pieces


class Footer(Painted):
    """The bindings that work now, as many as fit; or a message for a while."""

    DEFAULT_CSS = "Footer { height: 1; dock: bottom; }"

    def __init__(self) -> None:
        super().__init__(id="footer")
        self._notice: tuple[str, str] | None = None
        self._timer: Timer | None = None
        self._keys: list[tuple[int, str]] = []
        """Where each offer ends, with its key."""

    def on_mount(self) -> None:
        """Follow the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, screen: Screen[Any]) -> None:
        self.repaint()

    def say(self, text: str, look: str, seconds: float) -> None:
        """Show a message in place of the bindings; the caller has made the text harmless."""
        self._notice = (text, look)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, self.hush)
        self.repaint()

    def hush(self) -> None:
        """Show the bindings again."""
        if self._notice is not None:
            self._notice = None
            self.repaint()

    def row_ground(self, y: int) -> str:
        """Return the look of a bar."""
        return "bar"

    def row_pieces(self, y: int) -> Sequence[Piece]:
        """Return the message, or the bindings that fit; the last one always does."""
        if self._notice is not None:
            return [(f" {self._notice[0]}", self._notice[1])]
        bindings = self._offers()
        if not bindings:
            return []
        last = bindings.pop()
        left = self.size.width - _width(last)
        shown: list[_Offer] = []
        for binding in bindings:
            left -= _width(binding)
            if left < 0:
                break
            shown.append(binding)
        pieces: list[Piece] = []
        self._keys, end = [], 0
        for key, text, pressed in [*shown, last]:
            pieces += [(f" {key}", "key"), (f" {text} ", "bar")]
            end += _width((key, text, pressed))
            self._keys.append((end, pressed))
        return pieces

    def on_click(self, event: events.Click) -> None:
        """Press the clicked key."""
        pressed = next((key for end, key in self._keys if event.x < end), "")
        if pressed and self._notice is None:
            self.app.simulate_key(pressed)

    def _shown(self, text: str) -> str:
        return text.translate(PLAIN) if getattr(self.app, "plain", False) else text

    def _offers(self) -> list[_Offer]:
        """Return keys as shown, their meanings, and the keys, the most wanted first, help last."""
        found: dict[tuple[str, str], int] = {}
        pressed: dict[tuple[str, str], str] = {}
        for place, active in enumerate(self.screen.active_bindings.values()):
            binding = active.binding
            if binding.show and active.enabled:
                rank = _ORDER.index(binding.id) if binding.id in _ORDER else len(_ORDER) + place
                # Replace signs before measuring: `enter` is longer than its sign.
                entry = (self._shown(self.app.get_key_display(binding)), self._shown(binding.description))
                found[entry] = min(rank, found.get(entry, rank))
                pressed.setdefault(entry, binding.key)
        offers = [(*entry, pressed[entry]) for entry in sorted(found, key=lambda entry: found[entry])]
        helps = [entry for entry in offers if entry[1] == "Help"]
        return [entry for entry in offers if entry not in helps] + helps


_ORDER = (
    "editor.save", "editor.leave", "conflict.mine", "conflict.theirs", "conflict.both", "conflict.back",
    "settings.change", "settings.edit", "settings.back", "priors.accept", "priors.reject", "priors.draft",
    "priors.edit", "priors.toggle", "priors.back", "priors.search", "priors.add", "priors.history",
    "priors.restore", "priors.tab", "history.revert", "history.base", "history.back", "notes.open", "notes.filter",
    "notes.node", "plot.measure", "plot.axis", "plot.zoom", "tree.open", "runs.attach",
    "node.back", "reading.back", "replay.play", "replay.seek", "replay.best", "replay.faster", "replay.now",
    "live.fork", "run.resume", "run.pause", "run.step", "node.tab", "compare.tab", "compare.axis", "compare.back",
    "runs.compare", "runs.start", "runs.mark", "runs.replay", "runs.priors", "run.hint", "live.priors",
    "tree.search", "live.panel", "app.quit", "live.back", "tree.filter", "tree.follow", "tree.order",
    "node.edit", "live.writing",
)  # fmt: skip
"""Ids of the bindings that come first if there is not room for all."""


_Offer = tuple[str, str, str]
"""A key as it is shown, its meaning, and its name."""


def _width(binding: _Offer) -> int:
    return cell_len(binding[0]) + cell_len(binding[1]) + 3
