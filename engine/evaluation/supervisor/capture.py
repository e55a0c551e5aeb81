"""Capture an evaluation's output up to a limit."""

from __future__ import annotations

__all__ = ["Capture"]

_KEEP = 65536


class Capture:
    """The output of one stream: its first and last 64 KiB and its total size."""

    def __init__(self) -> None:
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0
        self.told = 0
        """How many bytes of it the engine was told of while it ran."""

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = _KEEP - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * _KEEP:
            del self.tail[:-_KEEP]

    def unseen(self, most: int) -> tuple[bytes, int]:
        """Return what came since the last call, of more than `most` bytes the last ones, and how many are left out."""
        count = self.total - self.told
        self.told = self.total
        kept = min(count, most)
        # The tail is shorter than `most` only while nothing between it and the head was dropped.
        newest = bytes(self.head[-most:] + self.tail)[-kept:] if len(self.tail) < most else bytes(self.tail[-kept:])
        return newest if kept else b"", count - kept

    def content(self) -> bytes:
        tail = bytes(self.tail[-_KEEP:])
        left_out = self.total - len(self.head) - len(tail)
        gap = f"\n... {left_out} bytes left out ...\n".encode() if left_out else b""
        return bytes(self.head) + gap + tail
