"""Name a design by what it changed, where who wrote it gave no name."""

from __future__ import annotations

from engine.programs.languages.base import Language
from engine.programs.outline import ProgramError

__all__ = ["changes_named"]

_PARTS_NAMED = 3


def changes_named(before: str, after: str, language: Language) -> str:
    """Return a name that lists the changed parts of a program, three at most."""
    try:
        changed = language.changed_parts(before, after)
    except ProgramError:
        return "a new program"
    more = ", …" if len(changed) > _PARTS_NAMED else ""
    return f"changed {', '.join(changed[:_PARTS_NAMED])}{more}" if changed else "the same program"
