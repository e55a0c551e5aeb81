"""The base of the panels beside the tree: they take the focus, and show it in their title."""

from __future__ import annotations

from tui.widgets.painted import Painted

__all__ = ["Panel"]


class Panel(Painted, can_focus=True):
    """A panel whose first row is its title."""

    def row_ground(self, y: int) -> str:
        """Return the look of a bar for the title of the panel that gets the keys."""
        return "bar" if y == 0 and self.has_focus else "plain"

    def on_focus(self) -> None:
        """Show that keys come here."""
        self.repaint()

    def on_blur(self) -> None:
        """Show that keys go elsewhere."""
        self.repaint()
