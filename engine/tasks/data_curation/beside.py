"""Run the candidate on documents, in its sandbox, and return what it makes of them.

The corpus consists of text that every Python installation has, so that a program could look up the clean text. From
its first line on, the program can therefore open no file and load no further module, and the docstrings of loaded
modules are removed.
"""

from __future__ import annotations

# The modules that programs may import, those that they load on first use, and those needed to import a program and
# to format tracebacks.
# ruff: noqa: E402, F401
import base64
import binascii
import bisect
import collections.abc
import difflib
import encodings.ascii
import encodings.cp1252
import encodings.idna
import encodings.latin_1
import encodings.utf_16
import functools
import gc
import hashlib
import heapq
import html.entities
import html.parser
import importlib.machinery
import itertools
import linecache
import math
import re
import statistics
import string
import sys
import textwrap
import tokenize
import traceback
import types
import unicodedata
import zlib


def _refuse(event: str, args: tuple[object, ...]) -> None:
    """Refuse events that would load text or disable this hook. It relies on constants of its own code, out of reach."""
    if event == "import" and "program".__eq__(args[0]) is True:  # an object that only claims to be equal does not count
        return
    files = ("open", "os.", "subprocess.", "ctypes.", "socket.", "mmap.", "shutil.", "glob.")
    modules = ("import", "marshal.", "gc.", "code.", "function.", "sys._getframe")
    if event.startswith(files + modules) or (event.startswith("object.") and args[1] == "__code__"):
        what = str(args[0])[:80] if args else ""
        raise PermissionError(f"a program may open no file and load no module ({event} {what})")


def _forget() -> None:
    """Remove docstrings from memory: many of them are part of the corpus."""
    kinds = (types.FunctionType, types.ModuleType, type, property, classmethod, staticmethod, functools.partial)
    for found in gc.get_objects():
        if isinstance(found, kinds):
            try:
                found.__doc__ = None
            except (AttributeError, TypeError):
                pass  # it is written in C


for encoding in ("ascii", "cp1252", "idna", "latin-1", "utf-16"):
    "".encode(encoding)
try:
    _missing  # type: ignore[name-defined]  # noqa: B018 - a traceback of it loads what others need
except NameError as error:
    traceback.format_exception(error)
_forget()
sys.addaudithook(_refuse)

import program


def clean(documents: list[str], categories: list[str]) -> list[object]:
    """Return the result of `curate` for each document; {"type": NAME} for results that are neither text nor None."""
    found = []
    for document, category in zip(documents, categories, strict=True):
        made = program.curate(document, category)
        found.append(made if made is None or isinstance(made, str) else {"type": type(made).__name__})
    return found
