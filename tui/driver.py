"""The terminal's driver: no input bytes end the application, and no failure is silent."""

from __future__ import annotations

import errno
import logging
import os
import re
import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Any

from textual import constants, events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import FOCUSIN, FOCUSOUT, XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size
from textual.message import Message

from tui.encoding import input_encoding, open_output
from tui.tokens import Token, Tokenizer

if TYPE_CHECKING:
    from textual.app import App

__all__ = ["TerminalDriver"]

_log = logging.getLogger(__name__)

_READ_BYTES = 4096
_TYPED_BYTES = 16
"""The most bytes of pressed keys that one read returns."""
_LOOK_SECONDS = 0.1
_HANGUP_SECONDS = 2.0
"""Seconds to wait for the guard to recognise the end of a terminal, which has an exit code of its own."""

_MOUSE = re.compile(r"\x1b\[<\d{1,4};\d{1,5};\d{1,5}[Mm]")
_REPORTS = (re.compile(r"\x1b\[\?\d{1,5};\d\$y"), re.compile(r"\x1b\[48(;\d{1,5}(:[\d:]*)?){4}t"))
"""Reports of a mode, and of a new size."""
_KITTY = re.compile(r"\x1b\[(?:[\d:]*;){1,2}[\d:]*[u~ABCDEFHPQS]|\x1b\[[\d:]+u")
_PLACE = re.compile(r"\x1b\[\d+;\d+R")
"""A report of the cursor's position. Nobody asks for it, and Textual would offset the mouse by it."""
_NUMBER = re.compile(r"\d+")
_LONGEST = 32
"""The most letters of a sequence that Textual's parser reads."""
_ANSWERS = re.compile(r"\x1b(?:\[\?[\d;]{1,60}c|\[6;\d{1,3};\d{1,3}t|P>\|.*\x1b\\|_Gi=31;.*\x1b\\)", re.DOTALL)
"""Answers to what is asked before the first picture: abilities, size of a cell, name, kitty's graphics protocol."""


