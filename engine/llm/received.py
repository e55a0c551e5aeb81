"""Put an answer together from its pieces, and say what it is: a text, a refusal, or none that can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.llm.error_body import error_in
from engine.llm.faults import NO_TEXT, NOTHING, Fault, fault_within, no_chat, place_of
from engine.llm.finish import Ended, ended
from engine.llm.frames import Frames
from engine.llm.meter import AnswerMeter
from engine.llm.response_events import Output, end_of, is_response, response_in
from engine.llm.usage import Usage, usage_in
from engine.settings.models import ModelSpec
from engine.text import one_line

__all__ = ["OnText", "Received", "Reply", "reply_of"]

OnText = Callable[[str, bool], None]
"""Called with each piece of an answer as it arrives, and whether it is thought."""

_THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thoughts", "reasoning_details")
"""Fields of thoughts; endpoints repeat the same text in several."""
_THOUGHT_PARTS = ("thinking", "reasoning", "thought", "summary")
_TEXTS = ("text", "thinking", "reasoning", "content", "summary", "refusal", "output_text", "parts")
_DEEPEST = 6


@dataclass(frozen=True)
class Reply:
    """A whole answer as received."""

    text: str
    reasoning: str
    refused: bool
    truncated: bool
    ended_by: str = ""
    """What made us hang up before its end: a setting's name, or `repetition`."""
    streamed: bool = False
    """Whether it came in more than one piece."""
    counted: bool = False
    """Whether the endpoint counted its tokens."""
    thoughts_in: str = ""
    """The field that the thoughts came in; empty if none came apart from the text."""
    items: tuple[Mapping[str, Any], ...] = ()
    """Its items by the Responses API, to be sent again with a request that continues it."""


class Received:
    """Collect the pieces of one answer.

    Args:
        on_text: called with each piece.
        meter: counts its tokens.
    """

    def __init__(self, on_text: OnText, meter: AnswerMeter) -> None:
        self._on_text = on_text
        self.meter = meter
        self.text: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tools: list[str] = []
        """Names of the functions that the model called."""
        self.size = 0
        self.pieces = 0
        self.ended: Ended = ""
        self.usage = Usage()
        self.problem: object = None
        """The body of an error that came inside the answer; None if none did."""
        self.thoughts_in = ""
        self.chat = False
        """Whether any piece was one of a chat."""
        self.over = False
        """Whether a piece said that nothing comes after it."""
        self.output = Output()
        self._index: int | None = None

    @property
    def begun(self) -> bool:
        """Return whether any text came."""
        return self.size > 0

    def take(self, chunk: object) -> None:
        """Add one piece; tolerate the variants of the format that endpoints send."""
        if isinstance(chunk, list):
            for item in chunk:
                self.take(item)
            return
        if not isinstance(chunk, dict):
            return
        if is_response(chunk):
            self._take_response(chunk)
            return
        self.usage = usage_in(chunk) or self.usage
        self.problem = self.problem or error_in(chunk)
        choices = chunk.get("choices")
        self.chat = self.chat or "choices" in chunk
        for choice in choices if isinstance(choices, list) else []:
            if isinstance(choice, dict) and self._ours(choice):
                self._take_choice(choice)

    def _ours(self, choice: Mapping[str, Any]) -> bool:
        """Tell whether a choice belongs to the answer with the lowest index, which is the one that counts."""
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        if self._index is not None and index > self._index:
            return False
        if self._index is not None and index < self._index:
            for pieces in (self.text, self.reasoning, self.refusal, self.tools):
                pieces.clear()
            self.ended = ""
            self._on_text("", False)
        self._index = index
        return True

    def _take_response(self, chunk: Mapping[str, Any]) -> None:
        """Add a piece by the Responses API."""
        self.chat = True
        for part, text in self.output.take(chunk):
            self._add(self._pieces[part], text, part == "thought")
        response = response_in(chunk)
        if response is not None:
            self.over = True
            self.usage = usage_in(response) or self.usage
            self.problem = self.problem or error_in({"error": response.get("error")})
            for part, text in self.output.whole(response).items():
                self._add(self._pieces[part], text, part == "thought", whole=True)
            reason = end_of(response)
            if reason == "broken":
                said = {"message": f"the answer ended with '{response.get('status')}'", "code": 502}
                self.problem = self.problem or {"error": said}
            self.ended = reason
        self.tools = self.output.tools
        self.thoughts_in = self.output.thoughts_in

    @property
    def _pieces(self) -> Mapping[str, list[str]]:
        return {"text": self.text, "refusal": self.refusal, "thought": self.reasoning}

    def _take_choice(self, choice: Mapping[str, Any]) -> None:
        reason = ended(choice.get("finish_reason"))
        if choice.get("error"):
            self.problem = self.problem or {"error": choice["error"]}
        elif reason == "broken":
            said = choice.get("native_finish_reason") or choice["finish_reason"]
            self.problem = self.problem or {"error": {"message": f"the answer ended with '{said}'", "code": 502}}
        self.ended = reason or self.ended
        delta = choice.get("delta")
        if isinstance(delta, dict) and delta:
            self._take_message(delta)
            return
        message = choice.get("message")
        if isinstance(message, dict):
            self._take_message(message, whole=True)
        elif isinstance(choice.get("text"), str):
            self._add(self.text, choice["text"], False)

    def _take_message(self, message: Mapping[str, Any], whole: bool = False) -> None:
        """Add a message, or a piece of one.

        Args:
            message: its fields.
            whole: whether it repeats what came before it.
        """
        for name in _THOUGHTS:
            thoughts = "".join(text for text, _ in _parts(message.get(name)))
            if thoughts:
                self.thoughts_in = self.thoughts_in or name
                self._add(self.reasoning, thoughts, True, whole)
                break
        parts = list(_parts(message.get("content")))
        for thought in (True, False):
            text = "".join(part for part, is_thought in parts if is_thought is thought)
            if text and thought:
                self.thoughts_in = self.thoughts_in or "parts of content"
            self._add(self.reasoning if thought else self.text, text, thought, whole)
        refusal = message.get("refusal")
        if isinstance(refusal, str):
            self._add(self.refusal, refusal, False, whole)
        calls = message.get("tool_calls") or [{"function": message.get("function_call")}]
        for call in calls if isinstance(calls, list) else []:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and function.get("name"):
                self.tools.append(str(function["name"]))

    def _add(self, pieces: list[str], piece: str, thought: bool, whole: bool = False) -> None:
        if whole and pieces:
            so_far = "".join(pieces)
            piece = piece[len(so_far) :] if piece.startswith(so_far) else ""
        if not piece:
            return
        pieces.append(piece)
        self.size += len(piece)
        self.pieces += 1
        self.meter.add(piece, thought)
        self._on_text(piece, thought)


