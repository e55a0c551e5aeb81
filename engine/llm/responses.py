"""Ask by OpenAI's Responses API: what a request holds there, and how its parts are named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from engine.llm.messages import Message
from engine.settings.models import ModelSpec

__all__ = [
    "REFUSED_THOUGHTS", "WORDS", "Items", "field_named", "has_thoughts", "items_to_keep", "merged_into",
    "responses_body", "without",
]  # fmt: skip

Items = Sequence[Mapping[str, Any]]
"""What a model wrote in one answer: thoughts and messages, as the endpoint gave them."""

WORDS = frozenset({"include", "store", "reasoning", "truncation"})
"""Fields whose names are words of any sentence: a refusal means them only if it marks them as fields."""
REFUSED_THOUGHTS = re.compile(
    r"encrypted.?content|\breasoning\b.{0,60}(item|type|follow|found)|\brs_|item with id|not persisted|\binput[.\[]\d",
    re.IGNORECASE,
)
"""What an endpoint says that does not take earlier thoughts back."""
_ENCRYPTED = re.compile(r"encrypted.?content", re.IGNORECASE)
_NESTED = ("reasoning", "text")
"""Fields that hold others: settings add to them."""


def responses_body(
    spec: ModelSpec, messages: Sequence[Message], schema: dict[str, Any] | None, items: Sequence[Items], *, stream: bool
) -> dict[str, Any]:
    """Return the body of a request.

    Args:
        spec: the model.
        messages: the prompt; the system's text becomes the instructions.
        schema: the JSON schema of the answer; None if it is not sent.
        items: for each answer in the prompt its items, in place of its text; empty: the texts alone.
        stream: whether the answer is to be streamed.
    """
    body: dict[str, Any] = {"model": spec.model}
    instructions = "\n\n".join(message.content for message in messages if message.role == "system")
    if instructions:
        body["instructions"] = instructions
    said: list[Mapping[str, Any]] = []
    kept = iter(items)
    for message in messages:
        if message.role != "system":
            own = next(kept, ()) if message.role == "assistant" else ()
            said += own or [{"role": message.role, "content": message.content}]
    # What the endpoint stores nobody here ever reads; thoughts come back to it within the request.
    body |= {"input": said, "stream": stream, "store": False, "include": ["reasoning.encrypted_content"]}
    for name in ("temperature", "top_p"):
        if getattr(spec, name) is not None:
            body[name] = getattr(spec, name)
    limit = spec.max_completion_tokens or spec.max_tokens
    if limit is not None:
        body["max_output_tokens"] = limit
    if spec.reasoning_effort is not None:
        body["reasoning"] = {"effort": spec.reasoning_effort}
    if schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
    return body


def items_to_keep(items: Iterable[Mapping[str, Any]]) -> str:
    """Return the JSON of an answer's items that a later request can hold; empty if there are no thoughts among them.

    An endpoint that stores nothing knows thoughts by what they hold, sealed or open, and not by their number.
    """
    found = [{name: value for name, value in item.items() if value is not None} for item in items]
    found = [
        item for item in found if item["type"] != "reasoning" or item.get("encrypted_content") or item.get("content")
    ]
    thinks = any(item["type"] == "reasoning" for item in found)
    # Thoughts without the text that they led to are refused.
    if not thinks or found[-1]["type"] != "message":
        return ""
    try:
        return msgspec.json.encode(found).decode()
    except UnicodeEncodeError:
        return ""  # JSON may hold halves of characters, which the journal cannot


def has_thoughts(body: Mapping[str, Any]) -> bool:
    """Return whether a request holds earlier thoughts."""
    said = body.get("input")
    return isinstance(said, list) and any(isinstance(item, dict) and item.get("type") == "reasoning" for item in said)


def merged_into(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with further fields, whose parts are added to those of `reasoning` and `text`."""
    found = body | dict(extra)
    for name in _NESTED:
        if isinstance(body.get(name), dict) and isinstance(extra.get(name), dict):
            found[name] = body[name] | extra[name]
    return found


def without(body: Mapping[str, Any], dropped: frozenset[str]) -> dict[str, Any]:
    """Return a body without some fields, or parts of fields such as `reasoning.effort`."""
    found = {name: value for name, value in body.items() if name not in dropped}
    for name in _NESTED:
        if isinstance(found.get(name), dict):
            found[name] = {part: value for part, value in found[name].items() if f"{name}.{part}" not in dropped}
            if not found[name]:
                del found[name]
    return found


def field_named(said: str, body: Mapping[str, Any]) -> str:
    """Return the field that a refusal names among those whose names are words, or that are parts; empty if none."""
    if "include" in body and _ENCRYPTED.search(said):
        return "include"
    for name in _NESTED:
        for part in body[name] if isinstance(body.get(name), dict) else ():
            if part != "format" and re.search(rf"\b{name}[._]{part}\b", said):
                return f"{name}.{part}"
    return next((name for name in sorted(WORDS & set(body)) if _marked(name).search(said)), "")


def _marked(name: str) -> re.Pattern[str]:
    """Return how a refusal writes a field's name if it means the field."""
    return re.compile(
        rf"['\"`\[]{name}['\"`\].\[]|\bbody\.{name}\b|\b(?:parameter|argument|field)s?:? {name}\b", re.IGNORECASE
    )
