"""Runs in the candidate's sandbox: documents in, what the program makes of them out.

The corpus is made of text that every Python installation has, so that a program could look up what belongs there.
While documents are cleaned, no file can be opened and no module loaded that is not loaded yet.
"""

from __future__ import annotations

# What programs may import, with what that loads when it is first used, and what tracebacks need.
# ruff: noqa: F401
import base64
import bisect
import difflib
import encodings.ascii
import encodings.cp1252
import encodings.idna
import encodings.latin_1
import encodings.utf_16
import heapq
import html.parser
import linecache
import statistics
import string
import sys
import textwrap
import tokenize
import traceback
import unicodedata
from typing import Any

import program

_REFUSED = ("open", "import", "os.", "subprocess.", "ctypes.", "socket.", "mmap.", "shutil.", "glob.", "code.")


def _refuse(event: str, args: tuple[Any, ...]) -> None:
    if event.startswith(_REFUSED):
        what = str(args[0])[:80] if args else ""
        raise PermissionError(f"a program may open nothing while it cleans ({event} {what})")


def clean(documents: list[str], categories: list[str]) -> list[Any]:
    """What `curate` returns for one document after another; {"type": NAME} for what is neither text nor None."""
    for encoding in (encodings.ascii, encodings.cp1252, encodings.idna, encodings.latin_1, encodings.utf_16):
        "".encode(encoding.__name__.removeprefix("encodings."))
    sys.addaudithook(_refuse)
    found = []
    for document, category in zip(documents, categories, strict=True):
        made = program.curate(document, category)
        found.append(made if made is None or isinstance(made, str) else {"type": type(made).__name__})
    return found
