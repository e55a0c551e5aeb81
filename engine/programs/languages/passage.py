"""A top-level definition in a program's text."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Passage"]


@dataclass(frozen=True)
class Passage:
    """A top-level definition in a program's text."""

    names: tuple[str, ...]
    """The names that it defines; empty if it defines none."""
    kind: str
    """`function`, `type`, `value`, `import`, `prototype` or `other`."""
    start: int
    """Its first line, from 0, with attributes and decorators."""
    end: int
    """The line after its last one."""
    opening: int
    """The line after its head: after the signature of a function, else `end`."""
