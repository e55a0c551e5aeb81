"""Runs in the candidate's sandbox: documents in, what the program makes of them out.

The corpus is made of text that every Python installation has, so that a program could look up what belongs there.
While documents are cleaned, no file can be opened and no module loaded that is not loaded yet.
"""

from __future__ import annotations

import encodings.ascii
import encodings.cp1252
import encodings.idna
import encodings.latin_1
import encodings.utf_16
import linecache  # noqa: F401 - for tracebacks, as are the next two
import sys
import tokenize  # noqa: F401
import traceback  # noqa: F401
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
