"""Dispatch readable and writable file descriptors to callbacks."""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Poller"]


class Poller:
    """A set of watched descriptors with their callbacks."""

    def __init__(self) -> None:
        self.polled = select.poll()
        self.handlers: dict[int, tuple[Callable[[], None], Callable[[], None] | None]] = {}
        self.wanted: dict[int, int] = {}
        self.held: set[int] = set()

    def listen(self, fd: int, on_data: Callable[[], None], on_room: Callable[[], None] | None = None) -> None:
        """Call `on_data` whenever the descriptor is readable, and `on_room` if `want_room` waits for it."""
        self.handlers[fd] = (on_data, on_room)
        self.wanted[fd] = select.POLLIN
        self.polled.register(fd, select.POLLIN)

    def knows(self, fd: int) -> bool:
        return fd in self.handlers

    def want_room(self, fd: int, wanted: bool) -> None:
        """Start or stop waiting for room to write to a descriptor, if it is watched."""
        if fd in self.handlers:
            self.wanted[fd] = select.POLLIN | (select.POLLOUT if wanted else 0)
            if fd not in self.held:
                self.polled.register(fd, self.wanted[fd])

    def hold(self, fd: int) -> None:
        """Suspend watching a descriptor until `release`."""
        if fd in self.handlers and fd not in self.held:
            self.held.add(fd)
            self.polled.unregister(fd)

    def release(self, fd: int) -> None:
        if fd in self.held:
            self.held.discard(fd)
            self.polled.register(fd, self.wanted[fd])

    def forget(self, fd: int) -> None:
        """Stop watching a descriptor and close it, if it is watched."""
        if self.handlers.pop(fd, None) is not None:
            if fd in self.held:
                self.held.discard(fd)
            else:
                self.polled.unregister(fd)
            os.close(fd)

    def turn(self, seconds: float | None) -> None:
        """Wait up to `seconds` for events and run their callbacks."""
        for fd, events in self.polled.poll(None if seconds is None else max(0.0, seconds) * 1000 + 0.5):
            on_data, on_room = self.handlers.get(fd, (None, None))
            if on_room is not None and events & select.POLLOUT:
                on_room()
            if on_data is not None and events & ~select.POLLOUT:
                on_data()
