"""Which signs the terminal can show, and a stream to it that never fails at a character."""

from __future__ import annotations

import codecs
import os
import subprocess
import sys
from typing import TextIO

from rich.cells import cell_len

from tui.glyphs import PLAIN

__all__ = ["input_encoding", "needs_plain", "open_output", "output_encoding"]

_HANDLER = "evolve.cells"
_ASK_SECONDS = 1.0


def needs_plain(wanted: str) -> bool:
    """Return whether to draw with ASCII signs only.

    A locale without an encoding says little: over ssh it is often `C` although the terminal shows everything, and
    Python writes UTF-8 then. A locale that names an encoding is believed. A tmux without UTF-8 writes `_` for each
    sign, and says so if asked.

    Args:
        wanted: `unicode`, `ascii`, or `auto` to detect it.
    """
    if wanted != "auto":
        return wanted == "ascii"
    return not _holds_signs(output_encoding()) or _is_plain_tmux()


def _holds_signs(encoding: str) -> bool:
    try:
        "".join(map(chr, PLAIN)).encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _is_plain_tmux() -> bool:
    if not os.environ.get("TMUX"):
        return False
    try:
        answer = subprocess.run(
            ["tmux", "display-message", "-p", "#{client_utf8}"],
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.strip() == "0"


def output_encoding() -> str:
    """Return the encoding of the output, which Python takes from the locale or from $PYTHONIOENCODING."""
    return _name_of(getattr(sys.__stderr__, "encoding", None))


def input_encoding() -> str:
    """Return the encoding of the input; UTF-8 instead of ASCII, which it contains."""
    name = _name_of(getattr(sys.__stdin__, "encoding", None))
    return "utf-8" if name == "ascii" else name


def open_output(descriptor: int) -> TextIO:
    """Return a stream to the terminal that replaces characters outside its encoding by a sign of the same width."""
    return open(descriptor, "w", encoding=output_encoding(), errors=_HANDLER, newline="", closefd=False)


def _name_of(encoding: str | None) -> str:
    try:
        return codecs.lookup(encoding or "utf-8").name
    except LookupError:
        return "utf-8"


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_in_cells(sign) for sign in error.object[error.start : error.end]), error.end


def _in_cells(sign: str) -> str:
    room = cell_len(sign)
    plain = PLAIN.get(ord(sign), "")
    return plain if len(plain) == room else "?" * room


codecs.register_error(_HANDLER, _replace)
