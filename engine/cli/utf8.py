"""Names are UTF-8, whatever the locale: evaluations run without it, and journals move to machines with another one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.errors import UsageError
from engine.text import is_text, legible

__all__ = ["check_names", "insist_on_utf8"]


def insist_on_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding; the output keeps the locale's.

    An argument that is no UTF-8 was typed in the locale's encoding, unless it names a file.
    """
    if sys.getfilesystemencoding() == "utf-8" or "PYTHONUTF8" in os.environ:
        return
    words = sys.orig_argv[1:]
    named = [word for word in words if not _is_utf8(os.fsencode(word)) and os.path.lexists(word)]
    if named:
        raise UsageError(_told(os.fsencode(named[0]).decode("utf-8", "surrogateescape")))
    os.environ["PYTHONUTF8"] = "1"
    os.environ.setdefault("PYTHONIOENCODING", getattr(sys.stdout, "encoding", None) or "ascii")
    typed = [raw if _is_utf8(raw := os.fsencode(word)) else word.encode() for word in words]
    os.execv(sys.executable, [os.fsencode(sys.executable), *typed])


def check_names() -> None:
    """Refuse names that a journal, JSON and a terminal cannot hold, before anything is done with them.

    Raises:
        UsageError: an argument, the workspace or the current folder is no UTF-8, or that folder is gone.
    """
    try:
        here = str(Path.cwd())
    except OSError:
        raise UsageError("the folder that you are in is gone: go to another one") from None
    for name in (*sys.argv[1:], os.environ.get("EVOLVE_HOME", ""), here):
        if not is_text(name):
            raise UsageError(_told(name))


def _told(name: str) -> str:
    return f"'{legible(name)}' is not valid UTF-8: rename it, since a run keeps names as text"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