class TerminalDriver(LinuxDriver):
    """Textual's driver with an input that accepts any bytes and an output that reports failures."""

    def __init__(self, app: App[Any], **options: Any) -> None:
        super().__init__(app, **options)
        self._file: IO[str] = _Output(open_output(self._file.fileno()), self._fail)  # type: ignore[assignment]
        self._parser = XTermParser()
        self.answered: Callable[[str], object] | None = None
        """Called from the input's thread with each answer about pictures; None if nobody has asked."""
        self.kept: dict[str, str] = {}
        """Sequences to write when the terminal is left, each with what to write when it is taken up again."""

    def start_application_mode(self) -> None:
        """Take the terminal up, with what was kept for it."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        for sequence in self.kept.values():
            self.write(sequence)

    def stop_application_mode(self) -> None:
        """Leave the terminal without a rest."""
        for sequence in self.kept:
            self.write(sequence)
        super().stop_application_mode()

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except Exception as exc:
            self._fail(exc)

    def run_input_thread(self) -> None:
        """Read until the driver is told to stop; runs in its own thread."""
        tokenizer = Tokenizer(input_encoding(), _is_key, self._is_known)
        self._parser = XTermParser()
        heard = time.monotonic()
        while not self.exit_event.is_set():
            left = _LOOK_SECONDS if tokenizer.patience is None else heard + tokenizer.patience - time.monotonic()
            if select.select([self.fileno], [], [], max(0.0, min(_LOOK_SECONDS, left)))[0]:
                data = os.read(self.fileno, _READ_BYTES)
                if not data:
                    raise OSError(errno.EIO, "the terminal has come to its end")
                if not tokenizer.is_pasting or len(data) > _TYPED_BYTES:
                    # Typing into a paste that has lost its end does not prolong the paste.
                    heard = time.monotonic()
                self._take(tokenizer.feed(data))
            if tokenizer.patience is not None and time.monotonic() - heard >= tokenizer.patience:
                self._take(tokenizer.give_up())

    def _take(self, tokens: Iterable[Token]) -> None:
        for token in tokens:
            try:
                messages = list(self._messages(token))
            except Exception:
                # Textual's parser is a generator: once it has failed, it cannot be used again.
                _log.warning("the terminal sent what cannot be read: %r", token.text[:80], exc_info=True)
                self._parser = XTermParser()
                continue
            for message in messages:
                self.process_message(message)

    def _messages(self, token: Token) -> Iterable[Message]:
        kind, text = token
        if kind == "paste":
            yield events.Paste(text)
        elif kind == "alt":
            yield from self._parser._sequence_to_key_events(text, alt=True)
        elif self.answered is not None and _ANSWERS.fullmatch(text):
            self.answered(text)
        elif text == "\x1b":
            yield events.Key("escape", text)
        else:
            yield from self._parser.feed(text)
            if self._parser._awaiting.timeout is not None:
                # The parser knows only longer sequences of this start: it would take the following keys for the rest.
                self._parser = XTermParser()

    def process_message(self, message: Message) -> None:
        """Pass a message on, unless the terminal's real size is more reliable or makes it impossible."""
        if isinstance(message, events.Resize | events.MouseEvent):
            size = Size(*self._get_terminal_size())
            if isinstance(message, events.Resize):
                message = events.Resize(size, size, pixel_size=message.pixel_size)
            elif not size.region.contains(int(message.x), int(message.y)):
                return
        super().process_message(message)

    def _is_known(self, sequence: str) -> bool:
        if _MOUSE.fullmatch(sequence):
            return self._mouse
        if self.answered is not None and _ANSWERS.fullmatch(sequence):
            return True
        if len(sequence) > _LONGEST:
            return False
        if any(report.fullmatch(sequence) for report in _REPORTS):
            return True
        if constants.DISABLE_KITTY_KEY or not _KITTY.fullmatch(sequence):
            return False
        return all(_is_character(int(number)) for number in _NUMBER.findall(sequence))

    def _fail(self, error: Exception) -> None:
        """End the application, from any thread."""
        if isinstance(error, OSError):
            # Mostly its terminal is gone: where in the driver that was noticed helps nobody.
            _log.warning("the terminal cannot be read or written: %s", error.strerror or error)
        else:
            _log.error("the terminal's driver failed", exc_info=error)

        def tell() -> None:
            self._app.call_later(_raise, error)

        if isinstance(error, OSError):
            timer = threading.Timer(_HANGUP_SECONDS, tell)
            timer.daemon = True
            timer.start()
        else:
            tell()


def _raise(error: Exception) -> None:
    """Raise the error in the application's thread, as any of its handlers would."""
    raise error


def _is_key(sequence: str) -> bool:
    if sequence in (FOCUSIN, FOCUSOUT):
        return True
    return sequence in ANSI_SEQUENCES_KEYS and not _PLACE.fullmatch(sequence)


def _is_character(number: int) -> bool:
    return number < 0xD800 or 0xE000 <= number < 0x110000


class _Output:
    """The stream of Textual's writer thread. It never raises: if the thread died, the application would hang.

    Args:
        stream: the terminal.
        failed: called once with the error if a write fails; later writes are dropped.
    """

    def __init__(self, stream: IO[str], failed: Callable[[Exception], None]) -> None:
        self._stream = stream
        self._failed = failed
        self._is_broken = False

    def fileno(self) -> int:
        """The terminal's descriptor."""
        return self._stream.fileno()

    def write(self, text: str) -> None:
        """Write a text."""
        self._try(lambda: self._stream.write(text))

    def flush(self) -> None:
        """Flush the terminal's stream."""
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        if self._is_broken:
            return
        try:
            act()
        except Exception as exc:
            self._is_broken = True
            self._failed(exc)
