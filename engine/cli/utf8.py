"""Require UTF-8 names in any locale: evaluations run without a locale, and journals move between machines."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.errors import UsageError
from engine.text import is_text, legible

__all__ = ["check_names", "insist_on_utf8"]


def insist_on_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale has another encoding; output keeps the locale's encoding.

    An argument that is not UTF-8 is decoded with the locale's encoding, unless it names a file.
    """
    if sys.getfilesystemencoding() == "utf-8" or "PYTHONUTF8" in os.environ:
        return
    words = sys.orig_argv[1:]
    named = [word for word in words if not _is_utf8(os.fsencode(word)) and os.path.lexists(word)]
    if named:
        raise UsageError(_not_utf8(os.fsencode(named[0]).decode("utf-8", "surrogateescape")))
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", None) or "ascii")
    typed = [raw if _is_utf8(raw := os.fsencode(word)) else word.encode() for word in words]
    os.execv(sys.executable, [os.fsencode(sys.executable), *typed])


def check_names() -> None:
    """Refuse names that a journal, JSON and a terminal cannot hold, before anything uses them.

    Raises:
        UsageError: an argument, the workspace or the current folder is not UTF-8, or the current folder is gone.
    """
    try:
        here = str(Path.cwd())
    except OSError:
        raise UsageError("the current folder is gone: change to another one") from None
    for name in (*sys.argv[1:], os.environ.get("EVOLVE_HOME", ""), here):
        if not is_text(name):
            raise UsageError(_not_utf8(name))


def _not_utf8(name: str) -> str:
    return f"'{legible(name)}' is not valid UTF-8: rename it, because a run keeps names as text"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
