"""Load the library that requests go through."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

__all__ = ["load_openai"]

_UNUSED = "openai._vendor.httpx_aiohttp"
"""Its second way to send a request. Where aiohttp is installed, as beside Ray, it takes 7 MB and some time to load."""


def load_openai() -> ModuleType:
    """Import `openai` without its client of aiohttp: it finds that to be missing, and goes on.

    Raises:
        ImportError: the library is not installed.
    """
    if "openai" not in sys.modules:
        sys.modules.setdefault(_UNUSED, None)  # type: ignore[arg-type]  # None: an import of it fails
    return import_module("openai")
