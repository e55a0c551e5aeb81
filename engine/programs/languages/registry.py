"""The languages by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module

from engine.programs.languages import python
from engine.programs.languages.base import Language

__all__ = ["LANGUAGES", "PYTHON", "language_named"]

PYTHON = python.LANGUAGE
_NAMES = ("python", "c", "cpp", "cuda", "triton", "rust", "go", "julia", "javascript", "text")
"""Each is the name of its module, too."""


class _Languages(Mapping[str, Language]):
    """Load a language when it is asked for: a run has one, and whoever reads it should not pay for the others."""

    def __getitem__(self, name: str) -> Language:
        if name not in _NAMES:
            raise KeyError(name)
        found = import_module(f"engine.programs.languages.{name}").LANGUAGE
        assert isinstance(found, Language)
        return found

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


LANGUAGES: Mapping[str, Language] = _Languages()
"""Every language by its name in task.toml."""


@lru_cache(maxsize=32)
def language_named(name: str, strict: bool = True, suffix: str = "") -> Language:
    """Return a language by its name.

    Args:
        name: one of `LANGUAGES`.
        strict: whether a syntax error that its parser finds is one; of Python it always is.
        suffix: the suffix of its files, if it is another than the language's.
    """
    found = LANGUAGES[name]
    return found if strict and not suffix else dataclasses.replace(found, strict=strict, suffix=suffix or found.suffix)
