"""Split the body of an answer into JSON values: server-sent events, one JSON document, or a document a line.

What the body is follows from its first character, since endpoints label all of these in every way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

__all__ = ["BadFrame", "Frames"]

_LONGEST = 16_000_000
"""Most bytes of a document or of a line."""
_BOM = b"\xef\xbb\xbf"
_FIELDS = frozenset({"data", "event", "id", "retry"})

Kind = Literal["", "events", "json", "html", "text", "empty"]


class BadFrame(Exception):
    """A piece of a body is not JSON, or too long."""


class Frames:
    """Take in the bytes of a body as they arrive, and give out its values."""

    def __init__(self) -> None:
        self.kind: Kind = ""
        """Empty until the first character that is not blank."""
        self.done = False
        """Whether the body said that it is complete: `[DONE]`, or a whole JSON document."""
        self.beginning = ""
        """The first characters of the body, to tell what it is."""
        self._buffer = bytearray()
        self._event = ""
        self._data: list[str] = []
        self._known = False
        """Whether any line was one of a stream of events."""

    def feed(self, piece: bytes) -> Iterator[Any]:
        """Take in a piece of the body.

        Raises:
            BadFrame: the body cannot be read.
        """
        self._buffer += piece
        if not self.kind and not self._recognise():
            return
        if len(self._buffer) > _LONGEST:
            raise BadFrame("a piece of the answer has more than 16 MB")
        if self.kind == "events":
            yield from self._lines()

    def finish(self) -> Iterator[Any]:
        """Give out the rest: the body has ended.

        Raises:
            BadFrame: the body cannot be read.
        """
        if self.kind == "events":
            yield from self._lines(last=True)
            if not self._known:
                self.kind = "text"
            # An event cut in two by the end is no event.
        elif self.kind == "json":
            yield from self._documents(self._buffer.decode("utf-8", "replace"))
        elif not self.kind:
            self.kind = "empty"

    def _recognise(self) -> bool:
        start = bytes(self._buffer[:4096]).removeprefix(_BOM).lstrip()
        if not start:
            return False
        self.kind = "json" if start[:1] in b"{[" else "html" if start[:1] == b"<" else "events"
        self.beginning = start.decode("utf-8", "replace")
        if self._buffer.startswith(_BOM):
            del self._buffer[: len(_BOM)]
        return True

    # Documents

    def _documents(self, text: str) -> Iterator[Any]:
        decoder = json.JSONDecoder(strict=False)
        at, found = 0, 0
        while True:
            at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
            if at >= len(text):
                self.done = found > 0
                return
            if found and text[at] not in "{[":
                # Events after a document, such as `data: [DONE]`.
                for line in text[at:].split("\n"):
                    yield from self._line(line.rstrip("\r"))
                self.done = True
                return
            value, at = _decoded(decoder, text, at)
            found += 1
            yield value

    # Events

    def _lines(self, last: bool = False) -> Iterator[Any]:
        raw = bytes(self._buffer)
        # A line end may be cut in two by the pieces.
        ended = len(raw) if last else max(raw.rfind(b"\n"), raw.rfind(b"\r", 0, max(0, len(raw) - 1))) + 1
        if not ended:
            return
        del self._buffer[:ended]
        text = raw[:ended].replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode("utf-8", "replace")
        for line in text.split("\n") if last else text.removesuffix("\n").split("\n"):
            yield from self._line(line)

    def _line(self, line: str) -> Iterator[Any]:
        if not line.strip():
            yield from self._flush()
            return
        name, _, value = line.partition(":")
        if not name:
            self._known = True
        elif name in _FIELDS:
            self._known = True
            if name == "event":
                self._event = value.strip()
            elif name == "data":
                yield from self._add(value)
        elif line[0] == "{":
            # Some servers send an error without a frame in the middle of a stream.
            self._known = True
            yield from self._add(line)

    def _add(self, value: str) -> Iterator[Any]:
        value = value.strip()
        while value.startswith("data:"):
            # A proxy has framed what was framed already.
            value = value[5:].strip()
        if value.strip('"').startswith("[DONE]"):
            self.done = True
            return
        if not value:
            return
        self._data.append(value)
        # Values are given out at once: some servers leave out the blank line behind each.
        try:
            found = json.loads("\n".join(self._data), strict=False)
        except RecursionError:
            raise BadFrame("JSON that is nested too deeply") from None
        except ValueError:
            return
        yield from self._take(found)

    def _flush(self) -> Iterator[Any]:
        if self._data:
            said = "\n".join(self._data)
            if self._event != "error" and said.startswith('{"error": "'):
                # Some servers put quotes and line ends into a message as they are.
                said = said.removeprefix('{"error": "').rstrip('"}')
            elif self._event != "error":
                raise BadFrame(f"a piece that is not JSON: {said[:200]}")
            yield from self._take({"error": said})
        self._event = ""

    def _take(self, found: Any) -> Iterator[Any]:
        self._data.clear()
        if self._event == "error" and not (isinstance(found, dict) and found.get("error")):
            found = {"error": found}
        yield found


def _decoded(decoder: json.JSONDecoder, text: str, at: int) -> tuple[Any, int]:
    try:
        return decoder.raw_decode(text, at)
    except RecursionError:
        raise BadFrame("JSON that is nested too deeply") from None
    except ValueError as exc:
        raise BadFrame(f"an answer that is not JSON: {exc}") from None
