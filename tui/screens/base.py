"""The base of full screens: footer, messages in it, and a notice if the terminal is too small."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from engine.errors import EvolveError
from engine.text import one_line
from tui.access import Access, allows
from tui.navigation import Navigator
from tui.widgets.bars import Footer
from tui.widgets.hints import HintBar

__all__ = ["SMALLEST", "WIDE", "BaseScreen"]

SMALLEST = (60, 15)
"""Columns and rows below which nothing useful fits."""
WIDE = 160
"""Columns from which a screen has room for more than it needs."""


class BaseScreen(Screen[None]):
    """A full screen with a footer."""

    DEFAULT_CSS = """
    BaseScreen { layers: base; }
    BaseScreen > #too-small { display: none; }
    BaseScreen.-too-small > * { display: none; }
    BaseScreen.-too-small > #too-small { display: block; width: 100%; height: 100%; content-align: center middle; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark",
            "app.help",
            "Help",
            id="app.help",
            key_display="?",
            tooltip="The keys that work here, and what words mean",
        ),
        Binding("q", "app.leave", "Quit", id="app.quit", tooltip="Leave; the run goes on"),
        Binding("ctrl+o", "jump", "Jump", id="app.jump", show=False, tooltip="Label every part; its letter goes there"),
        Binding("f2", "app.settings", "Settings", id="app.settings", show=False, tooltip="Colours, signs, bell, keys"),
        Binding("f12", "app.log", "Log", id="app.log", show=False, tooltip="The last lines of this program's log"),
    ]

    _focused_last: Widget | None = None
    title_ = ""
    about = ""
    """The purpose of the screen, shown above its bindings in the help."""

    def compose(self) -> ComposeResult:
        """Compose the screen's own parts, hints for new users, then the footer."""
        yield from self.compose_body()
        if self.navigator.hints:
            yield HintBar()
        yield Footer()
        width, height = SMALLEST
        yield Static(
            f"This terminal is too small.\nAt least {width}×{height} are needed.", id="too-small", markup=False
        )

    def compose_body(self) -> ComposeResult:
        """Compose the parts above the footer."""
        raise NotImplementedError

    @property
    def navigator(self) -> Navigator:
        """The application, as far as screens use it."""
        return cast(Navigator, self.app)

    @property
    def _binding_chain(self) -> list[tuple[DOMNode, BindingsMap]]:
        """The bindings from the focus outwards. A key that config.toml gives to one is removed from all inner ones.

        Textual resolves such a clash only among the bindings of one widget; otherwise the inner one would win.
        """
        chain = super()._binding_chain
        if self.navigator.access != "terminal":
            for _, map_ in chain:
                _keep_allowed(map_, self.navigator.access)
        ids = self.app._keymap
        given = {key for _, map_ in chain for key, items in map_.key_to_bindings.items() if _ids(items) & ids.keys()}
        for _, map_ in chain if given else ():
            for key in given & map_.key_to_bindings.keys():
                if not _ids(map_.key_to_bindings[key]) & ids.keys():
                    del map_.key_to_bindings[key]
        return chain

    def on_resize(self, event: events.Resize) -> None:
        """Fit the layout to the size."""
        width, height = event.size
        small = width < SMALLEST[0] or height < SMALLEST[1]
        self._focused_last = self.focused or self._focused_last
        self.set_class(small, "-too-small")
        if not small and self.focused is None:
            self.call_after_refresh(self._focus_again)
        self.set_class(width < 100, "-narrow")
        self.set_class(height < 32, "-short")
        self.set_class(width >= WIDE, "-wide")

    def _focus_again(self) -> None:
        """Focus the last widget again, since hiding it took the focus, so that keys work as before."""
        if self.focused is None and self._focused_last is not None and self._focused_last.is_attached:
            self.set_focus(self._focused_last)

    def on_key(self, event: events.Key) -> None:
        """Remove the hints at the first key, whatever it does."""
        if self.navigator.hints:
            self.navigator.forget_hints()

    def action_jump(self) -> None:
        """Label the parts that take keys, and go to the one that is chosen."""
        from tui.screens.jump import JumpScreen, places_of

        places = places_of(self)
        if len(places) > 1:
            self.app.push_screen(JumpScreen(places), lambda chosen: chosen.focus() if chosen is not None else None)
        else:
            self.say("this screen has only one part", "dim")

    def say(self, text: str, look: str = "accent", seconds: float = 5.0) -> None:
        """Show a message in place of the footer."""
        self.query_one(Footer).say(one_line(text, 400), look, seconds)

    def say_error(self, error: EvolveError) -> None:
        """Show an error with its hint."""
        self.say(str(error), "bad", 10.0)


def _keep_allowed(map_: BindingsMap, access: Access) -> None:
    """Remove the bindings that a person may not use."""
    for key, bindings in list(map_.key_to_bindings.items()):
        kept = [binding for binding in bindings if allows(access, binding.id)]
        if kept:
            map_.key_to_bindings[key] = kept
        else:
            del map_.key_to_bindings[key]


def _ids(bindings: Iterable[Binding]) -> set[str]:
    return {binding.id for binding in bindings if binding.id}