def _parts(content: object, thought: bool = False, depth: int = 0) -> Iterator[tuple[str, bool]]:
    """Yield the texts of a content, a string or parts of any kind, and whether each is thought."""
    if isinstance(content, str):
        if content:
            yield content, thought
    elif depth > _DEEPEST:
        return
    elif isinstance(content, list):
        for item in content:
            yield from _parts(item, thought, depth + 1)
    elif isinstance(content, dict):
        kind = str(content.get("type") or "")
        thought = thought or content.get("thought") is True or any(name in kind for name in _THOUGHT_PARTS)
        for name in _TEXTS:
            if content.get(name):
                yield from _parts(content[name], thought or name in _THOUGHT_PARTS, depth + 1)
                break


def reply_of(got: Received, frames: Frames, spec: ModelSpec, ended_by: str | None) -> Reply:
    """Return the answer that came.

    Args:
        got: its pieces.
        frames: the body that they came in.
        spec: the model.
        ended_by: what made us hang up before its end, empty for its mere size; None if nothing did.

    Raises:
        Fault: what came is no answer.
    """
    if got.problem is not None:
        raise fault_within(got.problem, spec)
    if ended_by is not None:
        return _reply(got, "cut", ended_by)
    if frames.kind == "empty":
        raise Fault("down", f"{place_of(spec)} answered with an empty body", passing=True, said=NOTHING)
    _check_chat(got, frames, spec)
    end: Ended = got.ended or ("whole" if frames.done else "")
    if not end:
        raise Fault("down", f"{place_of(spec)} cut an answer off", passing=True)
    limit = spec.max_completion_tokens or spec.max_tokens
    if end == "whole" and got.output.items and limit and got.usage.tokens_out == limit:
        # Some servers call every response completed.
        end = "cut"
    if not "".join(got.text).strip() and not got.refusal and end != "filtered":
        _check_text(got, end, spec)
    return _reply(got, end, "")


def _reply(got: Received, end: Ended, ended_by: str) -> Reply:
    text = "".join(got.text)
    return Reply(
        text=_clean(text if text.strip() else "".join(got.refusal)),
        reasoning=_clean("".join(got.reasoning)),
        refused=end == "filtered" or bool(got.refusal and not text.strip()),
        truncated=end == "cut",
        ended_by=ended_by,
        streamed=got.pieces > 1,
        counted=got.usage.told,
        thoughts_in=got.thoughts_in,
        items=tuple(got.output.items),
    )


def _check_chat(got: Received, frames: Frames, spec: ModelSpec) -> None:
    """Raise a fault if a server answered something else than a chat."""
    if got.chat or not frames.kind or (frames.kind == "events" and not frames.done):
        return
    said = one_line(frames.beginning, 120)
    named = {"html": "HTML", "json": f"JSON without `choices` or `output`, {said}"}
    raise no_chat(spec, named.get(frames.kind, f"'{said}'"))


def _check_text(got: Received, end: Ended, spec: ModelSpec) -> None:
    """Raise a fault if an answer has no text, and another try would have none either."""
    place = place_of(spec)
    if end == "cut" and got.text and not got.reasoning:
        # Small models do this where a schema holds them to JSON.
        raise Fault("answer", f"{place} answers only blanks, up to its token limit", said=NO_TEXT)
    if end == "cut" and (got.reasoning or got.usage.tokens_out):
        limit = "max_completion_tokens" if spec.max_completion_tokens else "max_tokens"
        raise Fault(
            "answer", f"{place}: the token limit was spent on thoughts: raise {limit} or lower reasoning_effort"
        )
    if got.tools:
        names = ", ".join(dict.fromkeys(one_line(name, 40) for name in got.tools[:3]))
        raise Fault(
            "answer",
            f"{place} answers in tool_calls only (a call of '{names}'), and no tools are offered: "
            'set structured = "off", or ask a model that writes text',
        )
    if got.reasoning:
        raise Fault(
            "answer",
            f"{place} answers in its thoughts only ({got.thoughts_in}), and its text is empty: start the server "
            "without its reasoning parser, or have the model think less",
            said=NO_TEXT,
        )


def _clean(text: str) -> str:
    """Return text that can be encoded as UTF-8: JSON may contain lone surrogates."""
    return text.encode("utf-8", "replace").decode()
