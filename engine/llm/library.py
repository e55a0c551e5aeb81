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
    if "openai" in sys.modules:
        return import_module("openai")
    sys.modules.setdefault(_UNUSED, None)  # type: ignore[arg-type]  # None: an import of it fails
    try:
        return import_module("openai")
    finally:
        # Only for now: whoever walks through the modules of this process finds no gap.
        if sys.modules.get(_UNUSED, sys) is None:
            del sys.modules[_UNUSED]
