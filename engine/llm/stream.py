"""Stream a model's answer to the live table while the model writes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from engine.llm.faults import held_back, redact
from engine.llm.meter import piece_tokens
from engine.llm.tries import Wait
from engine.settings.models import ModelSpec
from engine.text import one_line

__all__ = ["LiveText"]

_GATHER_SECONDS = 0.1
_REASON_LENGTH = 300


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
        self._tokens = 0
        self._timer: asyncio.TimerHandle | None = None

    def __call__(self, piece: str, thought: bool) -> None:
        """Add a piece; an empty one means that the answer starts again."""
        if thought != self._thought:
            self._pass_on(whole=True)
            self._thought = thought
        if not piece:
            self._pieces.clear()
            self._tokens = 0
            self._send(msgspec.json.encode({**self._head, "text": "", "again": True}))
            return
        self._pieces.append(piece)
        self._tokens += piece_tokens(piece)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._pass_on)

    def wait(self, wait: Wait) -> None:
        """Tell that the next try is yet to come: after how many milliseconds, which of how many it is, and why."""
        why = one_line(redact(wait.reason, self._spec), _REASON_LENGTH).encode("utf-8", "replace").decode()
        told = {"wait": int(wait.seconds * 1000), "try": wait.number, "tries": wait.tries, "why": why}
        self._send(msgspec.json.encode({**self._head, "text": "", **told}))

    def close(self) -> None:
        """Drop the rest: the call ends, and with it whoever watches is given the whole answer."""
        self._pieces.clear()
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
            self._send(msgspec.json.encode({**self._head, "text": text, "tokens": self._tokens, **thought}))
