"""Cut a terminal's input into keys, complete escape sequences and pastes; drop everything else.

Textual's parser handles only input that it knows. Anything else (an unasked answer, an old mouse report, an incomplete
sequence) it takes for pressed keys, and at some of it it fails.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

__all__ = ["Token", "Tokenizer"]

_ESC = 0x1B
_ABORTS = b"\x18\x1a"
"""CAN and SUB abort a sequence."""
_STRINGS = b"P]X^_"
"""Starts of a string that ends with ST: DCS, OSC, SOS, PM, APC."""
_STRING_ENDS = re.compile(rb"[\x07\x18\x1a\x1b]")
_X10 = b"\x1b[M"
_X10_LENGTH = 6
_OPEN = ("\x1b[[", "\x1b[M")
"""Sequences that continue after a final byte: keys of the Linux console, old mouse reports."""
_PASTE_START = "\x1b[200~"
_PASTE_END = b"\x1b[201~"
_LONGEST = 64
"""The most bytes of a sequence; what a terminal can do takes more than 40."""
_LONGEST_PASTE = 1 << 20
_LONGEST_STRING = 64
"""The most bytes of a string that a reader is told; longer ones are dropped."""

_ESCAPE_SECONDS = 0.1
_STRING_SECONDS = 0.5
_PASTE_SECONDS = 3.0
"""Seconds to wait for the rest of an escape sequence, a string, a paste."""

_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_UNREADABLE = re.compile("\ufffd+")


class Token(NamedTuple):
    """A complete unit of input."""

    kind: Literal["keys", "alt", "sequence", "paste"]
    """`keys`: characters, none of them escape; `alt`: one that was pressed with alt; `sequence`: a complete escape
    sequence, or escape alone; `paste`: a text whose only control characters are tabs and line ends."""
    text: str


class Tokenizer:
    """Turns bytes into tokens as soon as these are complete.

    Args:
        encoding: of the input. A run of undecodable bytes becomes one U+FFFD.
        is_key: return whether a sequence is a key, and complete although the grammar would let it continue.
        is_known: return whether the reader understands a complete control sequence, or a string that ends with ST.
    """

    def __init__(self, encoding: str, is_key: Callable[[str], bool], is_known: Callable[[str], bool]) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._is_key = is_key
        self._is_known = is_known
        self._held = bytearray()
        """The start of a sequence; of a string only the bytes that tell where it ends."""
        self._string = bytearray()
        """The content of a string, as far as it is not too long."""
        self._pasted: bytearray | None = None
        self._tokens: list[Token] = []

    @property
    def is_pasting(self) -> bool:
        """Whether a paste has started and not ended."""
        return self._pasted is not None

    @property
    def patience(self) -> float | None:
        """Seconds without a byte after which to call `give_up`; None if nothing is incomplete."""
        if self._pasted is not None:
            return _PASTE_SECONDS
        if len(self._held) > 2 and self._held[1] in _STRINGS:
            return _STRING_SECONDS
        return _ESCAPE_SECONDS if self._held or self._decoder.getstate()[0] else None

    def feed(self, data: bytes) -> list[Token]:
        """Return the tokens that these bytes complete."""
        while data:
            if self._pasted is not None:
                data = self._go_on_pasting(self._pasted, data)
            elif not self._held:
                data = self._begin(data)
            elif len(self._held) == 1:
                data = self._after_escape(data)
            elif self._held[1] in _STRINGS:
                data = self._in_string(data)
            else:
                data = self._in_sequence(data)
        return self._given()

    def give_up(self) -> list[Token]:
        """Return the tokens of the incomplete input, since nothing more follows."""
        self._end_character()
        held, pasted = bytes(self._held), self._pasted
        self._held.clear()
        self._pasted = None
        if pasted is not None:
            self._give_paste(bytes(pasted))
        elif held == b"\x1b":
            self._give("sequence", "\x1b")
        elif len(held) == 2:
            self._give("alt", chr(held[1]))
        return self._given()

    def _give(self, kind: Literal["keys", "alt", "sequence", "paste"], text: str) -> None:
        self._tokens.append(Token(kind, text))

    def _given(self) -> list[Token]:
        tokens, self._tokens = self._tokens, []
        return tokens

    # Each of these consumes what it can of the bytes and returns the rest.

    def _begin(self, data: bytes) -> bytes:
        keys, escape, rest = data.partition(b"\x1b")
        # A flood of undecodable bytes is one key, which nothing is bound to.
        if text := _UNREADABLE.sub("\ufffd", self._decoder.decode(keys)):
            self._give("keys", text)
        if escape:
            self._end_character()
            self._held += escape
        return rest

    def _end_character(self) -> None:
        """End an incomplete character as an undecodable one."""
        if self._decoder.getstate()[0]:
            self._give("keys", self._decoder.decode(b"", final=True))
        self._decoder.reset()

    def _after_escape(self, data: bytes) -> bytes:
        byte = data[0]
        if byte == _ESC:
            self._give("sequence", "\x1b")
        elif byte in b"[O" or byte in _STRINGS:
            self._held.append(byte)
            self._string.clear()
        else:
            self._held.clear()
            if byte > 0x7F:
                return data
            sequence = f"\x1b{chr(byte)}"
            if self._is_key(sequence):
                self._give("sequence", sequence)
            else:
                self._give("alt", chr(byte))
        return data[1:]

    def _in_string(self, data: bytes) -> bytes:
        if self._held[-1] == _ESC:
            kind, is_whole = chr(self._held[1]), data[0] == ord("\\")
            self._held.clear()
            if is_whole:
                self._end_string(kind)
                return data[1:]
            self._held.append(_ESC)
            return data
        found = _STRING_ENDS.search(data)
        content = data if found is None else data[: found.start()]
        self._string += content[: _LONGEST_STRING + 1 - len(self._string)]
        if found is None:
            self._held[2:] = b"\0"
            return b""
        end = found[0][0]
        if end == _ESC:
            self._held[2:] = b"\x1b"
        elif end in _ABORTS or self._held[1] == ord("]"):
            self._held.clear()
        return data[found.end() :]

    def _end_string(self, kind: str) -> None:
        if len(self._string) <= _LONGEST_STRING and self._string.isascii():
            sequence = f"\x1b{kind}{self._string.decode('ascii')}\x1b\\"
            if self._is_known(sequence):
                self._give("sequence", sequence)

    def _in_sequence(self, data: bytes) -> bytes:
        byte, held = data[0], self._held
        is_report = held.startswith(_X10)
        if byte == _ESC:
            held[:] = b"\x1b"
            return data[1:]
        if byte < 0x20 or (byte > 0x7E and not is_report):
            held.clear()
            return data[1:] if byte in _ABORTS else data
        if len(held) <= _LONGEST:
            held.append(byte)
        if is_report:
            if len(held) == _X10_LENGTH:
                held.clear()
            return data[1:]
        sequence = held.decode("ascii")
        is_whole = len(held) <= _LONGEST
        if is_whole and self._is_key(sequence):
            held.clear()
            self._give("sequence", sequence)
        elif byte >= 0x40 and sequence not in _OPEN:
            held.clear()
            if sequence == _PASTE_START:
                self._pasted = bytearray()
            elif is_whole and self._is_known(sequence):
                self._give("sequence", sequence)
        return data[1:]

    def _go_on_pasting(self, pasted: bytearray, data: bytes) -> bytes:
        searched = max(0, len(pasted) - len(_PASTE_END))
        pasted += data
        end = pasted.find(_PASTE_END, searched)
        if end >= 0:
            rest = bytes(pasted[end + len(_PASTE_END) :])
            self._pasted = None
            self._give_paste(bytes(pasted[:end]))
            return rest
        if len(pasted) > _LONGEST_PASTE:
            self._give_paste(bytes(pasted[: -len(_PASTE_END)]))
            del pasted[: -len(_PASTE_END)]
        return b""

    def _give_paste(self, data: bytes) -> None:
        text = data.decode(self._encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
        self._give("paste", _UNWANTED.sub("", text))
