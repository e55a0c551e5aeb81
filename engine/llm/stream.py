"""Stream a model's answer to the live table while the model writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from engine.llm.faults import held_back, redact
from engine.settings.models import ModelSpec

__all__ = ["LiveText"]

_GATHER_SECONDS = 0.1


class LiveText:
    """Collect the pieces of one answer and pass them on, at most ten times a second.

    Args:
        send: receives the JSON of a live row.
        head: the fields of each row beside its text.
        spec: the model; its key is removed from the text.
    """

    def __init__(self, send: Callable[[bytes], None], head: dict[str, Any], spec: ModelSpec) -> None:
        self._send = send
        self._head = head
        self._spec = spec
        self._pieces: list[str] = []
        self._thought = False
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, piece: str, thought: bool) -> None:
        """Add a piece; an empty one means that the answer starts again."""
        if thought != self._thought:
            self._pass_on(whole=True)
            self._thought = thought
        if not piece:
            self._pieces.clear()
            self._send(msgspec.json.encode({**self._head, "text": "", "again": True}))
            return
        self._pieces.append(piece)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._pass_on)

    def close(self) -> None:
        """Pass on the rest."""
        self._pass_on(whole=True)

    def _pass_on(self, whole: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        text = redact("".join(self._pieces), self._spec)
        # The end may be the beginning of a key, whose rest is still to come.
        kept = 0 if whole else held_back(text, self._spec)
        self._pieces = [text[len(text) - kept :]] if kept else []
        text = text[: len(text) - kept].encode("utf-8", "replace").decode()
        if text:
            thought = {"thought": True} if self._thought else {}
            self._send(msgspec.json.encode({**self._head, "text": text, **thought}))
