"""Frames on the result channel.

A frame is a length of four bytes (big endian), a header (one line of JSON) and a body, which is forwarded unread:
arguments and return values of `evolve_task.call`.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False  # defined here because importing typing takes time
if TYPE_CHECKING:
    from typing import Any

__all__ = ["pack", "take"]


def pack(header: dict[str, object], body: bytes = b"") -> bytes:
    """Encode a frame."""
    payload = json.dumps(header).encode() + b"\n" + body
    return len(payload).to_bytes(4, "big") + payload


def take(inbox: bytearray, limit: int) -> tuple[dict[str, Any], bytes] | None:
    """Remove the first complete frame from the inbox and return its header and body, or None if there is none.

    Raises:
        ValueError: the data are not a frame, or it is longer than `limit` bytes.
    """
    if len(inbox) < 4:
        return None
    size = int.from_bytes(inbox[:4], "big")
    if size > limit:
        raise ValueError(f"a message of {size / 2**20:.1f} MiB, above the limit of {limit / 2**20:.0f} MiB")
    if len(inbox) < 4 + size:
        return None
    head, _, body = bytes(inbox[4 : 4 + size]).partition(b"\n")
    del inbox[: 4 + size]
    try:
        header = json.loads(head)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise ValueError("a message that is not in the agreed form")
    return header, body
