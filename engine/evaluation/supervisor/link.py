"""Exchange messages with the engine: one JSON document per line, in both directions."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .poller import Poller

__all__ = ["Link"]


class Link:
    """The connection to the engine on descriptors 0 and 1.

    Args:
        poller: watches descriptor 0.
        on_message: called with each received document.
        on_end: called when the engine has ended.
    """

    def __init__(
        self, poller: Poller, on_message: Callable[[dict[str, Any]], None], on_end: Callable[[], None]
    ) -> None:
        self.poller = poller
        self.on_message = on_message
        self.on_end = on_end
        self.inbox = bytearray()
        self.outbox = bytearray()
        os.set_blocking(0, False)
        poller.listen(0, self.read, self.flush)

    def read(self) -> None:
        try:
            data = os.read(0, 262144)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.on_end()
            self.poller.forget(0)
            return
        self.inbox += data
        while b"\n" in self.inbox:
            line, _, rest = bytes(self.inbox).partition(b"\n")
            self.inbox = bytearray(rest)
            self.on_message(json.loads(line))

    def tell(self, message: dict[str, object]) -> None:
        self.outbox += json.dumps(message, allow_nan=False).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        try:
            del self.outbox[: os.write(1, self.outbox)]
        except BlockingIOError:
            pass  # the poller calls again once there is room
        except OSError:
            self.outbox.clear()  # the engine has ended; end of file follows
        self.poller.want_room(0, bool(self.outbox))
