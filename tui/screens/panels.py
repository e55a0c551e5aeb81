"""Which parts of a run's view are shown: all beside each other, or one of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from textual.widget import Widget

from tui.layout import PlotChoice, read_layout, save_layout

__all__ = ["PANELS", "VIEW_CSS", "Panels"]

PANELS = ("plot", "work", "notes", "peek", "rates", "writing")
"""Ids of the panels beside the tree."""


def _each(rule: str) -> str:
    """Return a rule's selectors for each panel."""
    return ", ".join(rule.replace("NAME", name) for name in PANELS)


VIEW_CSS = f"""
RunView #body {{ height: 1fr; visibility: hidden; }}
RunView #left {{ width: 3fr; }}
RunView #left > * {{ visibility: visible; }}
RunView #side {{ width: 2fr; border-left: solid $look-border; visibility: visible; }}
App.-plain RunView #side {{ border-left: ascii $look-border; }}
RunView #tree {{ height: 1fr; }}
RunView #map {{ display: none; width: 14; visibility: visible; }}
.-wide RunView #map {{ display: block; }}
.-wide RunView.-large #body #map {{ display: none; }}
RunView #columns {{ display: none; }}
RunView.-table #columns {{ display: block; }}
RunView #plot {{ height: 11; }}
RunView #work {{ height: 8; }}
RunView #peek {{ height: 9; }}
RunView #notes {{ height: 1fr; }}
RunView #rates, RunView #writing {{ display: none; }}
RunView.-has-rates #rates, RunView.-has-writing #writing {{ display: block; }}
RunView #writing {{ height: 7; }}
RunView.-has-writing #plot {{ height: 9; }}
RunView.-has-writing #work {{ height: 6; }}
RunView.-has-writing #peek {{ height: 6; }}
RunView.-has-writing.-waits #work {{ height: 9; }}
RunView.-has-writing.-waits #writing {{ display: none; }}
.-short RunView #plot {{ height: 8; }}
.-short RunView #work {{ height: 5; }}
.-short RunView #peek {{ display: none; }}
RunView.-over #work, RunView.-has-writing.-over #work {{ height: 2; }}
.-narrow RunView #body {{ layout: vertical; }}
.-narrow RunView #left {{ width: 100%; height: 1fr; }}
.-narrow RunView #side {{ width: 100%; height: 9; border-left: none; border-top: solid $look-border; }}
App.-plain .-narrow RunView #side {{ border-left: none; border-top: ascii $look-border; }}
.-narrow RunView #side > *, .-narrow RunView.-has-rates #side > #rates,
.-narrow RunView.-has-writing #side > * {{ display: none; height: 1fr; }}
{_each(".-narrow RunView.-show-NAME #side > #NAME")},
{_each(".-narrow RunView.-has-writing.-show-NAME #side > #NAME")} {{ display: block; }}
RunView.-large #body #left {{ display: none; }}
RunView.-large #body #side, .-narrow RunView.-large #body #side {{ width: 100%; height: 1fr; border: none; }}
RunView.-large #body #side > * {{ display: none; height: 1fr; }}
{_each("RunView.-large.-show-NAME #body #side > #NAME")} {{ display: block; }}
RunView.-large-tree #body #left {{ width: 100%; }}
RunView.-large-tree #body #side {{ display: none; }}
"""
"""The stylesheet of `tui.screens.run_view.RunView`."""


class Panels:
    """Shows all parts of a view, or enlarges one; the choice is kept in a file.

    Args:
        view: the view; its classes choose what its stylesheet shows.
        file: where the choice is kept.
    """

    def __init__(self, view: Widget, file: Path) -> None:
        self._view = view
        self._file = file
        self._layout = read_layout(file)
        if self._layout.panel not in PANELS:
            self._layout.panel = PANELS[0]
        if self._layout.large not in ("tree", *PANELS):
            self._layout.large = ""
        self._apply()

    @property
    def large(self) -> str:
        """The id of the part that takes the whole view; empty if none does."""
        return self._layout.large

    def turn(self, absent: Collection[str]) -> None:
        """Show the next panel in place of the one shown, or the tree after the last if a panel is enlarged."""
        names = [name for name in (*PANELS, *(["tree"] if self.large else [])) if name not in absent]
        shown = self.large or self._layout.panel
        chosen = names[(names.index(shown) + 1) % len(names)] if shown in names else names[0]
        if self.large:
            self._layout.large = chosen
        if chosen != "tree":
            self._layout.panel = chosen
        self._keep()

    def enlarge(self, name: str) -> None:
        """Enlarge a part, or show all parts again if the name is empty."""
        self._layout.large = name
        if name in PANELS:
            self._layout.panel = name
        self._keep()

    @property
    def plots(self) -> list[PlotChoice]:
        """What the plots show; changes are kept by `keep`."""
        if not self._layout.plots:
            self._layout.plots = [PlotChoice()]
        return self._layout.plots

    def keep(self) -> None:
        """Write the choice, unless a person may only look."""
        if getattr(self._view.app, "access", "terminal") != "read":
            save_layout(self._file, self._layout)

    def _keep(self) -> None:
        self._apply()
        self.keep()

    def _apply(self) -> None:
        large, view = self.large, self._view
        for name in PANELS:
            view.set_class(name == self._layout.panel, f"-show-{name}")
        view.set_class(large in PANELS, "-large")
        view.set_class(large == "tree", "-large-tree")
