"""The settings of a run: every value, where it came from, what it means; what may change is changed here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import wrap
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from engine.errors import EvolveError
from engine.runs.changes import check_set
from engine.runs.command_kinds import Answer
from engine.settings.model import parse_setting
from engine.text import one_line
from tui import acts
from tui.model.document import text_lines
from tui.model.labels import fit
from tui.model.run_settings import SettingRow, setting_rows
from tui.screens.base import BaseScreen
from tui.screens.dialogs import Prompt
from tui.session import ModelChange, Session
from tui.widgets.bars import Title
from tui.widgets.painted import Piece
from tui.widgets.rows import RowsView
from tui.widgets.text_view import TextView

__all__ = ["RunSettingsScreen", "RunSettingsView"]

_WIDE = 100
"""Cells from which on the meaning of each setting stands beside it."""
_LIMITS = ("rounds", "hours", "usd", "tokens", "target", "patience")


class RunSettingsView(RowsView):
    """The settings, one a row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "Change", id="setting.change", tooltip="Change the setting for the rounds to come"),
    ]

    class Wanted(Message):
        """The user wants to change a setting."""

    empty = " reading the run…"

    def __init__(self) -> None:
        super().__init__(id="run-settings")
        self.items: list[SettingRow] = []

    def count(self) -> int:
        """Return the number of settings."""
        return len(self.items)

    @property
    def selected(self) -> SettingRow | None:
        """The setting under the cursor."""
        return self.items[self.cursor] if self.cursor < len(self.items) else None

    def item_pieces(self, index: int) -> Sequence[Piece]:
        """Return name, value, origin, meaning."""
        row = self.items[index]
        look = "dim" if row.origin == "default" else "accent"
        pieces: list[Piece] = [
            (f" {fit(row.path, 34)} ", "dim" if row.fixed else "plain"),
            (fit(shown(row.value), 24), look),
            (f" {row.origin:<10} ", look),
        ]
        # A narrow list has no room for words; below it stand those of the setting under the cursor.
        return [*pieces, (one_line(row.about, 200), "dim")] if self.size.width >= _WIDE else pieces

    def action_open(self) -> None:
        """Change the setting under the cursor."""
        self.post_message(self.Wanted())


class RunSettingsScreen(BaseScreen):
    """The settings of a run.

    Args:
        session: the run.
    """

    DEFAULT_CSS = """
    RunSettingsScreen #run-settings { height: 1fr; }
    RunSettingsScreen #text { height: 5; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back", id="setting.back", tooltip="Back to the run"),
    ]

    title_ = "Settings of the run"
    about = (
        "Every setting of the run, with its value and where that came from: the default, the task, the start\n"
        "(preset, config.toml or option), or a person who set it later. Dim names cannot be changed here."
    )

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._view = RunSettingsView()
        self._text = TextView(id="text")

    def compose_body(self) -> ComposeResult:
        """Compose title, settings, the meaning of the chosen one."""
        yield Title(" Settings of the run", id="head")
        yield self._view
        yield self._text

    def on_mount(self) -> None:
        """Show the settings, and follow their changes."""
        self._view.focus()
        self._session.subscribe(self._changed)
        self._show()

    def on_unmount(self) -> None:
        """Unsubscribe from the session."""
        self._session.unsubscribe(self._changed)

    def _changed(self, change: ModelChange) -> None:
        if change.reset or "status" in change.parts:
            self._show()

    def _show(self) -> None:
        model = self._session.model
        if model is None:
            return
        rows = setting_rows(model.state, model.settings_set)
        limits = [row for row in rows if row.path in _LIMITS]
        rows = limits + [row for row in rows if row.path not in _LIMITS]
        if rows != self._view.items:
            self._view.items = rows
            self._view.repaint()
            self._tell()

    def _tell(self) -> None:
        row = self._view.selected
        if row is not None:
            told = [f"{row.path} = {shown(row.value)}", *wrap(row.about, max(20, self.size.width - 4))]
            if row.fixed:
                told.append(f"cannot be changed here: {row.fixed}")
            self._text.show(text_lines("\n".join(told)))

    def on_rows_view_moved(self, event: RowsView.Moved) -> None:
        """Show the meaning of the chosen setting."""
        self._tell()

    def on_run_settings_view_wanted(self, event: RunSettingsView.Wanted) -> None:
        """Ask for a value until it fits, and give it to the run."""
        row, model, session = self._view.selected, self._session.model, self._session
        if row is None or model is None:
            return
        if row.fixed or session.is_replay:
            self.say(f"{row.path} cannot be changed here: {row.fixed or 'a replay cannot steer the run'}", "best")
            return
        asked: list[dict[str, Any]] = []

        def check(text: str) -> None:
            change = parse_setting(f"{row.path}={text.strip()}")
            check_set(model.state.settings, change)
            asked.append(change)

        hint = row.about or "a value as TOML writes it"
        self.app.push_screen(
            Prompt(f"{row.path} =", _typed(row.value), one_line(hint, 300), check=check),
            lambda text: self._set(asked[-1]) if text is not None else None,
        )

    def _set(self, change: dict[str, Any]) -> None:
        session = self._session

        def work() -> None:
            try:
                handed = acts.ask(session.run, "set", {"settings": change}, "p")
            except EvolveError as exc:
                self.app.call_from_thread(self.say_error, exc)
                return
            if isinstance(handed, Answer):
                session.feed.wake()
                self.app.call_from_thread(session.answered, "set", handed)
            else:
                self.app.call_from_thread(session.sent, handed, "set", {"settings": change})

        self.run_worker(work, thread=True, group="acts", exit_on_error=False)

    def action_back(self) -> None:
        """Go back."""
        self.app.pop_screen()


def shown(value: Any) -> str:
    """Return a value as people read it."""
    return "–" if value is None else one_line(_typed(value), 200) if value != "" else "(empty)"


def _typed(value: Any) -> str:
    """Return a value as `evolve set` takes it; empty for None."""
    if value is None:
        return ""
    # Nothing at all would stand for None.
    return value if isinstance(value, str) and value else json.dumps(value)
