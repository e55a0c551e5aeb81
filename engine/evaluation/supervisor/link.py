"""The conversation with the engine: a JSON document a line, both ways."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False  # typing's own constant without typing, which takes time to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .poller import Poller

__all__ = ["Link"]


class Link:
    """The engine at descriptors 0 and 1.

    Args:
        poller: what waits on descriptor 0.
        on_message: called with each document that comes in.
        on_end: called when the engine is gone.
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
            pass  # the poller says when there is room again
        except OSError:
            self.outbox.clear()  # the engine is gone: the end of file follows
        self.poller.want_room(0, bool(self.outbox))
