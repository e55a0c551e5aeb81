"""Questions, docked at the bottom so that their subject stays in view."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from engine.errors import EvolveError, UsageError
from engine.text import one_line, visible

_log = logging.getLogger(__name__)

__all__ = ["Confirm", "Prompt", "check_number", "check_words"]

_CSS = """
{name} {{ align: left bottom; background: transparent; }}
{name} > Vertical {{ height: auto; max-height: 10; background: $surface; padding: 0 1; }}
{name} > Vertical {{ border-top: solid $look-border; }}
{name} Static {{ height: auto; }}
{name} Input {{ border: none; height: 1; padding: 0; background: $surface; }}
{name} Input:focus {{ border: none; background: $surface; background-tint: transparent 0%; }}
{name} .hint {{ color: $look-dim; }}
{name} .refused {{ color: $look-bad; }}
"""


class Confirm(ModalScreen[bool]):
    """A question to answer with y or n.

    Args:
        question: the text; it names what will be lost.
    """

    DEFAULT_CSS = _CSS.format(name="Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes", id="confirm.yes", tooltip="Do it"),
        Binding("n,escape,q", "answer(False)", "No", id="confirm.no", tooltip="Do nothing"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Compose the question and the keys that answer it."""
        with Vertical():
            yield Static(visible(self._question), markup=False)
            yield Static("y yes   n no", classes="hint", markup=False)

    def action_answer(self, answer: bool) -> None:
        """Close with an answer."""
        self.dismiss(answer)


class Line(Input):
    """An input line that applies editing keys in the order they were pressed.

    Textual lets editing keys bubble up to its bindings and meanwhile types the keys after them, so in a burst of keys,
    as a slow line delivers it, the backspaces came last.
    """

    async def on_key(self, event: events.Key) -> None:
        """Apply an editing key at once."""
        action = _EDITING.get(event.key)
        if event.key.startswith("alt+"):
            # Over a slow line escape and the next key arrive as one: neither is text.
            event.stop()
            event.prevent_default()
        elif action is not None:
            event.stop()
            event.prevent_default()
            await self.run_action(action)


_EDITING = {
    "backspace": "delete_left",
    "delete": "delete_right",
    "left": "cursor_left",
    "right": "cursor_right",
    "home": "home",
    "end": "end",
    "ctrl+u": "delete_left_all",
    "ctrl+w": "delete_left_word",
    "enter": "submit",
}


class Prompt(ModalScreen[str | None]):
    """Ask for a line; the result is None if the user cancels.

    Args:
        question: the text.
        value: the line at first.
        hint: which input is valid.
        check: called with the line in the event loop, before further keys are handled.
        act: called with the line in a thread, since it waits for the disk.
        adds: whether what is typed is added to the value; by default it replaces it.

    If `check` or `act` raises an EvolveError, the line stays, with the reason below it.
    """

    DEFAULT_CSS = _CSS.format(name="Prompt")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="prompt.cancel", tooltip="Do nothing"),
    ]

    def __init__(
        self,
        question: str,
        value: str = "",
        hint: str = "",
        check: Callable[[str], object] | None = None,
        act: Callable[[str], object] | None = None,
        adds: bool = False,
    ) -> None:
        super().__init__()
        self._check = check
        self._act = act
        self._adds = adds
        self._acting = False
        self._question = question
        self._value = value
        self._hint = hint

    def compose(self) -> ComposeResult:
        """Compose the question, the line and the hint."""
        with Vertical():
            yield Static(visible(self._question), markup=False)
            line = Line(self._value, select_on_focus=False)
            # A blinking cursor would write for ever.
            line.cursor_blink = False
            yield line
            hint = visible(self._hint or "enter to go on, escape to leave")
            yield Static(hint, id="hint", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Accept keys from the first moment, since over a slow line people type ahead."""
        line = self.query_one(Input)
        self.set_focus(line)
        if not self._adds:
            # Typing replaces the value; an arrow key keeps it.
            line.select_all()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Check the line, act on it, and close."""
        event.stop()
        if self._acting:
            return
        try:
            if self._check is not None:
                self._check(event.value)
        except EvolveError as exc:
            self._refuse(str(exc))
            return
        if self._act is None:
            self.dismiss(event.value)
        else:
            self._acting = True
            self.run_worker(partial(self._try, self._act, event.value), thread=True, exit_on_error=False)

    def _try(self, act: Callable[[str], object], value: str) -> None:
        try:
            act(value)
        except EvolveError as exc:
            self.app.call_from_thread(self._refuse, str(exc))
        except Exception:
            _log.exception("a line was not understood: %r", value[:200])
            self.app.call_from_thread(self._refuse, "this failed; the log (F12) says why")
        else:
            self.app.call_from_thread(self._close, value)

    def _refuse(self, reason: str) -> None:
        self._acting = False
        if self.is_attached:
            hint = self.query_one("#hint", Static)
            hint.set_classes("refused")
            hint.update(visible(reason))

    def _close(self, value: str) -> None:
        if self.is_attached and self.is_current:
            self.dismiss(value)

    def action_cancel(self) -> None:
        """Close without a line."""
        self.dismiss(None)


def check_words(text: str) -> None:
    """Raise UsageError if the text is blank."""
    if not text.strip():
        raise UsageError("the line is blank", "Write something, or leave with escape")


def check_number(text: str) -> None:
    """Raise UsageError if the text is neither blank nor a whole number of at most nine digits."""
    if text.strip() and not (text.strip().isascii() and text.strip().isdigit() and len(text.strip()) < 10):
        raise UsageError(f"'{one_line(text, 40)}' is not a number", "Digits only")
