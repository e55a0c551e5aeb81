"""Read what the Responses API sends: its events, or a whole response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from engine.llm.finish import Ended, ended

__all__ = ["Output", "Piece", "end_of", "is_response", "response_in"]

Part = Literal["text", "refusal", "thought"]
Piece = tuple[Part, str]
"""A piece of an answer: what it belongs to, and its text."""

_DELTAS: Mapping[str, tuple[Part, str]] = {
    "response.output_text.delta": ("text", ""),
    "response.refusal.delta": ("refusal", ""),
    "response.reasoning_summary_text.delta": ("thought", "a summary"),
    "response.reasoning_text.delta": ("thought", "reasoning items"),
    # What servers sent before these names were settled.
    "response.reasoning_summary.delta": ("thought", "a summary"),
    "response.reasoning.delta": ("thought", "reasoning items"),
}
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_MOST_ITEMS = 200


def is_response(chunk: Mapping[str, Any]) -> bool:
    """Return whether a piece of a body is one of the Responses API."""
    if chunk.get("object") == "response" or str(chunk.get("type") or "").startswith("response."):
        return True
    return isinstance(chunk.get("output"), list) and "choices" not in chunk


def response_in(chunk: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the finished response that a piece holds or is; None if it is a step on the way."""
    kind = chunk.get("type")
    if isinstance(kind, str) and kind.startswith("response."):
        found = chunk.get("response")
        if kind not in _ENDS:
            return None
        found = dict(found) if isinstance(found, Mapping) else {}
        return {**found, "status": found.get("status") or kind.removeprefix("response.")}
    return chunk


def end_of(response: Mapping[str, Any]) -> Ended:
    """Return how a response ended; empty if it does not say."""
    status = response.get("status")
    if status == "incomplete":
        details = response.get("incomplete_details")
        return (ended(details.get("reason")) if isinstance(details, Mapping) else "") or "cut"
    # A response that is still in progress has no end to wait for here.
    return "cut" if status in ("in_progress", "queued", "cancelled") else ended(status)


class Output:
    """Take in events; give out the pieces of the answer, each once, and keep the items for a later request."""

    def __init__(self) -> None:
        self.items: list[Mapping[str, Any]] = []
        """What the model wrote, item by item."""
        self.tools: list[str] = []
        """Names of the functions that it called."""
        self.thoughts_in = ""
        """Where the thoughts stand."""
        self.thinks = False
        """Whether it has begun to think, which many endpoints let nobody read."""
        self._streamed: set[Part] = set()
        self._part: object = None

    def take(self, chunk: Mapping[str, Any]) -> Iterator[Piece]:
        """Yield what an event adds; a finished response adds nothing here."""
        kind = str(chunk.get("type") or "")
        delta = _DELTAS.get(kind)
        if delta is not None:
            yield from self._delta(*delta, chunk)
        elif kind in ("response.output_item.added", "response.output_item.done"):
            item = chunk.get("item")
            if isinstance(item, Mapping):
                self.thinks = self.thinks or item.get("type") == "reasoning"
                if kind.endswith("done") and len(self.items) < _MOST_ITEMS:
                    self._keep(item)
                    yield from (piece for piece in _pieces_of(item) if piece[0] not in self._streamed)

    def whole(self, response: Mapping[str, Any]) -> dict[Part, str]:
        """Return the parts of a finished response, which repeat what was streamed."""
        found: dict[Part, str] = {}
        output = response.get("output")
        items = [item for item in output if isinstance(item, Mapping)] if isinstance(output, list) else []
        if items:
            self.items.clear()
            self.tools.clear()
        for item in items[:_MOST_ITEMS]:
            self._keep(item)
            for part, text in _pieces_of(item):
                found[part] = found.get(part, "") + text
        if not items and isinstance(response.get("output_text"), str):
            found["text"] = response["output_text"]
        return found

    def _delta(self, part: Part, place: str, chunk: Mapping[str, Any]) -> Iterator[Piece]:
        text = chunk.get("delta")
        if not isinstance(text, str) or not text:
            return
        if part == "thought":
            if self.thoughts_in not in ("", place):
                # The same thoughts, told once more in another way.
                return
            self.thoughts_in = place
            number = (chunk.get("item_id"), chunk.get("summary_index"))
            if self._part not in (None, number):
                text = f"\n\n{text}"
            self._part = number
        self._streamed.add(part)
        yield part, text

    def _keep(self, item: Mapping[str, Any]) -> None:
        kind = item.get("type")
        if kind in ("reasoning", "message"):
            self.items.append(item)
            if kind == "reasoning" and not self.thoughts_in and any(_pieces_of(item)):
                self.thoughts_in = "reasoning items" if item.get("content") else "a summary"
        elif kind in ("function_call", "custom_tool_call") and item.get("name"):
            self.tools.append(str(item["name"]))


def _pieces_of(item: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield the texts of an item of the output."""
    if item.get("type") == "reasoning":
        texts = list(_texts(item.get("content"))) or list(_texts(item.get("summary")))
        if texts:
            yield "thought", "\n\n".join(text for _, text in texts)
    elif item.get("type") == "message":
        yield from _texts(item.get("content"))


def _texts(content: object) -> Iterator[Piece]:
    if isinstance(content, str) and content:
        yield "text", content
    for part in content if isinstance(content, list) else []:
        if isinstance(part, Mapping):
            if isinstance(part.get("refusal"), str) and part["refusal"]:
                yield "refusal", part["refusal"]
            elif isinstance(part.get("text"), str) and part["text"]:
                yield "text", part["text"]
