"""Settings: look and keys of the application, kept in the workspace's config.toml."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.errors import EvolveError, UsageError
from engine.settings.decode import read_toml
from engine.workspace import workspace
from tui.editor import edit_text
from tui.model.document import Line, Span, clean_line, text_lines
from tui.screens.base import BaseScreen
from tui.settings import TuiSettings, save_file, save_setting
from tui.theme import THEMES
from tui.widgets.bars import Title
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView
from tui.widgets.text_view import TextView

__all__ = ["SettingsScreen"]


class Choice(NamedTuple):
    """A setting, its values and its meaning."""

    key: str
    values: tuple[str | bool, ...]
    about: str


CHOICES = (
    Choice("theme", tuple(THEMES), "Colours; ansi-16 uses the terminal's own"),
    Choice("glyphs", ("auto", "unicode", "ascii"), "Signs to draw with; auto detects them"),
    Choice("bell", (False, True), "Ring at a new best and at the end of the run"),
    Choice("mouse", (False, True), "Use mouse events, from the next start on"),
    Choice(
        "notify",
        ("off", "osc9", "osc777"),
        "Notify the desktop of the same, by a sequence",
    ),
    Choice("pictures", ("auto", "kitty", "sixel", "off"), "How to send pictures; auto asks the terminal"),
)


def _word(value: object) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)


class SettingsView(RowsView):
    """The settings, one a row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Change", id="settings.change", tooltip="Use the next value"),
        Binding("space,right", "open", "Change", id="settings.next", show=False, tooltip="Use the next value"),
        Binding("left", "before", "Before", id="settings.before", show=False, tooltip="Use the value before"),
    ]

    class Changed(Message):
        """The user wants another value."""

        def __init__(self, choice: Choice, by: int) -> None:
            super().__init__()
            self.choice = choice
            self.by = by

    def __init__(self, settings: TuiSettings) -> None:
        super().__init__(id="settings")
        self.settings = settings

    def count(self) -> int:
        """Return the number of settings."""
        return len(CHOICES)

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return name, value and meaning."""
        choice = CHOICES[index]
        value = _word(getattr(self.settings, choice.key))
        return [(f" {choice.key:<9}", "heading"), (f"{value:<14}", "accent"), (choice.about, "dim")]

    def action_open(self) -> None:
        """Use the next value."""
        self.post_message(self.Changed(CHOICES[self.cursor], 1))

    def action_before(self) -> None:
        """Use the value before."""
        self.post_message(self.Changed(CHOICES[self.cursor], -1))


class SettingsScreen(BaseScreen):
    """The settings and their file."""

    DEFAULT_CSS = f"""
    SettingsScreen #settings {{ height: {len(CHOICES)}; }}
    SettingsScreen #text {{ height: 1fr; }}
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit file", id="settings.edit", tooltip="Open config.toml in $EDITOR"),
        Binding("escape", "back", "Back", id="settings.back", tooltip="Back to the screen before"),
    ]

    title_ = "Settings"
    about = "Look and keys of the application. A change is saved in config.toml at once; its comments stay."

    def __init__(self, settings: TuiSettings) -> None:
        super().__init__()
        self._config = workspace() / "config.toml"
        self._view = SettingsView(settings)
        self._text = TextView(id="text")
        self._refused: str | None = None
        """An edited text that was refused; the editor continues with it."""

    def compose_body(self) -> ComposeResult:
        """Compose title, settings, the rest of the file."""
        yield Title(" Settings", id="head")
        yield self._view
        yield self._text

    def on_mount(self) -> None:
        """Show the settings."""
        self._view.focus()
        self._tell()

    def _tell(self) -> None:
        self._text.show(_rest(self._config, self._view.settings))

    def on_settings_view_changed(self, event: SettingsView.Changed) -> None:
        """Save another value, then apply it."""
        values, key = event.choice.values, event.choice.key
        now = getattr(self._view.settings, key)
        place = values.index(now) + event.by if now in values else 0
        try:
            self._use(save_setting(self._config, key, values[place % len(values)]))
        except EvolveError as exc:
            self.say_error(exc)

    def _use(self, settings: TuiSettings) -> None:
        self._view.settings = settings
        self._view.repaint()
        self.navigator.use_settings(settings)
        self._tell()

    def action_edit(self) -> None:
        """Open the file in the user's editor; refuse an invalid text and leave the file unchanged."""
        refused = self._refused
        try:
            kept = self._config.read_text(encoding="utf-8") if self._config.exists() else _TEMPLATE
        except (OSError, UnicodeDecodeError) as exc:
            self.say(f"{self._config.name} cannot be read: {exc}", "bad", 10.0)
            return
        try:
            written = edit_text(self.app, self.navigator.guard, kept if refused is None else refused, "config.toml")
            if written is not None:
                self._refused = written
                self._use(save_file(self._config, written))
            elif refused is not None:
                self.say("your text is discarded, and the file is unchanged")
            self._refused = None
        except EvolveError as exc:
            self.say(str(exc) if self._refused is None else f"{exc}; e continues with your text", "bad", 10.0)

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()


_TEMPLATE = """\
# [tui.keymap]
# "run.pause" = "p,f5"

# [run]
# workers = 4
"""


def _rest(config: Path, settings: TuiSettings) -> list[Line]:
    """Return the settings of the file that cannot be chosen above."""
    lines: list[Line] = [(), (Span(" kept in", "dim"),), (Span(f"   {clean_line(str(config))}"),)]
    if settings.keymap:
        lines += [(), (Span(" keys of your own", "heading"),)]
        lines += text_lines("\n".join(f"   {keys:<14} {id_}" for id_, keys in settings.keymap.items()))
    else:
        lines.append((Span(" change keys there, under [tui.keymap]; the help shows their ids", "dim"),))
    try:
        table = read_toml(config, UsageError) if config.exists() else {}
    except UsageError as exc:
        return [*lines, *text_lines(f" {exc}", "bad")]
    others = [f"[{name}] {', '.join(part)}" for name, part in table.items() if name != "tui" and isinstance(part, dict)]
    if others:
        lines += [(), (Span(" for runs", "heading"),), *text_lines("\n".join(f"   {other}" for other in others))]
    return lines
