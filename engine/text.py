"""Make text from programs, models and people harmless for a terminal: it is data, never an instruction."""

from __future__ import annotations

import re

__all__ = ["counted", "is_text", "legible", "one_line", "sentence", "visible", "without_codes"]

# C0 without tab and newline, DEL, C1, zero-width and invisible characters, line and paragraph separators, bidirectional
# marks, embeddings, overrides and isolates, byte-order mark, interlinear annotations, tags, lone surrogates.
_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """Return the text with every invisible or terminal-steering character as an escape; newlines and tabs stay."""
    return _HOSTILE.sub(_escape, text)


_CODES = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[ -/]*[0-~])")
"""What steers a terminal: colours and movements, titles and other strings, and short escapes."""


def without_codes(text: str) -> str:
    """Return what a program printed for a terminal as plain text, each line that it wrote over on a line of its own."""
    return visible(_CODES.sub("", text).replace("\r\n", "\n").replace("\r", "\n"))


_BEGUN = re.compile("\x1b(?:\\[[0-?]*[ -/]*|[\\]PX^_][^\x07\x1b]{0,1000}|[ -/]*)")


def begun_code_of(text: str) -> int:
    """Return how many characters at the end of a text may be the beginning of what steers a terminal."""
    at = text.rfind("\x1b")
    return len(text) - at if at >= 0 and _BEGUN.fullmatch(text, at) else 0


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 prior`, `2 priors`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def sentence(text: str) -> str:
    """Return a text with a full stop behind it, unless it has a mark there already."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def is_text(name: str) -> bool:
    """Return whether a name from the file system, an argument or a variable is valid UTF-8."""
    return not any("\udc80" <= sign <= "\udcff" for sign in name)


def legible(name: str) -> str:
    """Return a name from the file system, harmless for a terminal; bytes that are not text show as `\\xff`."""
    return visible(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def one_line(text: str, length: int) -> str:
    """Return the text on one line of at most `length` characters, harmless for a terminal."""
    # Cut first: a hostile line may be a megabyte long.
    flat = " ".join(visible(text[: length * 4 + 80]).split())
    return flat if len(flat) <= length else flat[: max(0, length - 1)] + "…"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
