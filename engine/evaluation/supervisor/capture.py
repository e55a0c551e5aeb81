"""What an evaluation prints, as much of it as is kept."""

from __future__ import annotations

__all__ = ["Capture"]

_KEEP = 65536


class Capture:
    """What was printed on one stream: the first and the last 64 KiB of it, and how much there was."""

    def __init__(self) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = _KEEP - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * _KEEP:
            del self.tail[:-_KEEP]

    def content(self) -> bytes:
        tail = bytes(self.tail[-_KEEP:])
        left_out = self.total - len(self.head) - len(tail)
        gap = f"\n... {left_out} bytes left out ...\n".encode() if left_out else b""
        return bytes(self.head) + gap + tail
