"""End the application when the terminal goes away, whatever state it is in.

Without this a hang-up kills the process without cleanup; if SIGHUP is ignored (nohup) or there is no controlling
terminal, Textual's event loop hangs in a write and its input thread spins for ever (Textualize/textual#6690).
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import subprocess
import termios
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["HANGUP_EXIT", "Guard"]

HANGUP_EXIT = 129
"""The exit code after a hang-up: 128 + SIGHUP."""

_log = logging.getLogger(__name__)

_GRACE_SECONDS = 0.6
_POLL_MS = 1000


class Guard:
    """Watches the terminal from its own thread, since the event loop may be stuck in a write.

    Args:
        on_lost: exit the application with cleanup; called in the event loop.
        on_continued: repaint; called in the event loop when the stopped process continues.
        fd: the terminal's file descriptor.
    """

    def __init__(self, on_lost: Callable[[], None], on_continued: Callable[[], None], fd: int = 0) -> None:
        self._on_lost = on_lost
        self._on_continued = on_continued
        self._fd = fd
        self._child: subprocess.Popen[bytes] | None = None
        self._lost = False
        self._attributes: list[Any] | None = None

    def install(self) -> None:
        """Start watching; call from the running event loop, once the terminal is in raw mode."""
        loop = asyncio.get_running_loop()
        # Also if SIGHUP was ignored: a screen without a terminal is of no use.
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        # The kernel sends SIGCONT after SIGHUP, and Textual's handler would start a second input thread on a dead
        # terminal. This handler only sets the terminal up again after a stop from outside.
        loop.add_signal_handler(signal.SIGCONT, self._continued)
        try:
            self._attributes = termios.tcgetattr(self._fd)
        except termios.error:
            self._attributes = None
        threading.Thread(target=self._watch, args=(loop,), name="terminal-watch", daemon=True).start()

    def run_child(self, command: list[str]) -> int:
        """Run a program in the terminal (an editor) and wait for it; end it when the terminal goes.

        Raises:
            OSError: the program cannot be started.
        """
        self._child = subprocess.Popen(command)
        try:
            return self._child.wait()
        finally:
            self._child = None

    def _hung_up(self) -> None:
        self._arm()
        self._end()

    def _end(self) -> None:
        if not self._lost:
            self._lost = True
            _log.info("the terminal is gone")
            self._on_lost()

    def _continued(self) -> None:
        if self._lost or self._is_gone(0):
            return
        if self._attributes is not None:
            try:
                termios.tcsetattr(self._fd, termios.TCSANOW, self._attributes)
            except termios.error:
                return
        self._on_continued()

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._is_gone(_POLL_MS):
            if loop.is_closed():
                return
        self._arm()
        try:
            loop.call_soon_threadsafe(self._end)
        except RuntimeError:
            return

    def _is_gone(self, milliseconds: int) -> bool:
        poll = select.poll()
        poll.register(self._fd, 0)
        return bool(poll.poll(milliseconds))

    def _arm(self) -> None:
        """Exit hard if the cleanup does not finish: the loop may be stuck in a write."""
        timer = threading.Timer(_GRACE_SECONDS, self._give_up)
        timer.daemon = True
        timer.start()

    def _give_up(self) -> None:
        child = self._child
        if child is not None:
            child.terminate()
        os._exit(HANGUP_EXIT)
