"""What the terminal or file behind stdout and stderr can show: a sign that its encoding lacks becomes a plain one."""

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
    # Signs that `visible` writes for control characters.
    **{chr(0x2400 + code): f"^{chr(0x40 + code)}" for code in range(0x20)}, "\u2421": "^?",
}  # fmt: skip


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_SIGNS.get(sign, "?") for sign in error.object[error.start : error.end]), error.end


codecs.register_error(_HANDLER, _replace)


def prepare_streams() -> None:
    """Have stdout and stderr replace what their encoding cannot hold; text is never a reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        # Whoever put something else in their place (a test, a notebook) knows what it can hold.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def plain(text: str) -> str:
    """The text as stdout will show it, for whoever measures or cuts it."""
    encoding = _encoding()
    return text.encode(encoding, _HANDLER).decode(encoding)


def holds_everything() -> bool:
    """Whether every character can be written to stdout as it is."""
    return _encoding() == "utf-8"


def _encoding() -> str:
    try:
        return codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name
    except LookupError:
        return "utf-8"
