"""Prepare stdout and stderr: replace signs that their encoding lacks with plain ones."""

from __future__ import annotations

import codecs
import io
import sys

__all__ = ["holds_everything", "plain", "prepare_streams"]

_HANDLER = "evolve.plain"

_SIGNS = {
    "…": "...", "–": "-", "—": "-", "−": "-", "→": "->", "←": "<-", "×": "x", "·": ".", "•": "*", "●": "*", "▲": "^",
    "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "±": "+-", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
    "‹": "<", "›": ">", "«": "<<", "»": ">>", "‖": "=", "│": "|", "─": "-", "■": "#", "✗": "x", "✓": "+",
    "µ": "u", "μ": "u", "°": "deg", "²": "^2", "³": "^3", "\xa0": " ", "\u202f": " ",
    # Signs that `visible` uses for control characters.
    **{chr(0x2400 + code): f"^{chr(0x40 + code)}" for code in range(0x20)}, "\u2421": "^?",
}  # fmt: skip


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _replace)


def prepare_streams() -> None:
    """Make stdout and stderr replace characters that their encoding lacks, so that no text makes a command fail."""
    for stream in (sys.stdout, sys.stderr):
        # If a test or a notebook has replaced the stream, leave it as it is.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def plain(text: str) -> str:
    """Return the text as stdout will show it, to measure or cut it."""
    encoding = _encoding()
    return text.encode(encoding, _HANDLER).decode(encoding)


def holds_everything() -> bool:
    """Return whether stdout can hold every character."""
    return _encoding() == "utf-8"


def _encoding() -> str:
    try:
        return codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name
    except LookupError:
        return "utf-8"
